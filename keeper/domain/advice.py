"""What would cure an account: how much to add or to repay, and where liquidation would start."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from keeper.domain.units import BPS, Address, BaseCurrency, Timestamp, TokenUnits, Wad


class CureKind(enum.StrEnum):
    """The two ways to a better health factor."""

    ADD_COLLATERAL = "add_collateral"
    REPAY_DEBT = "repay_debt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """
    The least of one token that brings the account to the target health at ``Advice.holds_until``.

    One unit less does not, and every unit more does. ``value`` is what it is worth now, rounded
    up; 0 where that is not known. ``clears`` says that it is the whole debt. ``is_new`` collateral
    backs nothing yet: adding it makes it count. A debt at a ``stable_rate`` is one of its own.
    """

    kind: CureKind
    token: Address
    symbol: str
    decimals: int
    amount: TokenUnits
    value: BaseCurrency
    clears: bool = False
    is_new: bool = False
    stable_rate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationPrice:
    """
    The highest price of a collateral, or the lowest of a debt, at which liquidation starts.

    All other prices and the balances of the snapshot's block stand still; in the market's base
    currency per whole token. A token is missing where no price of it alone would do.

    ``is_floor``: at the price and below it the account is liquidatable, as with a collateral; else
    at the price and above it. ``ratio`` (numerator, denominator) is the price over ``now``, exact
    even where both are rounded. Both are None in what an earlier version stored.
    """

    token: Address
    symbol: str
    price: BaseCurrency
    now: BaseCurrency
    is_floor: bool | None = None
    ratio: tuple[int, int] | None = None

    @property
    def move(self) -> "Move | None":
        """How far the price has to move; None where it is not known which way."""
        if self.is_floor is None:
            return None
        at, now = self.ratio if self.ratio is not None else (self.price, self.now)
        distance = abs(at - now) * BPS
        if now <= at if self.is_floor else now >= at:
            return Move(bps=distance // now + 1, up=self.is_floor, begins=False)
        return Move(bps=-(-distance // now), up=not self.is_floor, begins=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """
    The least whole number of ``bps`` by which a price has to rise (``up``) or to fall.

    After it liquidation has begun, or (not ``begins``) ended.
    """

    bps: int
    up: bool
    begins: bool

    def applied(self, price: int, *, short: bool = False) -> int:
        """Return a price after the move, rounded outwards; ``short``: a bps before, inwards."""
        bps = self.bps - short
        moved = price * (BPS + bps if self.up else BPS - bps)
        return -(-moved // BPS) if self.up != short else moved // BPS


def cheapest_first(cures: Iterable[Cure]) -> tuple[Cure, ...]:
    """Return cures by what they are worth, in an order that never depends on anything else."""
    return tuple(sorted(cures, key=lambda one: (one.value, one.kind, one.token, one.stable_rate)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """
    Every possible cure of an account, the cheapest first, at a stated time.

    A cure is reckoned as done in a block of the time ``holds_until``, after the interest until
    then, at the prices of the snapshot and with nobody else acting in between: so applied it is
    exact. Applied earlier it reaches the target at that time too: collateral does not shrink,
    a debt that is repaid stops growing, and what the cure does to rates is not in it.

    ``untreated`` is the health factor then if nothing is done: at the target or above it
    nothing is advised. ``impossible`` says, one line each, why other ways are shut (a cap, a
    freeze, a pause), or why nothing can be told at all. ``block_number`` and ``timestamp`` are
    those of the block whose prices it rests on; None in what an earlier version stored.
    """

    target: Wad
    holds_until: Timestamp
    untreated: Wad | None = None
    cures: tuple[Cure, ...] = ()
    prices: tuple[LiquidationPrice, ...] = ()
    impossible: tuple[str, ...] = ()
    block_number: int | None = None
    timestamp: Timestamp | None = None
