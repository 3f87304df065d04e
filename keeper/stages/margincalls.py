"""Stage of margin calls, which collects a block's facts, persists the results and notifies.

The rules are in ``keeper.margin``. This module reads the snapshots, the chain and the clock,
persists each change together with its notices in one transaction, and notifies afterwards.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection

from keeper.abilities import Advises
from keeper.audit.basis import Basis
from keeper.audit.chain import NewEntry
from keeper.clock import wall
from keeper.domain.advice import Advice
from keeper.domain.errors import ConfigError
from keeper.domain.head import Head
from keeper.domain.notice import Notice, NoticeKind
from keeper.domain.parity import Subject
from keeper.domain.plan import News
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import Timestamp, Wad
from keeper.margin.episodes import Advanced, acknowledged, advanced, ahead_of, answered, wanting
from keeper.margin.facts import BlockFacts, merged_by_block
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
    Valuer,
)
from keeper.stages.gathering import Legs, Seconds, asked, healths, past_the_line, stated, valued
from keeper.storage import acted, episodes
from keeper.storage.database import Database
from keeper.storage.outbox import enqueue, held, release
from keeper.storage.record import append
from keeper.storage.subsidies import taken_up

ADVISED_AT_ONCE: Final = 64
"""Calls that get an advice in one block, new and worst ones first. Each takes milliseconds."""

_Prepared = tuple[frozenset[Subject], BlockFacts, News]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Target of the calls' advice, and the time for which it must hold."""

    target: Wad
    holds_seconds: int


@dataclass(slots=True, kw_only=True)
class MarginCalls:
    """Stage of margin calls.

    ``channels`` is the number of notification channels, recorded with each call. ``second`` returns
    the secondary prices of a block. ``looked`` is called with each block once all of it is
    persisted. One lock orders blocks and commands.
    """

    settings: MarginSettings
    database: Database
    reader: ChainReader
    book: MarketBook
    markets: Sequence[LendingMarket]
    valuer: Valuer
    wanted: Wanted
    emit: Callable[[Event], None]
    channels: int = 0
    second: Callable[[Sequence[MarketSnapshot]], Seconds] = lambda _: {}
    looked: Callable[[Block], None] = lambda _: None
    clock: Callable[[], float] = wall
    state: MarginState = field(default_factory=MarginState)
    inputs: tuple[MarginState, BlockFacts] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _legs: Legs = field(default_factory=Legs)
    _held: tuple[Notice, ...] = ()
    _acted: list[BlockFacts] = field(default_factory=list)
    _unadvised: list[Subject] = field(default_factory=list)
    _stated: BlockFacts | None = None
    _prepared: _Prepared | None = None

    async def start(self) -> None:
        """Restore the state that an earlier process persisted."""
        self.state = await self.database.write(taken_up)
        self._held = tuple(await self.database.write(held))
        self._unadvised = await self.database.write(episodes.unadvised)
        for facts in merged_by_block(await self.database.write(acted.kept)):
            await self._advance_subset(facts)  # mutation: G21 news-at-start

    def standing_of(self, subject: Subject) -> tuple[str, int] | None:
        """Return the tier of an account's call, and its episode. None without a call."""
        standing = self.state.standings.get(subject)
        if standing is None or not standing.episode:
            return None
        return str(standing.tier), standing.episode

    async def restraint(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> Restraint:
        """Return the policy's holds and ranks at a block.

        Only liquidatable accounts are evaluated here. All others can be processed later.
        """
        past = past_the_line(snapshots)
        if not past:
            return FREE
        facts = replace(self._build_price_facts(head, snapshots), accounts=past)
        if self.settings.waits or Block(self.settings, self.state, facts).has_doubts:
            facts = replace(facts, exposures=await self._legs.of(snapshots, list(past)))
        self.inputs = (self.state, facts)
        return restrained(self.settings, self.state, facts)

    def basis(self, head: Head) -> Basis | None:
        """Return the inputs of a block's restraint. None if no account was liquidatable."""
        if self.inputs is None or self.inputs[1].hash != head.hash:
            return None
        state, facts = self.inputs
        return Basis(settings=self.settings, state=state, facts=facts)

    async def told(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Persist a block's changes with their notices, then emit them, once per block."""
        async with self._lock:
            if self.state.hash == head.hash:
                return
            earlier = [facts for facts in self._acted if facts.hash != head.hash]
            for facts in merged_by_block(earlier):
                await self._advance_subset(facts)  # its block could not be processed whole
                self._acted = [kept for kept in self._acted if kept.hash != facts.hash]
            facts = await self._collect_facts(head, snapshots)
            found = advanced(self.settings, self.state, facts)
            if found.questions:
                facts = await self._fetch_liquidations(facts, found.questions)
                found = answered(self.settings, self.state, facts, found)
            block = Block(self.settings, self.state, facts)
            notices = [*self._held, *found.notices]
            advice, unadvised = await self._compute_advice(notices, snapshots, head)
            notices = [_add_advice(one, advice) for one in notices]
            entries = [episodes.call_entry(one, self.channels) for one in notices]
            await self.database.write(_persist_block, found, facts, advice, (notices, entries))
            self.state, self._held, self._unadvised = found.state, (), unadvised
            self._acted.clear()
        self.looked(block)
        for one in notices:
            self.emit(margin_event(one))

    async def acting(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        subjects: Collection[Subject],
        losses: Mapping[Subject, int],
    ) -> News | None:
        """Persist the losses, and return the facts of acted-on accounts for the journal.

        The facts cost one row in the transaction that binds the nonces. Their consequences are
        persisted at the end of the block, or after a crash at the next start.
        """
        if not subjects and not losses:
            return None
        async with self._lock:
            if losses:
                await self._persist_state(_add_reservations(self.state, losses, head))
            if not subjects or self.state.hash == head.hash:
                return None
            known = self._prepared
            if known is None or known[1].hash != head.hash or known[0] != frozenset(subjects):
                known = await self._prepare(head, snapshots, subjects)
            self._acted.append(known[1])
        return known[2]

    async def prepare(
        self, head: Head, snapshots: Sequence[MarketSnapshot], subjects: Collection[Subject]
    ) -> None:
        """Compute the result of ``acting`` for these accounts while the node is awaited."""
        self._prepared = await self._prepare(head, snapshots, subjects)

    async def _prepare(
        self, head: Head, snapshots: Sequence[MarketSnapshot], subjects: Collection[Subject]
    ) -> _Prepared:
        facts = await self._build_account_facts(head, snapshots, subjects)
        return frozenset(subjects), facts, acted.news_of(facts)

    async def learned(
        self, head: Head, snapshots: Sequence[MarketSnapshot], subjects: Collection[Subject]
    ) -> None:
        """Persist a block's state of some accounts before decisions depend on it."""
        async with self._lock:
            if not subjects or self.state.hash == head.hash:
                return
            facts = await self._build_account_facts(head, snapshots, subjects)
            wanted = wanting(self.settings, self.state, facts)
            legs = {one: facts.exposures[one] for one in wanted if one in facts.exposures}
            await self._advance_subset(replace(facts, exposures=legs))

    async def _build_account_facts(
        self, head: Head, snapshots: Sequence[MarketSnapshot], subjects: Collection[Subject]
    ) -> BlockFacts:
        """Build a block's facts of some accounts and their markets."""
        facts, markets = (
            self._build_price_facts(head, snapshots),
            {market for market, _ in subjects},
        )
        own = {one.market: one for one in snapshots if one.market in markets}
        read = ((one, own[one[0]].account(one[1])) for one in subjects if one[0] in own)
        accounts = {one: health for one, health in read if health is not None}
        facts = replace(facts, markets={one: facts.markets[one] for one in own}, failed={})
        return replace(
            facts,
            accounts=accounts,
            markets=await valued(facts, list(own.values()), self.valuer),
            exposures=await self._legs.of(snapshots, list(accounts)),
        )

    async def _advance_subset(self, facts: BlockFacts) -> None:
        """Persist the consequences of a block's facts for their accounts, before all others."""
        subjects = facts.accounts.keys()
        found = ahead_of(self.settings, self.state, facts, subjects)
        if found.questions:
            facts = await self._fetch_liquidations(facts, found.questions)
            found = ahead_of(self.settings, self.state, facts, subjects)
        await self.database.write(_persist_subset, found, facts)
        self.state, self._held = found.state, (*self._held, *found.notices)

    async def _fetch_liquidations(
        self, facts: BlockFacts, questions: Mapping[Subject, int]
    ) -> BlockFacts:
        return await asked(facts, questions, self.markets, self.reader, self.book)

    async def released(self, subjects: Sequence[Subject], head: Head) -> None:
        """Release a block's reservations for liquidations that were not sent."""
        async with self._lock:
            kept = _list_other_reservations(self.state, subjects, head)
            if len(kept) < len(self.state.reservations):
                await self._persist_state(replace(self.state, reservations=kept))

    async def _persist_state(self, state: MarginState) -> None:
        await self.database.write(episodes.keep_rest, state)
        self.state = state

    async def acknowledge(self, account: str) -> str:
        """Persist the acknowledgement of an account's calls, and return the account.

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

    def _build_price_facts(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> BlockFacts:
        """Build a block's price facts, with the unreadable markets."""
        if self._stated is not None and self._stated.hash == head.hash:
            return self._stated
        self._stated = BlockFacts(
            number=head.number,
            hash=head.hash,
            timestamp=head.timestamp,
            wall=int(self.clock()),
            fork=getattr(self.book, "fork", None),
            markets=stated(snapshots, self.second(snapshots)),
            failed=dict(self.book.quarantined),
        )
        return self._stated

    async def _collect_facts(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> BlockFacts:
        """Collect all facts of a block."""
        facts, members = self._build_price_facts(head, snapshots), list(self.state.standings)
        accounts = await healths(snapshots, self.settings.tiers.look_below, members)
        markets = await valued(facts, snapshots, self.valuer)
        facts = replace(facts, accounts=accounts, markets=markets)
        wanted = wanting(self.settings, self.state, facts)
        return replace(facts, exposures=await self._legs.of(snapshots, wanted))

    async def _compute_advice(
        self, notices: Sequence[Notice], snapshots: Sequence[MarketSnapshot], head: Head
    ) -> tuple[Mapping[Subject, Advice], list[Subject]]:
        """Compute the advice of the worst accounts to notify, and return the remaining accounts.

        The remaining accounts follow in the next blocks. A call can get its advice soon after a
        crash.
        """
        by_market = {one.market: one for one in snapshots}
        until = Timestamp(head.timestamp + self.wanted.holds_seconds)
        calls = [one for one in notices if one.kind in _WITH_ADVICE]
        calls.sort(key=lambda one: (one.health_factor or 0, one.key))
        new = [(one.market, one.account) for one in calls if one.market and one.account]
        left = [one for one in self._unadvised if one in self.state.standings]
        wanted = list(dict.fromkeys((*new, *left)))
        advice = dict[Subject, Advice]()
        for market, account in wanted[:ADVISED_AT_ONCE]:
            snapshot = by_market.get(market)
            if not isinstance(snapshot, Advises):
                continue
            await asyncio.sleep(0)
            told = snapshot.advice(account, self.wanted.target, until)
            if told is not None:
                advice[market, account] = told
        return advice, wanted[ADVISED_AT_ONCE:]


def acknowledgement(
    state: MarginState, account: str, moment: Mark
) -> tuple[MarginState, list[Subject]]:
    """Return the state with an account's calls acknowledged, and their markets.

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
    """Persist the states of accounts with acknowledged calls."""
    for subject in subjects:
        episodes.keep_standing(connection, subject, state.standings[subject])


def _add_reservations(state: MarginState, losses: Mapping[Subject, int], head: Head) -> MarginState:
    """Return the state with reserved losses, in place of this block's earlier ones."""
    new = tuple(
        Reservation(
            market=market,
            account=account,
            timestamp=head.timestamp,
            usd_e8=usd,
            block_number=head.number,
        )
        for (market, account), usd in sorted(losses.items())
    )
    return replace(state, reservations=(*_list_other_reservations(state, losses, head), *new))


def _list_other_reservations(
    state: MarginState, subjects: Collection[Subject], head: Head
) -> tuple[Reservation, ...]:
    """List the reservations except these accounts' at this block."""
    return tuple(
        one
        for one in state.reservations
        if one.block_number != head.number or (one.market, one.account) not in subjects
    )


def _persist_block(
    connection: Connection,
    found: Advanced,
    facts: BlockFacts,
    advice: Mapping[Subject, Advice],
    told: tuple[Sequence[Notice], Sequence[NewEntry]],
) -> None:
    """Persist a block's changes, its notices, and their record entries."""
    notices, recorded = told
    episodes.keep(connection, found.state, found.changes, facts, advice)
    acted.forget(connection, facts.hash)
    if notices:
        release(connection, notices)
        enqueue(connection, notices, facts.wall)
        append(connection, recorded)


def _persist_subset(connection: Connection, found: Advanced, facts: BlockFacts) -> None:
    episodes.keep(connection, found.state, found.changes, facts, {})
    acted.forget(connection, facts.hash)
    enqueue(connection, found.notices, facts.wall, held=True)


def _add_advice(notice: Notice, advice: Mapping[Subject, Advice]) -> Notice:
    if notice.market is None or notice.account is None or notice.kind not in _WITH_ADVICE:
        return notice
    return replace(notice, advice=advice.get((notice.market, notice.account)))


_WITH_ADVICE: Final = frozenset({NoticeKind.CALLED, NoticeKind.REMINDER, NoticeKind.ESCALATED})
