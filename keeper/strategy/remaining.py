"""What earlier plans of the sequence leave: curves, and tokens that can still be paid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keeper.domain.curve import CurveBook, ExitCurve
from keeper.domain.opportunity import FlashLender, LiquidityKey, Outcome
from keeper.domain.units import Address, TokenUnits

Depth = Address | LiquidityKey
"""Anything that a plan uses up: a pool's curve, or a holder's tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """
    Curves and liquidity at one point of the sequence.

    ``liquidity`` is the snapshot's; a holder missing there is not known to be bounded.
    ``taken`` is what the plans so far drew net of what they repaid.
    """

    curves: CurveBook
    liquidity: Mapping[LiquidityKey, TokenUnits]
    taken: Mapping[LiquidityKey, int] = field(default_factory=dict)

    def payable(self, key: LiquidityKey) -> int | None:
        """Return what the holder can still pay out; None where no bound is known."""
        bound = self.liquidity.get(key)
        return None if bound is None else bound - self.taken.get(key, 0)

    def lendable(self, lender: FlashLender) -> int:
        """Return what the lender can still lend; what was repaid to it does not count."""
        return lender.available - max(0, self.taken.get(lender.liquidity, 0))

    def less(
        self,
        outcome: Outcome,
        after: Mapping[Address, ExitCurve],
        paid_out: Sequence[tuple[LiquidityKey, TokenUnits]],
    ) -> "Remaining":
        """
        Return what is left after a liquidation and its sale.

        ``paid_out`` is what the sale took out of the route's pools, for lenders
        that are pools themselves; what it put into them does not count.
        """
        taken = dict(self.taken)
        for key, amount in (*outcome.drawn, *paid_out):
            taken[key] = taken.get(key, 0) + amount
        for key, amount in outcome.repaid:
            taken[key] = taken.get(key, 0) - amount
        return Remaining(curves={**self.curves, **after}, liquidity=self.liquidity, taken=taken)
