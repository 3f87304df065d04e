"""Differences between an account in the book and the contracts' own answers."""

from dataclasses import dataclass

from keeper.domain.units import Address, MarketKey

Subject = tuple[MarketKey, Address]
"""An account of a market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of an account at one block that differs from the contracts."""

    market: MarketKey
    account: Address
    what: str
    ours: str
    theirs: str

    @property
    def subject(self) -> Subject:
        """The account."""
        return (self.market, self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityNews:
    """An account began to differ from the contracts (``agrees`` False), or agrees again."""

    difference: Difference
    agrees: bool
