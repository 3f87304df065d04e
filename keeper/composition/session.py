"""Connection to the chain with the settings' markets and venues, for one command."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, TypeVar

from keeper.abilities import KeepsFacts
from keeper.book.follower import Follower, Progress
from keeper.book.keeping import Keeping
from keeper.book.visit import Visit
from keeper.chain.reader import NodeReader, connect
from keeper.chain.standing import Rules
from keeper.composition.beginnings import find_first_blocks
from keeper.composition.named_blocks import explain_early, find_named
from keeper.composition.wiring import load_market, load_venue, venue_addresses
from keeper.config import Settings, SettingsInvalid
from keeper.config.problems import Problem
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    ConfigError,
    RpcMalformed,
    RpcRefused,
    SnapshotReorged,
)
from keeper.domain.head import Basis, BlockName, Head
from keeper.domain.units import USD_E8, Address, MarketKey, deployment
from keeper.execution.data_fees import DataFeeKind, kind_of
from keeper.ports import ExitVenue, LendingMarket, MarketSnapshot
from keeper.stages.valuation import NativeCoin
from keeper.stages.venue_watch import VenueWatch

T = TypeVar("T")
DATA_FEE: Final = "data fee"
"""Name of the persisted fact of the data-fee model."""
log = logging.getLogger(__name__)

START_ATTEMPTS: Final = 5
"""Attempts to start at a newer head if blocks are orphaned meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Working context of every command that reads the chain.

    ``facts`` are unchanging facts of the chain that no venue stores, by name.
    """

    settings: Settings
    reader: NodeReader
    markets: Sequence[LendingMarket]
    venues: Sequence[ExitVenue]
    follower: Follower
    visits: list[Visit] = field(default_factory=list)
    venue_watch: VenueWatch = field(default_factory=VenueWatch)
    facts: dict[str, str] = field(default_factory=dict)

    async def at(
        self, block: BlockName, progress: Callable[[Progress], None] = lambda _: None
    ) -> tuple[Head, Sequence[MarketSnapshot]]:
        """Read a block (the newest by default) and every market at it, for a command.

        The persisted book is followed to the block. New data is persisted unless a keeper runs.

        Raises:
            ConfigError: there is no market at a configured address.
            ChainError: the block, or every market, cannot be read.
        """
        visit = Visit(self.settings.book_path, self.settings.chain.id, progress)
        self.visits.append(visit)
        await visit.read()
        head = await find_named(self.reader, block)

        async def read(head: Head) -> Sequence[MarketSnapshot]:
            await self.follower.start(head, progress)
            return await self.follower.advance(head)

        attempts = START_ATTEMPTS if block is None else 1
        async with visit.lent_to(self.follower, head, is_past=block is not None):
            try:
                head, snapshots = await self._retry_at_newer(head, read, attempts)
            except ConfigError as error:
                raise await explain_early(self.reader, head, error) from error
        self.reader.pin(head)
        self._restore_facts(visit.facts, head)
        if visit.begins_file:
            await self._fetch_facts(head)
        if not snapshots and self.follower.quarantined:
            market, why = next(iter(self.follower.quarantined.items()))
            raise ChainError(f"no market can be read: {market}: {why}", hint="run keeper doctor")
        return head, snapshots

    @property
    def kept_block(self) -> int | None:
        """Newest block of the persisted book that a command started from. None without one."""
        return self.follower.keeping.found_block

    def chain_facts(self) -> dict[str, str]:
        """Return the known unchanging facts of the chain, by name."""
        facts = {
            f"{venue.kind} {number}": venue.chain_facts()
            for number, venue in enumerate(self.venues)
            if isinstance(venue, KeepsFacts)
        }
        return self.facts | {name: text for name, text in facts.items() if text}

    def _restore_facts(self, facts: Mapping[str, str], head: Head) -> None:
        self.facts.update({name: facts[name] for name in (DATA_FEE,) if name in facts})
        for number, venue in enumerate(self.venues):
            kept = facts.get(f"{venue.kind} {number}")
            if kept is not None and isinstance(venue, KeepsFacts):
                with contextlib.suppress(ValueError):  # of other settings, so it is read again
                    venue.restore_facts(kept, head)

    async def _fetch_facts(self, head: Head) -> None:
        """Read the chain's facts beside the first book, for all later commands."""
        with contextlib.suppress(ChainError):
            await self.fetch_data_fee_kind(head)
        for venue in self.venues:
            if isinstance(venue, KeepsFacts):
                with contextlib.suppress(ChainError):  # reported when the venue is used
                    await venue.learn_facts(Basis(block_hash=head.hash))

    async def fetch_data_fee_kind(
        self, head: Head | None, *, from_kept: bool = False
    ) -> DataFeeKind:
        """Return the data-fee model by the settings, persisted facts, or the chain."""
        chain = self.settings.chain
        if chain.data_fee != "auto":
            return DataFeeKind(chain.data_fee)
        kept = self.facts.get(DATA_FEE) if from_kept else None
        if kept in set(DataFeeKind):
            return DataFeeKind(kept)
        kind = await kind_of(self.reader, chain.id, head or await self.reader.head())
        self.facts[DATA_FEE] = kind.value
        return kind

    async def keep_facts(self) -> None:
        """Persist facts that a command read after the book."""
        for visit in self.visits:
            await visit.keep_facts(self.chain_facts())

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Persist the book at the settings' path while the context lasts."""
        keeping = Keeping(self.settings.book_path, self.settings.chain.id)
        keeping.facts_of = self.chain_facts
        self.follower.keeping = keeping
        try:
            yield
        finally:
            await self.follower.close()

    async def started(self, head: Head, progress: Callable[[Progress], None]) -> None:
        """Start the book at the head, or at a newer one if that block is orphaned meanwhile.

        Raises:
            SnapshotReorged: all attempts failed.
            BlockUnknown: no endpoint served the blocks in time.
            ChainError: no market can be read.
        """
        await self._retry_at_newer(
            head, lambda newer: self.follower.start(newer, progress), START_ATTEMPTS
        )
        self._restore_facts(self.follower.keeping.kept_facts, head)
        quarantined = self.follower.quarantined
        if quarantined and len(quarantined) == len(self.markets):
            market, why = next(iter(quarantined.items()))
            raise ChainError(f"no market can be read: {market}: {why}", hint="run `keeper doctor`")

    async def _retry_at_newer(
        self, head: Head, work: Callable[[Head], Awaitable[T]], attempts: int
    ) -> tuple[Head, T]:
        """Run a block's read, at a newer head if the block is orphaned or never served."""
        for attempt in range(1, attempts + 1):
            try:
                return head, await work(head)
            except (BlockUnknown, SnapshotReorged) as error:
                if attempt == attempts:
                    raise
                log.warning("start_repeated block=%d reason=%s", head.number, error)
                head = await self.reader.head()
        raise SnapshotReorged("no attempt was made")

    async def coin(self) -> NativeCoin:
        """Build the native coin's price source, by the settings or by the venues' wrapped coin."""
        wrapped = await self.wrapped_native()
        feed = self.settings.chain.native_price_feed
        return NativeCoin(self.reader, wrapped=wrapped, feed=feed, venues=self.venues)

    async def wrapped_native(self) -> Address | None:
        """Return the settings' wrapped native coin, else a venue's, else None."""
        wrapped = self.settings.chain.wrapped_native
        for venue in self.venues:
            if wrapped is None:
                with contextlib.suppress(RpcRefused, RpcMalformed):
                    wrapped = await venue.wrapped_native()
        return wrapped

    def executor_of(self, market: MarketKey) -> Address | None:
        """Return the executor contract of a market's liquidations."""
        for adapter, configured in zip(self.markets, self.settings.market, strict=True):
            if adapter.key == deployment(market):
                executor = self.settings.executor_of(configured)
                return executor.address if executor else None
        return None

    async def refuse_without_code(self, head: Head) -> None:
        """Check that every address used by liquidations has code.

        Raises:
            SettingsInvalid: one line per address without code.
            ChainError: the chain cannot be read.
        """
        where: dict[str, tuple[str, Address]] = {}
        for number, executor in enumerate(self.settings.executor):
            where[f"executor[{number}].address"] = ("", executor.address)
        for venue in self.settings.venue:
            for name, address in venue_addresses(venue).items():
                origin = venue.origins.get(name, venue.origins.get("", ""))
                where[f"{venue.where}.{name}"] = (origin, address)
        basis = Basis(block_hash=head.hash)
        codes = await asyncio.gather(
            *(self.reader.code(address, basis) for _, address in where.values())
        )
        problems = [
            Problem(
                setting=setting,
                origin=origin,
                reason=f"{address} has no code on chain {self.settings.chain.id}",
                hint="is it a contract of another chain, or mistyped?",
            )
            for (setting, (origin, address)), code in zip(where.items(), codes, strict=True)
            if not code
        ]
        if problems:
            raise SettingsInvalid(problems)


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Session]:
    """Connect to the chain and build the adapters of the settings.

    Raises:
        ConfigError: an adapter's options are wrong, or a node serves another chain.
        RpcUnavailable: no endpoint answers.
    """
    chain = settings.chain
    async with connect(
        chain.endpoint_addresses,
        multicall=chain.multicall,
        chain_id=chain.id,
        rules=Rules(lag_blocks=chain.max_lag_blocks),
        block_seconds=chain.block_time_ms / 1000,
    ) as reader:
        session = session_over(settings, reader, await find_first_blocks(settings, reader))
        yield session
        await session.keep_facts()


def session_over(
    settings: Settings, reader: NodeReader, first_blocks: Sequence[int | None] = ()
) -> Session:
    """Build the adapters of the settings over an existing connection.

    ``first_blocks`` has the start of each market's history if the settings lack it.

    Raises:
        ConfigError: an adapter's options are wrong.
    """
    markets = [
        load_market(market, reader, first)
        for market, first in zip_longest(settings.market, first_blocks)
    ]
    _refuse_duplicates(markets)
    follower = Follower(reader, markets)
    follower.coverage.limit_usd_e8 = int(settings.observe.uncovered_debt_usd * USD_E8)
    return Session(
        settings=settings,
        reader=reader,
        markets=markets,
        venues=[load_venue(one, reader) for one in settings.venue],
        follower=follower,
    )


def _refuse_duplicates(markets: Sequence[LendingMarket]) -> None:
    if len({one.key for one in markets}) < len(markets):
        raise ConfigError(
            "the same market is configured twice", hint="remove one of the [[market]] sections"
        )
