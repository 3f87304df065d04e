"""Profit policy of the operator and gas costs, as data of the pure packages."""

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
    """Least profits of liquidations, and the size of transactions.

    ``min_profit_usd_e8`` is the least net profit of a plan, in 1e-8 US dollars. ``tolerance_bps``
    is the share of the simulated profit that may be missing on chain before the executor reverts
    the plan. ``builder_share_bps`` is the share of the profit paid to the block's builder if the
    spend token is ``builder_token`` (the wrapped native coin, None for any token).
    ``profit_bid_bps`` is the share of the net profit offered as priority fee above the market's.
    ``headroom_bps`` is added to every step's gas estimate in gas limits. ``flash_swap_sources`` has
    the executor's number of a flash swap by the venue's name. A venue without one cannot fund. A
    transaction holds ``max_plans_per_transaction``, or more if ``transactions`` in a row could not
    hold all plans. ``max_transaction_gas`` bounds it.
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
        """Return the builder's share of a profit in a token, zero if it is not paid."""
        paid = self.builder_token in (None, token)
        return self.builder_share_bps if paid else _BUILDER_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Gas costs, with ``gas_price`` per unit including the tip, and the block's gas limit."""

    gas_price: Wei
    block_gas_limit: Gas
