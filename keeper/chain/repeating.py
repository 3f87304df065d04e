"""Retries reads after missing answers, temporary refusals, and blocks that are not served yet.

A block that one endpoint lacks is requested from the others at once, then from all of them after
growing pauses. It counts as a reorganisation only if another block took its place. A refusal
specific to one endpoint is retried at the others, then once or twice again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import tenacity

from keeper.chain.awaiting import FIRST_PAUSES, Awaiting, BlockId, Wait
from keeper.chain.oversized import may_pass
from keeper.chain.pool import Pool
from keeper.chain.refusal import is_momentary, may_be_answered_elsewhere
from keeper.chain.transport import Timeouts
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    HistoryPruned,
    RpcRefused,
    RpcUnavailable,
    SnapshotReorged,
    StateUnknown,
)
from keeper.domain.units import BlockHash

T = TypeVar("T")
Ask = Callable[[int], Awaitable[T]]
"""A question to the endpoint at a place."""

ATTEMPTS: Final = 5
WAIT_SECONDS: Final = 0.05
MAX_WAIT_SECONDS: Final = 1.0
REFUSAL_ROUNDS: Final = 2
"""How often a refusal that may pass is answered by asking again."""


class AskChecked(Protocol):
    """Sends a request to an endpoint after its chain was identified."""

    async def __call__(self, ask: Ask[T], place: int) -> T:
        """Return the answer."""
        ...


CanonicalHash = Callable[[int, int], Awaitable[BlockHash | None]]
"""Returns the hash of an endpoint's block of a height; None where it has none."""


@dataclass(slots=True)
class Failures:
    """The endpoints' failed answers to one read so far."""

    lacking: set[int] = field(default_factory=set)
    """Endpoints that did not have the block."""
    refusing: set[int] = field(default_factory=set)
    """Endpoints that refused what another one may answer."""
    barred: set[int] = field(default_factory=set)
    """Those of them that would refuse it again."""
    lack: ChainError | None = None
    refusal: RpcRefused | None = None

    def add(self, place: int, error: ChainError) -> None:
        """Record an endpoint's error. Raises it if no other endpoint can do better."""
        if isinstance(error, BlockUnknown | SnapshotReorged):
            self.lacking.add(place)
            if not isinstance(self.lack, SnapshotReorged):
                self.lack = error
        elif isinstance(error, RpcRefused) and may_be_answered_elsewhere(error):
            self.refusing.add(place)
            self.refusal = error
            if not is_momentary(error):
                self.barred.add(place)
        elif not may_pass(error):
            raise error


class Repeating:
    """Sends requests to the endpoints of a pool until one is answered, within bounds."""

    def __init__(
        self,
        pool: Pool,
        awaiting: Awaiting,
        timeouts: Callable[[], Timeouts],
        ask_checked: AskChecked,
        canonical_hash: CanonicalHash,
    ) -> None:
        self._ask_checked = ask_checked
        self._canonical_hash = canonical_hash
        self._pool = pool
        self._awaiting = awaiting
        self._timeouts = timeouts

    async def answer(self, ask: Ask[T], block: BlockId, only: int | None = None) -> T:
        """Return the answer of the best endpoint that has the block, or of the ``only`` one.

        Raises:
            RpcUnavailable: no endpoint answered in time.
            RpcRefused: the request was refused, also by every endpoint that might differ.
            SnapshotReorged: another block is canonical in its place.
            BlockUnknown: no endpoint had the block in time.
            HistoryPruned: the block is old, and every endpoint has pruned its state.
        """
        failures = Failures()
        try:
            return await self._ask_with_retries(_wrap_with_failures(ask, failures), only)
        except (BlockUnknown, SnapshotReorged, RpcRefused) as error:
            # What was not noted came of looking at the endpoint's chain, not of the question.
            is_noted = failures.lack is not None or failures.refusal is not None
            if not is_noted or (
                isinstance(error, RpcRefused) and not may_be_answered_elsewhere(error)
            ):
                raise
            return await self._ask_in_rounds(ask, block, only, failures)

    async def await_block(self, ask: Ask[T], block: BlockId, only: int) -> T:
        """Ask one endpoint, with retries only while it does not have the block yet."""
        failures = Failures()
        try:
            return await self._ask_checked(ask, only)
        except (BlockUnknown, SnapshotReorged) as error:
            failures.add(only, error)
            return await self._ask_in_rounds(ask, block, only, failures)

    async def _ask_in_rounds(
        self, ask: Ask[T], block: BlockId, only: int | None, failures: Failures
    ) -> T:
        """Retry after an endpoint lacked the block, or refused what another may answer."""
        wait = self._awaiting.begin(block)
        asked = failures.lacking | failures.refusing
        while True:
            for place in self._list_round(only, asked | failures.barred):
                try:
                    answer = await self._ask_checked(ask, place)
                except ChainError as error:
                    failures.add(place, error)
                else:
                    self._report_failing(failures, block, place)
                    return answer
            await self._pause(wait, block, failures)
            asked = set()

    def _list_round(self, only: int | None, asked: set[int]) -> Iterator[int]:
        """Yield the endpoints of a round, best first, without those to skip."""
        places = self._pool.alive() if only is None else [only]
        standings = self._pool.standings
        sound = [place for place in places if not standings[place].failures]
        yield from (place for place in sound or places if place not in asked)

    async def _pause(self, wait: Wait, block: BlockId, failures: Failures) -> None:
        """Pause before the next round. Raises the final error if there is none."""
        lack = failures.lack
        if lack is None:
            await self._pause_after_refusal(wait, failures)
            return
        if isinstance(lack, SnapshotReorged):
            raise lack
        if self._awaiting.blocks.is_replaced(block):
            raise SnapshotReorged("the chain went on from another block in its place")
        pause = wait.next_pause()
        if pause is None or wait.rounds == len(FIRST_PAUSES):
            await self._refuse_replaced(block, failures.lacking)
        if pause is None:
            raise self._build_final_error(block, lack)
        await asyncio.sleep(pause)

    async def _pause_after_refusal(self, wait: Wait, failures: Failures) -> None:
        wait.rounds += 1
        if failures.refusal is None:
            raise RpcUnavailable("no endpoint answered")
        if failures.refusing == failures.barred or wait.rounds > REFUSAL_ROUNDS:
            raise failures.refusal
        await asyncio.sleep(FIRST_PAUSES[wait.rounds - 1])

    async def _refuse_replaced(self, block: BlockId, lacking: set[int]) -> None:
        """Raise SnapshotReorged if an endpoint has another block at this height."""
        number = self._awaiting.blocks.number_of(block)
        if not isinstance(block, str) or number is None:
            return
        for place in sorted(lacking):
            try:
                canonical = await self._canonical_hash(place, number)
            except ChainError:
                continue
            if canonical not in (None, block):
                raise SnapshotReorged(f"block {number} is another one at endpoint {place}")

    def _build_final_error(self, block: BlockId, lack: ChainError) -> ChainError:
        """Return the error for a block that no endpoint served in time."""
        is_old = block is not None and not self._awaiting.blocks.is_young(block)
        if isinstance(lack, StateUnknown) and is_old:
            return HistoryPruned(
                f"the block's state is no longer there: {lack}",
                hint="put an endpoint that keeps old states first, or ask for a newer block",
            )
        return lack

    def _report_failing(self, failures: Failures, block: BlockId, answering: int) -> None:
        """Report the endpoints that failed where another one answered."""
        if failures.lack is not None:
            self._awaiting.serve(block)
        if self._awaiting.blocks.is_young(block):
            for place in failures.lacking:
                self._pool.pass_over(place, "it did not have a block yet")
        for place in failures.refusing - failures.barred - {answering}:
            self._pool.pass_over(place, "it refused what another endpoint answered")

    async def _ask_with_retries(self, ask: Ask[T], only: int | None) -> T:
        """Ask the best endpoint, or the ``only`` one, with retries for missing answers."""
        started = time.monotonic()
        place: int | None = only
        try:
            place = self._pool.best() if only is None else only
            return await self._ask_checked(ask, place)
        except ChainError as error:
            if not may_pass(error):
                raise
            elapsed = time.monotonic() - started
            return await self._retry_asking(ask, error, elapsed, (place, only))

    async def _retry_asking(
        self,
        ask: Ask[T],
        failure: ChainError,
        elapsed: float,
        places: tuple[int | None, int | None],
    ) -> T:
        """Retry after a first attempt that failed and took ``elapsed`` seconds."""
        failures = iter([failure])
        last, only = places
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(max(ATTEMPTS, 2 * len(self._pool)))
            | tenacity.stop_before_delay(max(0.0, self._timeouts().reads - elapsed)),
            wait=self._compute_pause,
            retry=tenacity.retry_if_exception(may_pass),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                for first in failures:
                    raise first
                last = self._pool.best(avoid=last) if only is None else only
                return await self._ask_checked(ask, last)
        raise RpcUnavailable("no endpoint answered")  # tenacity raised before this line

    def _compute_pause(self, state: tenacity.RetryCallState) -> float:
        """Return a growing pause, never shorter than the nodes ask for."""
        growing = tenacity.wait_random_exponential(WAIT_SECONDS, MAX_WAIT_SECONDS)
        return max(growing(state), self._pool.patience())


def _wrap_with_failures(ask: Ask[T], failures: Failures) -> Ask[T]:
    """Wrap a request so that its errors are recorded in ``failures``."""

    async def noted(place: int) -> T:
        try:
            return await ask(place)
        except (BlockUnknown, SnapshotReorged, RpcRefused) as error:
            failures.add(place, error)
            raise

    return noted
