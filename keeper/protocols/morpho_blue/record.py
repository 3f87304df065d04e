"""What a market and its accounts are made of, for the record, and a snapshot of that again."""

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
    """
    Return everything that the contracts said of the market but its accounts.

    What all markets of the deployment share is a part of its own, and so is what never changes.
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
    """Return the account's position, before interest."""
    return cast(MorphoSnapshot, snapshot).positions.get(account)


def snapshot_of(
    head: Head, facts: Mapping[str, Any], accounts: Mapping[Address, object]
) -> MorphoSnapshot:
    """
    Return the market of these facts with these accounts of it.

    Raises:
        ValueError: these are not the facts of a market, or of another version.
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
