"""Assets of the devnet's market with risk parameters and pools, as plain data."""

from dataclasses import dataclass
from typing import Final

PRICE_DECIMALS: Final = 8
PRICE_UNIT: Final = 10**PRICE_DECIMALS


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """Token listed by the market.

    ``price`` is in US dollars with 8 decimals. ``ltv``, ``threshold``, ``bonus`` (principal
    included), ``reserve_factor``, ``optimal``, ``slope1`` and ``slope2`` are in bps.
    """

    symbol: str
    decimals: int
    price: int
    ltv: int
    threshold: int
    bonus: int
    reserve_factor: int = 1_000
    optimal: int = 8_000
    slope1: int = 400
    slope2: int = 6_000
    stable_rate: bool = False

    @property
    def unit(self) -> int:
        """One whole token."""
        return int(10**self.decimals)

    def units_worth(self, usd: int) -> int:
        """Convert ``usd`` (8 decimals) to token units at the first price, rounded down."""
        return usd * self.unit // self.price


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """Uniswap v3 pool. ``fee`` is in hundredths of a bps.

    ``depth`` is the value, in whole US dollars, of each token in the position over all prices. A
    second position with a quarter of it spans about a tenth on both sides.
    """

    first: str
    second: str
    fee: int
    depth: int


ASSETS: Final = (
    Asset(
        symbol="WETH",
        decimals=18,
        price=3_000 * PRICE_UNIT,
        ltv=8_000,
        threshold=8_250,
        bonus=10_500,
        slope1=270,
    ),
    Asset(
        symbol="wstETH",
        decimals=18,
        price=3_600 * PRICE_UNIT,
        ltv=7_850,
        threshold=8_100,
        bonus=10_600,
        optimal=4_500,
    ),
    Asset(
        symbol="WBTC",
        decimals=8,
        price=60_000 * PRICE_UNIT,
        ltv=7_300,
        threshold=7_800,
        bonus=10_500,
        optimal=4_500,
    ),
    Asset(
        symbol="USDC",
        decimals=6,
        price=PRICE_UNIT,
        ltv=7_500,
        threshold=7_800,
        bonus=10_450,
        optimal=9_000,
        stable_rate=True,
    ),
    Asset(
        symbol="USDT",
        decimals=6,
        price=PRICE_UNIT,
        ltv=7_500,
        threshold=7_800,
        bonus=10_450,
        optimal=9_000,
    ),
    Asset(
        symbol="DAI",
        decimals=18,
        price=PRICE_UNIT,
        ltv=6_300,
        threshold=7_700,
        bonus=10_500,
        optimal=9_000,
        stable_rate=True,
    ),
    Asset(
        symbol="LINK",
        decimals=18,
        price=14 * PRICE_UNIT,
        ltv=6_600,
        threshold=7_100,
        bonus=10_700,
        optimal=4_500,
    ),
)
BY_SYMBOL: Final = {asset.symbol: asset for asset in ASSETS}

POOLS: Final = (
    PoolSpec(first="WETH", second="USDC", fee=500, depth=40_000_000),
    PoolSpec(first="WETH", second="USDC", fee=3_000, depth=12_000_000),
    PoolSpec(first="WETH", second="USDT", fee=500, depth=25_000_000),
    PoolSpec(first="WETH", second="DAI", fee=3_000, depth=10_000_000),
    PoolSpec(first="WBTC", second="WETH", fee=500, depth=25_000_000),
    PoolSpec(first="WBTC", second="WETH", fee=3_000, depth=20_000_000),
    PoolSpec(first="WBTC", second="USDC", fee=3_000, depth=10_000_000),
    PoolSpec(first="wstETH", second="WETH", fee=100, depth=20_000_000),
    PoolSpec(first="LINK", second="WETH", fee=3_000, depth=4_000_000),
    PoolSpec(first="LINK", second="USDC", fee=10_000, depth=1_000_000),
    PoolSpec(first="USDC", second="USDT", fee=100, depth=20_000_000),
    PoolSpec(first="DAI", second="USDC", fee=100, depth=20_000_000),
)

RATIO_ASSET: Final = "wstETH"
RATIO_BASE: Final = "WETH"
RATIO_CAP: Final = 13 * 10**17

NO_RETURN_ASSET: Final = "USDT"
VIA: Final = ("WETH", "USDC")

E_MODE: Final = 1
E_MODE_LTV: Final = 9_300
E_MODE_THRESHOLD: Final = 9_500
E_MODE_BONUS: Final = 10_100
E_MODE_LABEL: Final = "ETH correlated"
E_MODE_ASSETS: Final = ("WETH", "wstETH")

FLASH_LOAN_PREMIUM: Final = 5
LIQUIDATION_PROTOCOL_FEE: Final = 1_000
LENDER_SUPPLY: Final = 100_000_000 * PRICE_UNIT
