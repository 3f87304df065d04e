"""Price steps of the demo, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keeper.devnet.assets import BY_SYMBOL
from keeper.domain.units import BPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One block's price moves. ``bps`` is the new price as a share of the first one."""

    title: str
    bps: Mapping[str, int]

    def changes(self) -> dict[str, int]:
        """Compute the new prices by symbol, 8 decimals, rounded down."""
        return {
            symbol: BY_SYMBOL[symbol].price * share // BPS for symbol, share in self.bps.items()
        }


STEPS: Final = (
    Step(title="ETH and BTC slip by 4 %", bps={"WETH": 9_600, "WBTC": 9_600}),
    # Five per cent below its ratio: 0.96 x 0.95.
    Step(title="wstETH loses 5 % against ETH", bps={"wstETH": 9_120}),
    Step(title="LINK crashes by 46 %: its borrowers are deep under water", bps={"LINK": 5_400}),
    Step(title="ETH and BTC are down 13 %", bps={"WETH": 8_700, "WBTC": 8_700}),
    Step(title="ETH is down 26 %, BTC 24 %", bps={"WETH": 7_400, "WBTC": 7_600}),
)
"""Each step makes other kinds of accounts unhealthy. The ratio of wstETH persists."""
