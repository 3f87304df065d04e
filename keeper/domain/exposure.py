"""What an account's health is made of, token by token, for asking what if prices moved."""

from dataclasses import dataclass

from keeper.domain.units import Address, Wad


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureLeg:
    """
    One token of an account: what of it backs the debt, and what of it is owed.

    ``collateral`` and ``debt`` are values in a unit of the exposure's own; ``weight`` is what a
    unit of collateral counts in the health factor, ``bonus`` what is seized for a unit repaid,
    principal included.
    """

    token: Address
    symbol: str
    collateral: int
    debt: int
    weight: Wad
    bonus: Wad


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """An account's legs; value times ``per_base`` (numerator, denominator) is base currency."""

    legs: tuple[ExposureLeg, ...]
    per_base: tuple[int, int] = (1, 1)
