"""Explains an account from the record alone."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from keeper.audit.chain import Entry
from keeper.cli.addresses import refuse_no_address
from keeper.cli.records import read_record
from keeper.cli.story import Story, Undecided, Verdict
from keeper.composition.replay import inputs_of, replayed, stage_of
from keeper.composition.wiring import FORMS
from keeper.domain.errors import ConfigError, JournalError
from keeper.domain.units import Address, MarketKey
from keeper.margin.state import MarginState
from keeper.risk.tiers import Thresholds
from keeper.storage import episodes
from keeper.storage.decisions import DECISION
from keeper.storage.deliveries import DELIVERY, account_history
from keeper.storage.record import accounts_beginning, documents_of

T = TypeVar("T")


def past_of(path: Path, account: Address, block: int) -> list[Entry]:
    """Read the recorded history of an account up to a block. Empty without a record."""
    found = _read_if_there(path, partial(account_history, account=account)) or []
    return [one for one in found if one.block_number <= block]


def on_record(path: Path, beginning: str) -> set[Address]:
    """Return the recorded accounts with this beginning (lower case). Empty without a record."""
    return set(_read_if_there(path, lambda one: accounts_beginning(one, beginning)) or ())


def remembered(path: Path) -> MarginState | None:
    """Read the stored state of a keeper's margin calls. None without a file."""
    return _read_if_there(path, episodes.state_of)


def _read_if_there(path: Path, work: Callable[[Connection], T]) -> T | None:
    """Read from a record. None if there is none, or it is unreadable."""
    try:
        return read_record(path, work) if path.exists() else None
    except JournalError:
        return None


def recorded_stories(
    path: Path, wanted: str, block: int | None, thresholds: Thresholds
) -> list[Story | Undecided]:
    """Return an account's story in every market, as far as it is recorded.

    Its health and the verdict are recomputed from the newest decision up to ``block``. Markets
    without a decision come last, with their other entries.

    Raises:
        ConfigError: no recorded account or several begin so, or no entry is that old.
        JournalError: there is no record.
    """
    account = _find_account(path, refuse_no_address(wanted))
    past = read_record(path, partial(account_history, account=account))
    past = [one for one in past if block is None or one.block_number <= block]
    if not past:
        raise ConfigError(
            f"nothing about {account} is on record up to block {block}",
            hint="without --recorded the node is asked",
        )
    by_market: dict[MarketKey, list[Entry]] = {}
    for one in past:
        for market in markets_of(one):
            by_market.setdefault(market, []).append(one)
    stories = list[Story | Undecided]()
    rest = list[Story | Undecided]()
    for market, mine in by_market.items():
        decided = [one for one in mine if one.kind == DECISION and inputs_of(one)]
        if decided:
            stories.append(_build_story(path, decided[-1], mine, thresholds))
        else:
            rest.append(Undecided(market=market, account=account, past=mine))
    return [*stories, *rest]


def markets_of(entry: Entry) -> list[MarketKey]:
    """Return the markets of an entry. A digest's delivery has them in its keys."""
    if entry.market is not None or entry.kind != DELIVERY:
        return [] if entry.market is None else [entry.market]
    keys = [one["key"] for one in json.loads(entry.body)["notices"]]
    return sorted({MarketKey(key.split("/")[1]) for key in keys if key.count("/") > 1})


def _build_story(path: Path, entry: Entry, past: list[Entry], thresholds: Thresholds) -> Story:
    texts = read_record(path, partial(documents_of, text=entry.body))
    stage = stage_of(entry, texts, FORMS)
    if stage is None or entry.account is None:
        raise JournalError(f"entry {entry.id} is not whole")
    (found,) = asyncio.run(replayed([entry], texts, FORMS))
    snapshot = next(one for one in stage.snapshots if one.market == entry.market)
    return Story(
        head=stage.stored.head,
        snapshot=snapshot,
        account=entry.account,
        health=snapshot.account(entry.account),
        verdicts=() if found.decision is None else (Verdict(decision=found.decision),),
        past=past,
        thresholds=thresholds,
    )


def _find_account(path: Path, lowered: str) -> Address:
    def work(connection: Connection) -> list[Address]:
        return accounts_beginning(connection, lowered)

    found = read_record(path, work)
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"{lowered} begins {len(found)} accounts",
            hint=f"for example {found[0]} or {found[1]}",
        )
    raise ConfigError(f"no account on record begins with {lowered}", hint="see `keeper scan`")
