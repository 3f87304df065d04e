"""Advice for an account. Amounts that restore its health, and its liquidation prices."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from keeper.domain.units import BPS, Address, BaseCurrency, Timestamp, TokenUnits, Wad


class CureKind(enum.StrEnum):
    """Kinds of cure."""

    ADD_COLLATERAL = "add_collateral"
    REPAY_DEBT = "repay_debt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """The smallest amount of one token that restores the account's target health factor.

    The target holds at ``Advice.holds_until``.

    One unit less does not, and every unit more does. ``value`` is what it is worth now, rounded up.
    0 where that is not known. ``clears`` says that it is the whole debt. ``is_new`` collateral
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
    """The highest price of a collateral, or the lowest of a debt, at which liquidation starts.

    Other prices and balances stay as in the snapshot's block. In the market's base currency per
    whole token. Tokens are left out if no price of theirs alone causes a liquidation.

    With ``is_floor`` the account is liquidatable at or below the price (collateral), otherwise at
    or above it. ``ratio`` (numerator, denominator) is the price over ``now``, exact even where both
    are rounded. Both are None in data that an earlier version stored.
    """

    token: Address
    symbol: str
    price: BaseCurrency
    now: BaseCurrency
    is_floor: bool | None = None
    ratio: tuple[int, int] | None = None

    @property
    def move(self) -> "Move | None":
        """The distance to the liquidation price. None if its direction is unknown."""
        if self.is_floor is None:
            return None
        at, now = self.ratio if self.ratio is not None else (self.price, self.now)
        distance = abs(at - now) * BPS
        if now <= at if self.is_floor else now >= at:
            return Move(bps=distance // now + 1, up=self.is_floor, begins=False)
        return Move(bps=-(-distance // now), up=not self.is_floor, begins=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Smallest whole number of ``bps`` by which a price has to rise (``up``) or fall.

    Afterwards the account is liquidatable, or with ``begins`` False no longer liquidatable.
    """

    bps: int
    up: bool
    begins: bool

    def applied(self, price: int, *, short: bool = False) -> int:
        """Return a price after the move, rounded outwards.

        With ``short`` one bps before it, rounded inwards.
        """
        bps = self.bps - short
        moved = price * (BPS + bps if self.up else BPS - bps)
        return -(-moved // BPS) if self.up != short else moved // BPS


def cheapest_first(cures: Iterable[Cure]) -> tuple[Cure, ...]:
    """Sort cures by value, with a stable order among equal values."""
    return tuple(sorted(cures, key=lambda one: (one.value, one.kind, one.token, one.stable_rate)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Every possible cure of an account, cheapest first, for a stated time.

    Amounts assume execution in a block at ``holds_until``, with the interest until then, at the
    snapshot's prices, and no other action in between. Under these conditions they are exact.
    Executed earlier, a cure also reaches the target at that time, because collateral does not
    shrink and repaid debt stops growing. The cure's own effect on interest rates is not included.

    ``untreated`` is the health factor at that time without a cure. At or above the target there is
    no advice. ``impossible`` holds one line per cure that is not possible (a cap, a freeze, a
    pause), or the reason why no advice can be computed. ``block_number`` and ``timestamp`` are
    those of the block that supplied the prices. They are None in data that an earlier version
    stored.
    """

    target: Wad
    holds_until: Timestamp
    untreated: Wad | None = None
    cures: tuple[Cure, ...] = ()
    prices: tuple[LiquidationPrice, ...] = ()
    impossible: tuple[str, ...] = ()
    block_number: int | None = None
    timestamp: Timestamp | None = None
