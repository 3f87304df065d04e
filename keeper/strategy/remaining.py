"""Residual depth after earlier plans, with curves and tokens that can be paid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keeper.domain.curve import CurveBook, ExitCurve
from keeper.domain.opportunity import FlashLender, LiquidityKey, Outcome
from keeper.domain.units import Address, TokenUnits

Depth = Address | LiquidityKey
"""A depth that plans consume, a pool's curve or a holder's tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """Curves and liquidity at one point of the sequence.

    ``liquidity`` is the snapshot's. A holder missing there has no known bound. ``taken`` has the
    amounts drawn by earlier plans, less the amounts they repaid.
    """

    curves: CurveBook
    liquidity: Mapping[LiquidityKey, TokenUnits]
    taken: Mapping[LiquidityKey, int] = field(default_factory=dict)

    def payable(self, key: LiquidityKey) -> int | None:
        """Return the amount that the holder can still pay out. None if no bound is known."""
        bound = self.liquidity.get(key)
        return None if bound is None else bound - self.taken.get(key, 0)

    def lendable(self, lender: FlashLender) -> int:
        """Return the amount that the lender can still lend. Repayments to it do not count."""
        return lender.available - max(0, self.taken.get(lender.liquidity, 0))

    def less(
        self,
        outcome: Outcome,
        after: Mapping[Address, ExitCurve],
        paid_out: Sequence[tuple[LiquidityKey, TokenUnits]],
    ) -> "Remaining":
        """Return the residual depth after a liquidation and its sale.

        ``paid_out`` has the amounts out of the route's pools, for lenders that are pools
        themselves. Amounts paid into them do not count.
        """
        taken = dict(self.taken)
        for key, amount in (*outcome.drawn, *paid_out):
            taken[key] = taken.get(key, 0) + amount
        for key, amount in outcome.repaid:
            taken[key] = taken.get(key, 0) - amount
        return Remaining(curves={**self.curves, **after}, liquidity=self.liquidity, taken=taken)
