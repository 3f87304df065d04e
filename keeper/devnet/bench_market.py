"""Markets in which as many accounts cross the line in a block as a benchmark wants."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.assets import BY_SYMBOL, PRICE_UNIT
from keeper.devnet.borrowers import Borrower, enter_market, planned_borrowers
from keeper.devnet.market import AAVE_V3, MORPHO_BLUE, Devnet
from keeper.devnet.morpho import enter_markets
from keeper.devnet.morpho_markets import MARKETS, MorphoBorrower, planned_morpho_borrowers
from keeper.devnet.prices import price_transactions
from keeper.domain.units import BPS, WAD

SEED: Final = 1
SHAPES: Final = ("equal", "spread")
"""A crowd's sizes: all alike, or each of its own."""

_COLLATERAL, _DEBT = "WETH", "USDC"
_FIRST_HEALTH: Final = 103_700  # in 1e-5; an account at its loan-to-value has 1.03125
_STEP: Final = 200
_ONE: Final = 100_000
_BELOW: Final = 50  # how far below the line a step takes its accounts, in 1e-5
_VALUE: Final = 20_000 * PRICE_UNIT
_MORE_VALUE: Final = 500 * PRICE_UNIT
_EQUAL: Final = 4_000 * PRICE_UNIT
_SMALLEST: Final = 3_000 * PRICE_UNIT
_SIZES: Final = 1_000
_DEBT_KEPT: Final = 7_000  # of what others owe, in bps: they stay healthy throughout


@dataclass(frozen=True, slots=True, kw_only=True)
class Stairs:
    """
    Accounts that cross in groups, one group per step of the price, among others that do not.

    ``steps`` groups of ``width`` accounts in a market of ``borrowers`` of one ``protocol``.
    """

    borrowers: int
    steps: int
    width: int = 1
    protocol: str = AAVE_V3

    def accounts(self) -> tuple[Borrower, ...]:
        """List all borrowers, the ones on the stairs first."""
        on_stairs = self.on_stairs()
        others = planned_borrowers(max(0, self.borrowers - len(on_stairs)), SEED)
        return (*on_stairs, *(_make_healthier(one) for one in others))

    def on_stairs(self) -> tuple[Borrower, ...]:
        """Return those that cross, in their order."""
        return tuple(
            _build_stair(step, place) for step in range(self.steps) for place in range(self.width)
        )

    def price(self, step: int) -> int:
        """Return the collateral's price (8 decimals) that takes the step's group over the line."""
        first = BY_SYMBOL[_COLLATERAL].price
        return first * _ONE // _compute_health(step) * (_ONE - _BELOW) // _ONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd(Stairs):
    """
    Stairs of one account each, the last of which takes ``size`` accounts at once.

    ``shape`` says whether these are all alike, or of as many sizes.
    """

    size: int
    shape: str = SHAPES[0]

    def on_stairs(self) -> tuple[Borrower, ...]:
        """Return one borrower for each step but the last, then the crowd."""
        alone = [_build_stair(step, 0) for step in range(self.steps - 1)]
        crowd = [
            _build_stair(
                self.steps - 1,
                place,
                value=_EQUAL if self.shape == SHAPES[0] else _compute_size(place),
            )
            for place in range(self.size)
        ]
        return (*alone, *crowd)


def _compute_size(place: int) -> int:
    """Compute a size in the crowd. Sizes differ, the largest is four times the least."""
    return _SMALLEST + place * 7919 % _SIZES * (3 * _SMALLEST) // _SIZES


def settle(devnet: Devnet, stairs: Stairs) -> None:
    """Let the accounts enter the market of a devnet that has none."""
    _SETTLERS[stairs.protocol](devnet, stairs)


def _settle_pool(devnet: Devnet, stairs: Stairs) -> None:
    enter_market(devnet.node, devnet.aave, devnet.tokens, stairs.accounts())


def _settle_isolated(devnet: Devnet, stairs: Stairs) -> None:
    """Put the stairs into the first market of the same two tokens, others into all markets."""
    assert devnet.morpho is not None  # noqa: S101 - the protocol was asked for
    on_stairs = stairs.on_stairs()
    others = planned_morpho_borrowers(max(0, stairs.borrowers - len(on_stairs)), SEED)
    accounts = (
        *map(_convert_to_isolated, on_stairs),
        *(replace(one, debt=one.debt * _DEBT_KEPT // BPS) for one in others),
    )
    enter_markets(devnet.morpho, accounts, devnet.tokens)


def _convert_to_isolated(borrower: Borrower) -> MorphoBorrower:
    """Convert to a borrower of the first market that becomes liquidatable at the same price."""
    spec, threshold = MARKETS[0], BY_SYMBOL[_COLLATERAL].threshold
    return MorphoBorrower(
        address=borrower.address,
        market=spec.name,
        collateral=borrower.collateral[_COLLATERAL],
        debt=borrower.debt[_DEBT] * spec.lltv * BPS // (threshold * WAD),
    )


_SETTLERS: Final[Mapping[str, Callable[[Devnet, Stairs], None]]] = {
    AAVE_V3: _settle_pool,
    MORPHO_BLUE: _settle_isolated,
}


def queue_prices(devnet: Devnet, price: int) -> None:
    """Submit the updates to ``price`` and the following swaps, without mining them."""
    for one in _iterate_updates(devnet, price):
        devnet.node.rpc("eth_sendTransaction", [one])


def _iterate_updates(devnet: Devnet, price: int) -> Iterator[dict[str, str]]:
    changes = {_COLLATERAL: price}
    for one in price_transactions(devnet.venue, devnet.tokens, devnet.feeds, changes):
        yield one.as_json()


def _build_stair(step: int, place: int, value: int | None = None) -> Borrower:
    if value is None:
        value = _VALUE + place * _MORE_VALUE
    debt = value * BY_SYMBOL[_COLLATERAL].threshold // BPS * _ONE // _compute_health(step)
    return Borrower(
        address=str(to_checksum_address(keccak(text=f"stair {step} {place}")[-20:])),
        kind="stair",
        collateral={_COLLATERAL: BY_SYMBOL[_COLLATERAL].units_worth(value)},
        debt={_DEBT: BY_SYMBOL[_DEBT].units_worth(debt)},
    )


def _compute_health(step: int) -> int:
    """Compute the health factor at the first prices, in 1e-5."""
    return _FIRST_HEALTH + step * _STEP


def _make_healthier(borrower: Borrower) -> Borrower:
    kept = {symbol: amount * _DEBT_KEPT // BPS for symbol, amount in borrower.debt.items()}
    return replace(borrower, debt=kept)
