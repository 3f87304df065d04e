"""
Margin calls in the running node: a block's facts gathered, what follows kept, then told.

The rules are ``keeper.margin``'s. Here is what they cannot do: ask the snapshots, the chain and
the clock, keep what changed together with its notices in one transaction, and only then tell it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection

from keeper.abilities import Advises, NamesLiquidated, ScreensBelow, StatesReadings, WeighsLegs
from keeper.audit.basis import Basis
from keeper.domain.account import AccountHealth
from keeper.domain.advice import Advice
from keeper.domain.errors import ChainError, ConfigError
from keeper.domain.exposure import Exposure
from keeper.domain.head import Head
from keeper.domain.notice import Notice, NoticeKind
from keeper.domain.oracle import SecondPrice
from keeper.domain.parity import Subject
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import Address, MarketKey, Timestamp, Wad, deployment
from keeper.margin.episodes import Advanced, acknowledged, advanced, wanting
from keeper.margin.facts import BlockFacts, MarketFacts
from keeper.margin.guard import Block
from keeper.margin.restraint import restrained
from keeper.margin.settings import MarginSettings
from keeper.margin.state import MarginState, Mark, Reservation
from keeper.observe.events import Event, margin_event
from keeper.ports import (
    ChainReader,
    LendingMarket,
    MarketBook,
    MarketSnapshot,
    ScreensAccounts,
    Valuer,
)
from keeper.storage import episodes
from keeper.storage.database import Database
from keeper.storage.outbox import enqueue
from keeper.storage.record import append

ADVISED_AT_ONCE: Final = 64
"""Calls of one block that get an advice, the worst first: each takes milliseconds."""
SLICE: Final = 256
"""Accounts looked at before others on the loop have their turn."""
DOLLAR: Final = 10**8
"""The base unit of markets that count in dollars."""

Seconds = Mapping[MarketKey, Mapping[Address, tuple[SecondPrice, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the calls' advice shall reach, and for how long it shall hold."""

    target: Wad
    holds_seconds: int


@dataclass(slots=True, kw_only=True)
class MarginCalls:
    """
    The stage of margin calls.

    ``second`` returns what other sources said of a block's prices. ``looked`` is told of each
    block when all of it is kept, for whoever counts. One lock orders blocks and commands.
    """

    settings: MarginSettings
    database: Database
    reader: ChainReader
    book: MarketBook
    markets: Sequence[LendingMarket]
    valuer: Valuer
    wanted: Wanted
    emit: Callable[[Event], None]
    second: Callable[[Sequence[MarketSnapshot]], Seconds] = lambda _: {}
    looked: Callable[[Block], None] = lambda _: None
    clock: Callable[[], float] = time.time
    state: MarginState = field(default_factory=MarginState)
    inputs: tuple[MarginState, BlockFacts] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self) -> None:
        """Take up what an earlier process kept."""
        self.state = await self.database.write(episodes.state_of)

    @property
    def keeps_first(self) -> bool:
        """Whether what is found at a block is kept before anything is decided in it."""
        return self.settings.waits

    def standing_of(self, subject: Subject) -> tuple[str, int] | None:
        """Return the tier that an account's call is in, and its episode; None without one."""
        standing = self.state.standings.get(subject)
        if standing is None or not standing.episode:
            return None
        return str(standing.tier), standing.episode

    async def restraint(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> Restraint:
        """Return whom the policy lets wait at a block, and who comes first."""
        if self.keeps_first:
            await self.told(head, snapshots)
        facts = self._facts(head, snapshots)
        past = {
            (one.market, one.account): one
            for snapshot in snapshots
            for one in _liquidatable(snapshot)
        }
        if not past:
            return FREE
        facts = replace(facts, accounts=past)
        if self.settings.waits or Block(self.settings, self.state, facts).has_doubts:
            facts = replace(facts, exposures=_exposures(snapshots, list(past)))
        self.inputs = (self.state, facts)
        return restrained(self.settings, self.state, facts)

    def basis(self, head: Head) -> Basis | None:
        """Return what a block's restraint rests on; None where nobody was past the line."""
        if self.inputs is None or self.inputs[1].hash != head.hash:
            return None
        state, facts = self.inputs
        return Basis(settings=self.settings, state=state, facts=facts)

    async def told(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Keep what a block changed, with its notices, and then tell it; once for each block."""
        async with self._lock:
            if self.state.hash == head.hash:
                return
            facts = await self._gathered(head, snapshots)
            found = advanced(self.settings, self.state, facts)
            if found.questions:
                facts = await self._answered(facts, found.questions)
                found = advanced(self.settings, self.state, facts)
            block = Block(self.settings, self.state, facts)
            advice = await self._advice(found, snapshots, head)
            notices = [_advised(one, advice) for one in found.notices]
            await self.database.write(_kept, found, facts, advice, notices)
            self.state = found.state
        self.looked(block)
        for one in notices:
            self.emit(margin_event(one))

    async def reserved(self, head: Head, losses: Mapping[Subject, int]) -> None:
        """Set aside, before anything is sent, what liquidations may lose (1e-8 dollars)."""
        if not losses:
            return
        async with self._lock:
            new = tuple(
                Reservation(market=market, account=account, timestamp=head.timestamp, usd_e8=usd)
                for (market, account), usd in sorted(losses.items())
            )
            kept = tuple(
                one for one in self.state.reservations if (one.market, one.account) not in losses
            )
            await self._keep_rest(replace(self.state, reservations=(*kept, *new)))

    async def released(self, subjects: Sequence[Subject]) -> None:
        """Take back what was set aside for liquidations that were not sent after all."""
        async with self._lock:
            kept = tuple(
                one for one in self.state.reservations if (one.market, one.account) not in subjects
            )
            if len(kept) < len(self.state.reservations):
                await self._keep_rest(replace(self.state, reservations=kept))

    async def _keep_rest(self, state: MarginState) -> None:
        await self.database.write(episodes.keep_rest, state)
        self.state = state

    async def acknowledge(self, account: str) -> str:
        """
        Keep that somebody has taken notice of an account's calls; returns whose.

        Raises:
            ConfigError: the account has no open call.
        """
        async with self._lock:
            moment = Mark(
                number=self.state.number, timestamp=self.state.timestamp, wall=int(self.clock())
            )
            state, subjects = acknowledgement(self.state, account, moment)
            await self.database.write(keep_acknowledged, state, subjects)
            self.state = state
            return subjects[0][1]

    def _facts(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> BlockFacts:
        """Return what a block says of prices, and which markets say nothing."""
        second = self.second(snapshots)
        return BlockFacts(
            number=head.number,
            hash=head.hash,
            timestamp=head.timestamp,
            wall=int(self.clock()),
            fork=getattr(self.book, "fork", None),
            markets={
                one.market: MarketFacts(
                    readings=tuple(one.readings()) if isinstance(one, StatesReadings) else (),
                    seconds=second.get(one.market, {}),
                    usd_per_base=(1, 1) if one.base_unit == DOLLAR else None,
                )
                for one in snapshots
            },
            failed=dict(self.book.quarantined),
        )

    async def _gathered(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> BlockFacts:
        """Return the whole of a block's facts."""
        facts = self._facts(head, snapshots)
        accounts = dict[Subject, AccountHealth]()
        members = dict[MarketKey, list[Address]]()
        for market, account in self.state.standings:
            members.setdefault(market, []).append(account)
        for snapshot in snapshots:
            for one in _below(snapshot, self.settings.tiers.look_below):
                accounts[one.market, one.account] = one
            for at, account in enumerate(members.get(snapshot.market, ())):
                if (snapshot.market, account) not in accounts:
                    await _yielding(at)
                    health = snapshot.account(account)
                    if health is not None:
                        accounts[snapshot.market, account] = health
        facts = replace(facts, accounts=accounts, markets=await self._valued(facts, snapshots))
        wanted = wanting(self.settings, self.state, facts)
        return replace(facts, exposures=_exposures(snapshots, wanted))

    async def _valued(
        self, facts: BlockFacts, snapshots: Sequence[MarketSnapshot]
    ) -> Mapping[MarketKey, MarketFacts]:
        """Return the markets' facts with dollars for those that count in something else."""
        found = dict(facts.markets)
        for snapshot in snapshots:
            stated = found[snapshot.market]
            if stated.usd_per_base is None:
                valuation = await self.valuer.valuation(snapshot)
                ratio = None if valuation is None else valuation.usd_per_base
                found[snapshot.market] = replace(stated, usd_per_base=ratio)
        return found

    async def _answered(self, facts: BlockFacts, questions: Mapping[Subject, int]) -> BlockFacts:
        """Return the facts with whom the chain says to have been liquidated."""
        found = set[Subject]()
        for market in self.markets:
            since = [
                at for subject, at in questions.items() if deployment(subject[0]) == market.key
            ]
            if not since or not isinstance(market, NamesLiquidated):
                continue
            try:
                logs = await self.reader.logs_between(
                    market.liquidation_filter, min(since), facts.number
                )
            except ChainError:
                return replace(facts, unanswered=True)
            found |= market.liquidated(logs) & questions.keys()
        return replace(facts, liquidated=frozenset(found))

    async def _advice(
        self, found: Advanced, snapshots: Sequence[MarketSnapshot], head: Head
    ) -> Mapping[Subject, Advice]:
        """Return what would cure the worst of the accounts that somebody is told of now."""
        by_market = {one.market: one for one in snapshots}
        until = Timestamp(head.timestamp + self.wanted.holds_seconds)
        calls = [one for one in found.notices if one.kind in _WITH_ADVICE and one.account]
        calls.sort(key=lambda one: (one.health_factor or 0, one.key))
        advice = dict[Subject, Advice]()
        for one in calls[:ADVISED_AT_ONCE]:
            snapshot = by_market.get(one.market or MarketKey(""))
            if not isinstance(snapshot, Advises) or one.account is None:
                continue
            await asyncio.sleep(0)
            told = snapshot.advice(one.account, self.wanted.target, until)
            if told is not None and one.market is not None:
                advice[one.market, one.account] = told
        return advice


def acknowledgement(
    state: MarginState, account: str, moment: Mark
) -> tuple[MarginState, list[Subject]]:
    """
    Return the state in which an account's calls are acknowledged, and where it has them.

    Raises:
        ConfigError: the account has no open call.
    """
    subjects = sorted(
        subject
        for subject, one in state.standings.items()
        if one.episode and subject[1].lower() == account.lower()
    )
    if not subjects:
        raise ConfigError(f"{account} has no open call", hint="see `keeper calls`")
    for subject in subjects:
        state = acknowledged(state, subject, moment)
    return state, subjects


def keep_acknowledged(
    connection: Connection, state: MarginState, subjects: Sequence[Subject]
) -> None:
    """Keep the standings of accounts whose calls were acknowledged."""
    for subject in subjects:
        episodes.keep_standing(connection, subject, state.standings[subject])


def _kept(
    connection: Connection,
    found: Advanced,
    facts: BlockFacts,
    advice: Mapping[Subject, Advice],
    notices: Sequence[Notice],
) -> None:
    episodes.keep(connection, found.state, found.changes, facts, advice)
    if notices:
        enqueue(connection, notices, facts.wall)
        append(connection, [episodes.call_entry(one) for one in notices])


def _advised(notice: Notice, advice: Mapping[Subject, Advice]) -> Notice:
    if notice.market is None or notice.account is None or notice.kind not in _WITH_ADVICE:
        return notice
    return replace(notice, advice=advice.get((notice.market, notice.account)))


def _below(snapshot: MarketSnapshot, line: Wad) -> Sequence[AccountHealth]:
    if isinstance(snapshot, ScreensBelow):
        return snapshot.below(line)
    return [one for one in snapshot.accounts() if one.health_factor < line or one.liquidatable]


def _liquidatable(snapshot: MarketSnapshot) -> Sequence[AccountHealth]:
    if isinstance(snapshot, ScreensAccounts):
        return snapshot.liquidatable()
    return [one for one in snapshot.accounts() if one.liquidatable]


def _exposures(
    snapshots: Sequence[MarketSnapshot], subjects: Sequence[Subject]
) -> Mapping[Subject, Exposure]:
    by_market = {one.market: one for one in snapshots}
    found = dict[Subject, Exposure]()
    for market, account in subjects:
        snapshot = by_market.get(market)
        exposure = snapshot.exposure(account) if isinstance(snapshot, WeighsLegs) else None
        if exposure is not None:
            found[market, account] = exposure
    return found


async def _yielding(at: int) -> None:
    if at % SLICE == 0:
        await asyncio.sleep(0)


_WITH_ADVICE: Final = frozenset({NoticeKind.CALLED, NoticeKind.REMINDER, NoticeKind.ESCALATED})
