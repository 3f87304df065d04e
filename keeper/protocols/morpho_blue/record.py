"""Encodes a market and its accounts for the record, and decodes a snapshot from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from keeper.audit.canonical import Part, restored
from keeper.columns.view import View
from keeper.domain.head import Head
from keeper.domain.units import Address, BaseCurrency, TokenUnits
from keeper.ports import MarketSnapshot
from keeper.protocols.morpho_blue.accounts import filled
from keeper.protocols.morpho_blue.model import Market, OraclePrice, Position, State, Token
from keeper.protocols.morpho_blue.snapshot import MorphoSnapshot

VERSION: Final = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """A snapshot's fields as they are stored."""

    morpho: Address
    read: Market
    state: State
    price: OraclePrice | None
    usd: Mapping[Address, BaseCurrency]
    tokens: Mapping[Address, Token]
    held: Mapping[Address, TokenUnits]


def market_facts(snapshot: MarketSnapshot) -> object:
    """Encode the contracts' data of the market without its accounts.

    The data that all markets of the deployment share, and permanent data, are separate parts.
    """
    own = cast(MorphoSnapshot, snapshot)
    return {
        "version": VERSION,
        "market": {
            "morpho": own.morpho,
            "read": Part(own.read),
            "state": own.state,
            "price": own.price,
            "usd": Part(own.usd),
            "tokens": Part(own.tokens),
            "held": own.held,
        },
    }


def account_facts(snapshot: MarketSnapshot, account: Address) -> object | None:
    """Encode the account's position, before interest."""
    return cast(MorphoSnapshot, snapshot).positions.get(account)


def snapshot_of(
    head: Head, facts: Mapping[str, Any], accounts: Mapping[Address, object]
) -> MorphoSnapshot:
    """Decode the market with these accounts.

    Raises:
        ValueError: the facts are not those of a market, or have another version.
    """
    if facts.get("version") != VERSION:
        raise ValueError(f"facts of version {facts.get('version')}, not {VERSION}")
    kept = restored(_Facts, facts["market"])
    theirs = {one: restored(Position, document) for one, document in accounts.items()}
    return MorphoSnapshot(
        head=head,
        morpho=kept.morpho,
        read=kept.read,
        state=kept.state,
        price=kept.price,
        usd=kept.usd,
        tokens=kept.tokens,
        held=kept.held,
        view=View(filled(theirs)),
    )
