"""Collects a block's facts for margin calls from snapshots and the chain."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Final

from keeper.abilities import (
    NamesLiquidated,
    RemembersLogs,
    ScreensBelow,
    StatesReadings,
    WeighsLegs,
    WeighsMany,
)
from keeper.domain.account import AccountHealth
from keeper.domain.errors import ChainError
from keeper.domain.exposure import Exposure
from keeper.domain.oracle import SecondPrice
from keeper.domain.parity import Subject
from keeper.domain.reads import Log
from keeper.domain.units import Address, BlockHash, MarketKey, Wad, deployment
from keeper.margin.facts import BlockFacts, MarketFacts
from keeper.ports import (
    ChainReader,
    LendingMarket,
    MarketBook,
    MarketSnapshot,
    ScreensAccounts,
    Valuer,
)

SLICE: Final = 256
"""Accounts processed before other tasks of the event loop get their turn."""


DOLLAR: Final = 10**8
"""The base unit of markets that count in dollars."""

Seconds = Mapping[MarketKey, Mapping[Address, tuple[SecondPrice, ...]]]


@dataclass(slots=True)
class Legs:
    """Exposures of a block's accounts, each computed once."""

    hash: BlockHash | None = None
    known: dict[Subject, Exposure | None] = field(default_factory=dict)

    async def of(
        self, snapshots: Sequence[MarketSnapshot], subjects: Sequence[Subject]
    ) -> Mapping[Subject, Exposure]:
        """Return the exposures of the accounts that the snapshots can value."""
        if snapshots and snapshots[0].head.hash != self.hash:
            self.hash, self.known = snapshots[0].head.hash, {}
        by_market = {one.market: one for one in snapshots}
        missing = [one for one in subjects if one not in self.known]
        for market, group in groupby(missing, key=lambda one: one[0]):
            waiting = (account for _, account in group)
            while some := list(islice(waiting, SLICE)):
                await asyncio.sleep(0)
                found = dict(_iterate_exposures(by_market.get(market), some))
                self.known.update(((market, one), found.get(one)) for one in some)
        found_all = ((one, self.known[one]) for one in subjects)
        return {one: exposure for one, exposure in found_all if exposure is not None}


def _iterate_exposures(
    snapshot: MarketSnapshot | None, accounts: Sequence[Address]
) -> Iterator[tuple[Address, Exposure]]:
    if isinstance(snapshot, WeighsMany):
        yield from snapshot.exposures(accounts)
    elif isinstance(snapshot, WeighsLegs):
        for account in accounts:
            exposure = snapshot.exposure(account)
            if exposure is not None:
                yield account, exposure


async def healths(
    snapshots: Sequence[MarketSnapshot], line: Wad, others: Sequence[Subject]
) -> Mapping[Subject, AccountHealth]:
    """Collect the accounts below a health factor, and ``others`` that have debt."""
    accounts = dict[Subject, AccountHealth]()
    members = dict[MarketKey, list[Address]]()
    for market, account in others:
        members.setdefault(market, []).append(account)
    for snapshot in snapshots:
        for one in _list_below(snapshot, line):
            accounts[one.market, one.account] = one
        for at, account in enumerate(members.get(snapshot.market, ())):
            if (snapshot.market, account) in accounts:
                continue
            if at % SLICE == 0:
                await asyncio.sleep(0)
            health = snapshot.account(account)
            if health is not None:
                accounts[snapshot.market, account] = health
    return accounts


def past_the_line(snapshots: Sequence[MarketSnapshot]) -> dict[Subject, AccountHealth]:
    """Return the liquidatable accounts by market and account."""
    found = dict[Subject, AccountHealth]()
    for snapshot in snapshots:
        if isinstance(snapshot, ScreensAccounts):
            past = snapshot.liquidatable()
        else:
            past = [one for one in snapshot.accounts() if one.liquidatable]
        found.update(((one.market, one.account), one) for one in past)
    return found


def stated(
    snapshots: Sequence[MarketSnapshot], seconds: Seconds
) -> Mapping[MarketKey, MarketFacts]:
    """Read a block's prices, by market."""
    return {
        one.market: MarketFacts(
            readings=tuple(one.readings()) if isinstance(one, StatesReadings) else (),
            seconds=seconds.get(one.market, {}),
            usd_per_base=(1, 1) if one.base_unit == DOLLAR else None,
        )
        for one in snapshots
    }


async def valued(
    facts: BlockFacts, snapshots: Sequence[MarketSnapshot], valuer: Valuer
) -> Mapping[MarketKey, MarketFacts]:
    """Return the markets' facts with dollar rates added for other base currencies."""
    found = dict(facts.markets)
    for snapshot in snapshots:
        stated = found[snapshot.market]
        if stated.usd_per_base is None:
            valuation = await valuer.valuation(snapshot)
            ratio = None if valuation is None else valuation.usd_per_base
            found[snapshot.market] = replace(stated, usd_per_base=ratio)
    return found


async def asked(
    facts: BlockFacts,
    questions: Mapping[Subject, int],
    markets: Sequence[LendingMarket],
    reader: ChainReader,
    book: MarketBook,
) -> BlockFacts:
    """Add the accounts that were liquidated according to the chain's logs.

    The node is read only if the book's recent logs do not reach back far enough.
    """
    found = set[Subject]()
    for market in markets:
        since = [at for subject, at in questions.items() if deployment(subject[0]) == market.key]
        if not since or not isinstance(market, NamesLiquidated):
            continue
        wanted, first = market.liquidation_filter, min(since)
        logs: Sequence[Log] | None = None
        if isinstance(book, RemembersLogs):
            logs = book.remembered(market.key, wanted, first, facts.hash)
        try:
            if logs is None:
                logs = await reader.logs_between(wanted, first, facts.number)
        except ChainError:
            return replace(facts, unanswered=True)
        found |= market.liquidated(logs) & questions.keys()
    return replace(facts, liquidated=frozenset(found))


def _list_below(snapshot: MarketSnapshot, line: Wad) -> Sequence[AccountHealth]:
    if isinstance(snapshot, ScreensBelow):
        return snapshot.below(line)
    return [one for one in snapshot.accounts() if one.health_factor < line or one.liquidatable]
