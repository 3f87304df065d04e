"""What the operator wants, and what acting costs, as data for the pure rooms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.units import MAX_TRANSACTION_GAS, Bps, Gas, Wei

DEFAULT_MIN_PROFIT_USD_E8: Final = 500_000_000
"""Five US dollars, in 1e-8 dollars."""
_TOLERANCE: Final = Bps(100)
_BUILDER_SHARE: Final = Bps(0)
_HEADROOM: Final = Bps(2_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    What a liquidation must earn and how transactions are filled.

    ``min_profit_usd_e8`` is the least net profit of a plan, in 1e-8 US dollars.
    ``tolerance_bps`` is the share of the worst-case profit that may be missing on
    chain before the executor undoes the plan. ``builder_share_bps`` is the share of
    the profit that is paid to the block's builder. ``headroom_bps`` is added to every
    step's gas estimate when gas limits are set. ``flash_swap_sources`` holds, by the
    venue's name, the executor's number for a flash swap there; a venue without one
    cannot fund. The other fields bound one transaction.
    """

    min_profit_usd_e8: int = DEFAULT_MIN_PROFIT_USD_E8
    tolerance_bps: Bps = _TOLERANCE
    builder_share_bps: Bps = _BUILDER_SHARE
    max_transaction_gas: Gas = MAX_TRANSACTION_GAS
    max_plans_per_transaction: int = 12
    headroom_bps: Bps = _HEADROOM
    flash_swap_sources: Mapping[str, int] = field(default_factory=lambda: {"uniswap_v3": 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """``gas_price`` per unit of gas, tip included, and the most gas a block takes."""

    gas_price: Wei
    block_gas_limit: Gas
