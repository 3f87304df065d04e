"""Markets of the devnet's Morpho Blue and their borrowers, plain data from a seed."""

import random
from dataclasses import dataclass
from typing import Final

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.assets import BY_SYMBOL, PRICE_UNIT

WAD: Final = 10**18
BLOCKING: Final = "BLOCK"
"""The hostile market's token, with 18 decimals and worth a dollar."""

LLTVS: Final = tuple(WAD * per_mille // 1_000 for per_mille in (625, 770, 860, 915, 945))

_BPS: Final = 10_000
_CENTS: Final = PRICE_UNIT // 100
_BORROWERS_OF_ONE: Final = 2
_LEAST_CENTS: Final = 500_000
_MOST_CENTS: Final = 25_000_000
_FEW: Final = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSpec:
    """Market with collateral, loan, LLTV (wad), Morpho's fee (wad), first utilisation (bps).

    ``moody`` markets have an oracle with a settable price. ``interest`` False means no rate model.
    """

    collateral: str
    loan: str
    lltv: int
    fee: int = 0
    utilization: int = 8_500
    moody: bool = False
    interest: bool = True

    @property
    def name(self) -> str:
        """The market's name on the devnet."""
        return f"{self.collateral}/{self.loan} {self.lltv * 1_000 // WAD}"


MARKETS: Final = (
    MarketSpec(collateral="WETH", loan="USDC", lltv=LLTVS[2], fee=WAD // 10),
    MarketSpec(collateral="WBTC", loan="USDC", lltv=LLTVS[2], utilization=9_400),
    MarketSpec(collateral="wstETH", loan="WETH", lltv=LLTVS[4], fee=WAD // 20, utilization=9_200),
    MarketSpec(collateral="LINK", loan="USDC", lltv=LLTVS[0], fee=WAD // 4, utilization=6_000),
    MarketSpec(collateral="WBTC", loan="WETH", lltv=LLTVS[3], fee=WAD // 10, utilization=9_900),
    MarketSpec(collateral="USDC", loan="WETH", lltv=LLTVS[1], utilization=5_000),
    MarketSpec(collateral="WETH", loan="USDT", lltv=LLTVS[2]),
    MarketSpec(collateral="WETH", loan="DAI", lltv=LLTVS[1], utilization=9_000),
    MarketSpec(collateral="WETH", loan="USDC", lltv=LLTVS[0], interest=False),
    MarketSpec(collateral="LINK", loan="USDC", lltv=LLTVS[1], moody=True),
    MarketSpec(collateral=BLOCKING, loan="USDC", lltv=LLTVS[2], moody=True),
)
BROKEN: Final = MARKETS[-2].name
HOSTILE: Final = MARKETS[-1].name


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphoBorrower:
    """Borrower in one market, with token units pledged and borrowed at the start."""

    address: str
    market: str
    collateral: int
    debt: int


def first_price(collateral: str, loan: str) -> int:
    """Compute loan units per unit of collateral at the first prices, times 1e36."""
    base, base_decimals = _get_asset(collateral)
    quote, quote_decimals = _get_asset(loan)
    return int(10 ** (36 + quote_decimals - base_decimals) * base // quote)


def planned_morpho_borrowers(count: int, seed: int) -> tuple[MorphoBorrower, ...]:
    """Generate ``count`` borrowers over all markets in turn, most of them in two.

    The more there are, the smaller the largest of them, so that the exits can absorb a fall.
    """
    most = max(2 * _LEAST_CENTS, _MOST_CENTS * _FEW // max(_FEW, count))
    chance = random.Random(seed)  # noqa: S311 - a reproducible market, not a secret
    return tuple(
        _build_borrower(
            MARKETS[number % len(MARKETS)],
            f"morpho borrower {seed} {number // _BORROWERS_OF_ONE}",
            chance,
            most,
        )
        for number in range(count)
    )


def _build_borrower(
    spec: MarketSpec, name: str, chance: random.Random, most: int
) -> MorphoBorrower:
    value = chance.randint(_LEAST_CENTS, chance.randint(_LEAST_CENTS, most)) * _CENTS
    health = chance.randint(10_050, 11_500)
    price, decimals = _get_asset(spec.collateral)
    collateral = value * 10**decimals // price
    worth = collateral * first_price(spec.collateral, spec.loan) // 10**36
    return MorphoBorrower(
        address=str(to_checksum_address(keccak(text=name)[-20:])),
        market=spec.name,
        collateral=collateral,
        debt=worth * spec.lltv // WAD * _BPS // health,
    )


def _get_asset(symbol: str) -> tuple[int, int]:
    """Return a token's first price (8 decimals) and its decimals."""
    if symbol == BLOCKING:
        return PRICE_UNIT, 18
    return BY_SYMBOL[symbol].price, BY_SYMBOL[symbol].decimals
