"""Uniswap v3 on the devnet with its contracts, and pools aligned with the oracle's prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Final

from keeper.devnet.artifacts import Artifact, Contract, Deployer, packaged
from keeper.devnet.assets import BY_SYMBOL, POOLS, PRICE_UNIT, PoolSpec
from keeper.devnet.node import Transaction

LOWEST_FEE: Final = 100
FOREVER: Final = 2**40

_SPACING: Final = {100: 1, 500: 10, 3_000: 60, 10_000: 200}
_LAST_TICK: Final = 887_272
_NARROW_TICKS: Final = 1_200
_NARROW_SHARE: Final = 4


@dataclass(frozen=True, slots=True)
class Venue:
    """The venue's contracts."""

    factory: Contract
    manager: Contract
    router: Contract
    quoter: Contract


def venue_artifacts() -> dict[str, Artifact]:
    """Return the artifacts of the venue and its pools."""
    core = "@uniswap/v3-core/artifacts/contracts/"
    periphery = "@uniswap/v3-periphery/artifacts/contracts/"
    paths = {
        "UniswapV3Factory": f"{core}UniswapV3Factory.sol/",
        "UniswapV3Pool": f"{core}UniswapV3Pool.sol/",
        "SwapRouter": f"{periphery}SwapRouter.sol/",
        "NFTDescriptor": f"{periphery}libraries/NFTDescriptor.sol/",
        "NonfungibleTokenPositionDescriptor": (
            f"{periphery}NonfungibleTokenPositionDescriptor.sol/"
        ),
        "NonfungiblePositionManager": f"{periphery}NonfungiblePositionManager.sol/",
        "QuoterV2": f"{periphery}lens/QuoterV2.sol/",
    }
    return {name: packaged(f"{folder}{name}.json") for name, folder in paths.items()}


def deploy_venue(deployer: Deployer, weth: str) -> Venue:
    """Create the factory (with the 0.01 % fee tier), position manager, router and quoter."""
    artifacts = venue_artifacts()
    factory = deployer.deploy(artifacts["UniswapV3Factory"])
    factory.send("enableFeeAmount", LOWEST_FEE, 1)
    library = deployer.deploy(artifacts["NFTDescriptor"])
    descriptor = deployer.deploy(
        artifacts["NonfungibleTokenPositionDescriptor"],
        weth,
        b"ETH".ljust(32, b"\0"),
        libraries={"NFTDescriptor": library.address},
    )
    return Venue(
        factory=factory,
        manager=deployer.deploy(
            artifacts["NonfungiblePositionManager"], factory.address, weth, descriptor.address
        ),
        router=deployer.deploy(artifacts["SwapRouter"], factory.address, weth),
        quoter=deployer.deploy(artifacts["QuoterV2"], factory.address, weth),
    )


def create_pools(
    venue: Venue, tokens: Mapping[str, Contract], specs: Sequence[PoolSpec] = POOLS
) -> None:
    """Create the pools at the oracle's first prices and fill them from the sender's balance."""
    prices = {symbol: asset.price for symbol, asset in BY_SYMBOL.items()}
    for spec in specs:
        first, second = ordered(spec, tokens)
        root = target_sqrt_price(first, second, prices)
        pair = (tokens[first].address, tokens[second].address, spec.fee)
        venue.manager.send("createAndInitializePoolIfNecessary", *pair, root)
        for ticks, usd in _build_positions(spec, root):
            amounts = [BY_SYMBOL[symbol].units_worth(usd) for symbol in (first, second)]
            terms = (*pair, *ticks, *amounts, 0, 0, venue.manager.sender, FOREVER)
            venue.manager.send("mint", terms)


def pool_address(venue: Venue, tokens: Mapping[str, Contract], spec: PoolSpec) -> str:
    """Return a pool's address, in lower case."""
    first, second = tokens[spec.first].address, tokens[spec.second].address
    return str(venue.factory.call("getPool", first, second, spec.fee))


def aligning_swap(
    venue: Venue, tokens: Mapping[str, Contract], spec: PoolSpec, prices: Mapping[str, int]
) -> Transaction | None:
    """Build the swap that moves the pool exactly to the oracle's price. None if it is there."""
    first, second = ordered(spec, tokens)
    target = target_sqrt_price(first, second, prices)
    pool = Contract(
        venue.factory.node,
        venue_artifacts()["UniswapV3Pool"],
        pool_address(venue, tokens, spec),
        venue.factory.sender,
    )
    current = pool.call("slot0")[0]
    if current == target:
        return None
    sold, bought = (first, second) if target < current else (second, first)
    whale = venue.router.sender
    amount = tokens[sold].call("balanceOf", whale) // len(POOLS)
    terms = (tokens[sold].address, tokens[bought].address, spec.fee, whale, FOREVER, amount, 0)
    return venue.router.transaction("exactInputSingle", (*terms, target))


def ordered(spec: PoolSpec, tokens: Mapping[str, Contract]) -> tuple[str, str]:
    """Return the pool's symbols in the pool's order, by address."""
    first, second = sorted(
        (spec.first, spec.second), key=lambda symbol: int(tokens[symbol].address, 16)
    )
    return first, second


def target_sqrt_price(first: str, second: str, prices: Mapping[str, int]) -> int:
    """Compute the pool's square-root price (Q64.96) at the oracle's prices, rounded down."""
    numerator = prices[first] * BY_SYMBOL[second].unit
    denominator = prices[second] * BY_SYMBOL[first].unit
    return isqrt((numerator << 192) // denominator)


def _build_positions(spec: PoolSpec, root: int) -> list[tuple[tuple[int, int], int]]:
    """Return ``((lower, upper), usd of each token)`` of the two positions."""
    spacing = _SPACING[spec.fee]
    last = _LAST_TICK // spacing * spacing
    tick = _find_tick(root) // spacing * spacing
    width = max(_NARROW_TICKS // spacing, 1) * spacing
    depth = spec.depth * PRICE_UNIT
    narrow = (tick - width, tick + width)
    return [((-last, last), depth), (narrow, depth // _NARROW_SHARE)]


def _find_tick(root: int) -> int:
    """Find the approximate tick of a square-root price by bisecting powers of 1.0001."""
    low, high = -_LAST_TICK, _LAST_TICK
    while high - low > 1:
        middle = (low + high) // 2
        if _compute_root(middle) <= root:
            low = middle
        else:
            high = middle
    return low


def _compute_root(tick: int) -> int:
    """Compute the square-root price of a tick, Q64.96, to about 30 digits."""
    power = _compute_power(tick if tick >= 0 else -tick)
    squared = power << 64 if tick >= 0 else (1 << 320) // power
    return isqrt(squared)


def _compute_power(exponent: int) -> int:
    """Compute 1.0001**exponent, Q128, rounded down at each step."""
    result, base = 1 << 128, ((10_001 << 128) // 10_000)
    while exponent:
        if exponent & 1:
            result = result * base >> 128
        base = base * base >> 128
        exponent >>= 1
    return result
