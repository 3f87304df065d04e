"""What the operator wants, and what acting costs, as data for the pure rooms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.units import MAX_TRANSACTION_GAS, Address, Bps, Gas, Wei

DEFAULT_MIN_PROFIT_USD_E8: Final = 500_000_000
"""Five US dollars, in 1e-8 dollars."""
_TOLERANCE: Final = Bps(1_000)
_BID: Final = Bps(0)
_TRANSACTIONS: Final = 16
_ROUNDS: Final = 1
"""No further round: what was recorded before there were any is made again so."""
_BUILDER_SHARE: Final = Bps(0)
_HEADROOM: Final = Bps(2_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    What a liquidation must earn and how transactions are filled.

    ``min_profit_usd_e8`` is the least net profit of a plan, in 1e-8 US dollars.
    ``tolerance_bps`` is the share of the simulated profit that may be missing on
    chain before the executor undoes the plan. ``builder_share_bps`` is the share of
    the profit that is paid to the block's builder, where the spend token is
    ``builder_token`` (the wrapped native coin; None: whatever it is). ``profit_bid_bps`` is the
    share of the net profit that is offered as tip on top of the market's. ``headroom_bps`` is
    added to every step's gas estimate when gas limits are set. ``flash_swap_sources`` holds, by the
    venue's name, the executor's number for a flash swap there; a venue without one
    cannot fund. A transaction holds ``max_plans_per_transaction``, or more where so many wait
    that ``transactions`` in a row could not take them; ``max_transaction_gas`` bounds it.
    ``rounds`` is how often one account is liquidated in one transaction at most; the further
    rounds of a transaction's accounts do not count as its plans.
    """

    min_profit_usd_e8: int = DEFAULT_MIN_PROFIT_USD_E8
    tolerance_bps: Bps = _TOLERANCE
    builder_share_bps: Bps = _BUILDER_SHARE
    builder_token: Address | None = None
    profit_bid_bps: Bps = _BID
    max_transaction_gas: Gas = MAX_TRANSACTION_GAS
    max_plans_per_transaction: int = 12
    transactions: int = _TRANSACTIONS
    rounds: int = _ROUNDS
    headroom_bps: Bps = _HEADROOM
    flash_swap_sources: Mapping[str, int] = field(default_factory=lambda: {"uniswap_v3": 2})

    def builder_share(self, token: Address) -> Bps:
        """Return the builder's share of a profit in a token: nothing where it is not paid."""
        paid = self.builder_token in (None, token)
        return self.builder_share_bps if paid else _BUILDER_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """``gas_price`` per unit of gas, tip included, and the most gas a block takes."""

    gas_price: Wei
    block_gas_limit: Gas
