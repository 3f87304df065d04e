"""Exposure of an account by token, for what-if questions about prices."""

from dataclasses import dataclass

from keeper.domain.units import Address, Wad


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureLeg:
    """One token of an account, with its collateral and its debt.

    ``collateral`` and ``debt`` are values in the exposure's own unit. ``weight`` is the liquidation
    threshold, ``bonus`` the value seized per value repaid, principal included.
    """

    token: Address
    symbol: str
    collateral: int
    debt: int
    weight: Wad
    bonus: Wad


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """The legs of an account.

    Value times ``per_base`` (numerator, denominator) is base currency.
    """

    legs: tuple[ExposureLeg, ...]
    per_base: tuple[int, int] = (1, 1)
