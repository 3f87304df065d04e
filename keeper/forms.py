"""Codecs of adapters for the record of decision inputs.

A protocol has them in ``keeper/protocols/<protocol>/record.py``, a kind of venue in
``keeper/quotes/<kind>/record.py``. Adapters without codecs work too. Their decisions are recorded
without inputs and cannot be replayed. Facts have a canonical form (``keeper.audit.canonical``) and
state their version.
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
    """Codec of a protocol."""

    def market_facts(self, snapshot: MarketSnapshot) -> object:
        """Encode the contracts' data of the market without its accounts."""
        ...

    def account_facts(self, snapshot: MarketSnapshot, account: Address) -> object | None:
        """Encode the contracts' data of an account. None if it is unknown."""
        ...

    def snapshot_of(
        self, head: Head, facts: Mapping[str, Any], accounts: Mapping[Address, object]
    ) -> MarketSnapshot:
        """Decode the market with these accounts.

        Raises:
            ValueError: the facts are not those of such a market, or have another version.
        """
        ...


class VenueForm(Protocol):
    """Codec of a kind of venue."""

    def curve_facts(self, curve: ExitCurve) -> object:
        """Encode the data of a pool."""
        ...

    def lender_facts(self, lender: FlashLender) -> object:
        """Encode the data of a pool as a lender."""
        ...

    def curve_of(self, facts: Mapping[str, Any]) -> ExitCurve:
        """Decode a pool. ValueError if the facts are not those of one."""
        ...

    def lender_of(self, facts: Mapping[str, Any]) -> FlashLender:
        """Decode a lender. ValueError if the facts are not those of one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """Codecs by the protocol's name and by the venue's kind. None if there is none."""

    market: Callable[[str], MarketForm | None]
    venue: Callable[[str], VenueForm | None]
