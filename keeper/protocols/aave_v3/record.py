"""Encodes a pool and its accounts for the record, and decodes a snapshot from it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, cast

from keeper.audit.canonical import Part, restored
from keeper.columns.view import View
from keeper.domain.head import Head
from keeper.domain.units import Address
from keeper.ports import MarketSnapshot
from keeper.protocols.aave_v3.accounts import filled
from keeper.protocols.aave_v3.model import Account, PoolState, ReserveState
from keeper.protocols.aave_v3.snapshot import AaveSnapshot

VERSION: Final = "1"


def market_facts(snapshot: MarketSnapshot) -> object:
    """Encode the contracts' data of the pool without its accounts.

    The structure and each reserve are separate parts, which are stored once while unchanged.
    """
    pool = _narrow_snapshot(snapshot).pool
    reserves = {at: Part(_encode_reserve(state)) for at, state in pool.reserves.items()}
    own = {field.name: getattr(pool, field.name) for field in dataclasses.fields(pool)}
    return {
        "version": VERSION,
        "pool": own | {"structure": Part(pool.structure), "reserves": reserves},
    }


def _encode_reserve(state: ReserveState) -> object:
    own = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return own | {"reserve": Part(state.reserve)}


def account_facts(snapshot: MarketSnapshot, account: Address) -> object | None:
    """Encode the account's flags, eMode and holdings, before interest."""
    return _narrow_snapshot(snapshot).borrowers.get(account)


def _narrow_snapshot(snapshot: MarketSnapshot) -> AaveSnapshot:
    """Return the snapshot as this protocol's own type, also if it is wrapped."""
    return cast(AaveSnapshot, snapshot)


def snapshot_of(
    head: Head, facts: Mapping[str, Any], accounts: Mapping[Address, object]
) -> AaveSnapshot:
    """Decode the market with these accounts.

    Raises:
        ValueError: the facts are not those of a pool, or have another version.
    """
    if facts.get("version") != VERSION:
        raise ValueError(f"facts of version {facts.get('version')}, not {VERSION}")
    pool = restored(PoolState, facts["pool"])
    theirs = {one: restored(Account, document) for one, document in accounts.items()}
    return AaveSnapshot(
        head=head,
        pool=dataclasses.replace(pool, reserves=dict(sorted(pool.reserves.items()))),
        view=View(filled(theirs)),
        warnings=(),
    )
