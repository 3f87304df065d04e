"""What would cure an account: how much to add or to repay, and where liquidation would start."""

import enum
from dataclasses import dataclass

from keeper.domain.units import Address, BaseCurrency, Timestamp, TokenUnits, Wad


class CureKind(enum.StrEnum):
    """The two ways to a better health factor."""

    ADD_COLLATERAL = "add_collateral"
    REPAY_DEBT = "repay_debt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """
    The least of one token that brings the account to the target health at ``Advice.holds_until``.

    One unit less does not. ``value`` is what it is worth now, rounded up.
    """

    kind: CureKind
    token: Address
    symbol: str
    decimals: int
    amount: TokenUnits
    value: BaseCurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationPrice:
    """
    The highest price of a collateral, or the lowest of a debt, at which liquidation starts.

    All other prices stand still; in the market's base currency per whole token.
    """

    token: Address
    symbol: str
    price: BaseCurrency
    now: BaseCurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """
    Every possible cure of an account, the cheapest first, at a stated time.

    ``impossible`` says, one line each, why other ways are shut (a cap, a freeze, a pause).
    """

    target: Wad
    holds_until: Timestamp
    cures: tuple[Cure, ...]
    prices: tuple[LiquidationPrice, ...]
    impossible: tuple[str, ...] = ()
