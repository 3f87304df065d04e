"""
The forms in which adapters put on record what they read, and the ways back.

A protocol has them in ``keeper/protocols/<protocol>/record.py``, a kind of venue in
``keeper/quotes/<kind>/record.py``. Who has none works all the same: its decisions are
recorded without what they were made of, and cannot be replayed. Facts have a canonical form
(``keeper.audit.canonical``) and say of which version they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from keeper.domain.curve import ExitCurve
from keeper.domain.head import Head
from keeper.domain.opportunity import FlashLender
from keeper.domain.units import Address
from keeper.ports import MarketSnapshot


class MarketForm(Protocol):
    """A protocol's form."""

    def market_facts(self, snapshot: MarketSnapshot) -> object:
        """Return everything that the contracts said of the market but its accounts."""
        ...

    def account_facts(self, snapshot: MarketSnapshot, account: Address) -> object | None:
        """Return everything that the contracts said of an account; None if it is not known."""
        ...

    def snapshot_of(
        self, head: Head, facts: Mapping[str, Any], accounts: Mapping[Address, object]
    ) -> MarketSnapshot:
        """
        Return the market of these facts with these accounts of it.

        Raises:
            ValueError: these are not the facts of such a market, or of another version.
        """
        ...


class VenueForm(Protocol):
    """A kind of venue's form."""

    def curve_facts(self, curve: ExitCurve) -> object:
        """Return everything that was read of a pool."""
        ...

    def lender_facts(self, lender: FlashLender) -> object:
        """Return what is known of a pool as a lender."""
        ...

    def curve_of(self, facts: Mapping[str, Any]) -> ExitCurve:
        """Return the pool of these facts; ValueError where they are not one's."""
        ...

    def lender_of(self, facts: Mapping[str, Any]) -> FlashLender:
        """Return the lender of these facts; ValueError where they are not one's."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The forms by the protocol's name and by the venue's kind; None where there is none."""

    market: Callable[[str], MarketForm | None]
    venue: Callable[[str], VenueForm | None]
