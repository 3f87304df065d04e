"""Records and sends batches, and splits those that every endpoint refuses."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

from keeper.domain.errors import ChainError, JournalError
from keeper.domain.head import Head
from keeper.domain.plan import Batch, News
from keeper.domain.submission import AttemptState, Submission
from keeper.domain.units import TransactionHash
from keeper.execution.broadcast import Broadcast
from keeper.execution.failpoints import reached
from keeper.execution.guard import Priced
from keeper.execution.recording import Recording
from keeper.execution.replacing import Replacer
from keeper.execution.send_caps import SendCaps
from keeper.execution.tracker import Tracker

log = logging.getLogger(__name__)

ROUNDS: Final = 3
"""Rounds at one head in which refused batches are sent again, smaller each time."""
PROOF_SECONDS: Final = 2.0
"""How long endpoints may take to say that they do not have a transaction."""


@runtime_checkable
class KnowsTransactions(Protocol):
    """A chain with endpoints that can all be asked for a transaction."""

    async def is_known(self, transaction: TransactionHash) -> bool | None:
        """Return whether any endpoint has it. None if one of them does not answer."""
        ...


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """Sends for a submitter, under its lock.

    A nonce is released if every endpoint refused all of its attempts for good at every send and no
    endpoint knows them. Its accounts are free again, and a cancellation uses up the nonce.
    """

    tracker: Tracker
    recording: Recording
    broadcast: Broadcast
    replacer: Replacer
    caps: SendCaps

    async def dispatch(
        self,
        priced: Sequence[Priced],
        nonce: int,
        head: Head,
        news: News | None,
        smaller: Callable[[Sequence[Priced]], Sequence[Priced]],
    ) -> list[Batch]:
        """Bind nonces from ``nonce`` on, record and send the batches. Returns those that were sent.

        ``smaller`` builds acceptable transactions from batches that were refused for good.

        Raises:
            JournalError: nothing was sent, since it could not be recorded.
        """
        left = list[Batch]()
        for _ in range(ROUNDS):
            bound = [
                self.replacer.opened(nonce + place, batch, fees, head)
                for place, (batch, fees) in enumerate(priced)
            ]
            await self.record_and_send(bound, head, news)
            refused = await self.release_refused(bound, head)
            left += [
                batch
                for (batch, _), sent in zip(priced, bound, strict=True)
                if sent.nonce not in refused
            ]
            nonce, news = nonce + len(bound), None
            again = [one for one, sent in zip(priced, bound, strict=True) if sent.nonce in refused]
            priced = smaller(again) if again and not self.caps.halted() else ()
            if not priced:
                break
        return left

    async def record_and_send(
        self, bound: Sequence[Submission], head: Head, news: News | None = None
    ) -> None:
        """Record nonces with the action facts, then send them. JournalError if nothing was sent."""
        reached("K3")  # mutation: G2 before-record
        try:
            await self.tracker.journal.record(bound, news)
        except JournalError as error:
            self.recording.note_failure(error)
            raise
        reached("K4")
        self.tracker.book.update((one.nonce, one) for one in bound)
        await self.send(bound, head)  # mutation: G2 sent-after-record

    async def send(self, bound: Sequence[Submission], head: Head) -> None:
        """Send recorded transactions. A failure to persist the answers is only noted."""
        try:
            await self.broadcast.send(bound, head)
        except JournalError as error:
            self.recording.note_failure(error)

    async def release_refused(self, bound: Sequence[Submission], head: Head) -> frozenset[int]:
        """Release the nonces that no endpoint has or will accept, and return them."""
        released = set[int]()
        cancelled = list[Submission]()
        for one in bound:
            error = self.broadcast.refusal(one)
            if one.batch is None or error is None or one.is_released:
                continue
            if await self._is_known(one) is not False:
                log.warning("refused_not_released nonce=%d block=%d", one.nonce, head.number)
                continue
            self.caps.learn(one, error)
            try:
                cancelled.append(await self._release(one, head))
            except JournalError as journal_error:
                self.recording.note_failure(journal_error)
                break
            released.add(one.nonce)
        if cancelled:
            await self.send(cancelled, head)
        return frozenset(released)

    async def _release(self, one: Submission, head: Head) -> Submission:
        """Persist that no node holds a nonce's attempts, and sign its cancellation."""
        cancellation = self.replacer.cancellation(one.nonce, one.attempts[0].fees, head)
        await self.tracker.journal.release(cancellation)
        freed = [replace(attempt, state=AttemptState.RELEASED) for attempt in one.attempts]
        made = replace(one, attempts=(*freed, cancellation))
        self.tracker.book[one.nonce] = made
        log.warning("nonce_released nonce=%d block=%d", one.nonce, head.number)
        return made

    async def _is_known(self, one: Submission) -> bool | None:
        """Return whether an endpoint has any of a nonce's attempts. None if not certain."""
        chain = self.tracker.chain
        if not isinstance(chain, KnowsTransactions):
            return None
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                found = [await chain.is_known(attempt.hash) for attempt in one.attempts]
        except (ChainError, TimeoutError):
            return None
        if any(found):
            return True
        return None if None in found else False  # mutation: G3 unknown-presence
