"""Broadcasts journaled transactions once each and persists the nodes' answers."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.head import Head
from keeper.domain.submission import Attempt, AttemptKind, AttemptState, Submission
from keeper.domain.units import TransactionHash
from keeper.execution.chain import RawSender
from keeper.execution.failpoints import reached
from keeper.execution.sending import Answer, classified, state_after
from keeper.execution.told import attempt_event
from keeper.execution.tracker import Tracker

log = logging.getLogger(__name__)

T = TypeVar("T")

LAST_SEND_SECONDS: Final = 10.0
"""How long a stopping node waits for a send in progress."""


@dataclass(slots=True, kw_only=True)
class Broadcast:
    """Sends transactions that the journal already holds.

    ``unfunded`` are the nonces with a newest transaction that the account could not pay for at the
    last send, ``refused`` those that nodes never accept. ``inherited`` are hashes that an earlier
    process may have sent. No answer proves that no node holds them.
    """

    node: RawSender
    tracker: Tracker
    unfunded: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    inherited: set[TransactionHash] = field(default_factory=set)
    _refusals: dict[TransactionHash, RpcRefused] = field(default_factory=dict)
    _perhaps_taken: set[TransactionHash] = field(default_factory=set)

    def refusal(self, submission: Submission) -> RpcRefused | None:
        """Return why all non-cancelling attempts of a nonce were refused for good at every send.

        None: a node may hold one of them.
        """
        acting = [one for one in submission.attempts if one.kind is not AttemptKind.CANCEL]
        errors = [self._refusals.get(one.hash) for one in acting]
        return errors[-1] if errors and None not in errors else None

    async def send(self, bound: Sequence[Submission], head: Head) -> None:
        """Send each nonce's newest attempt, lowest first, all concurrently, none twice.

        Raises:
            JournalError: the transactions were sent, but the answers could not be persisted.
        """
        if not bound:
            return
        errors = await asyncio.gather(*(self._send_one(one.newest.raw) for one in bound))
        reached("K5")
        answers = [classified(error) for error in errors]
        changed: list[Attempt] = []
        results: list[str] = []
        events = []
        for submission, answer, error in zip(bound, answers, errors, strict=True):
            attempt = submission.newest
            marked = replace(attempt, state=state_after(answer))
            self._mark_answer(submission, marked, answer)
            self._note_presence(marked, error, answer)
            if marked.state != attempt.state:
                changed.append(marked)
                results.append(str(answer) if error is None else f"{answer}: {error}")
            if attempt.state is AttemptState.RECORDED:
                events.append(attempt_event(submission, marked, answer, head))
        await self._send_older(bound, answers)
        if changed:
            await self.tracker.journal.mark_sent(changed, results)
        reached("K6")
        if not events:
            reached("K7")
        for event in events:
            self.tracker.emit(event)
            log.info(
                "tx_attempt nonce=%d kind=%s hash=%s result=%s block=%d",
                event["nonce"],
                event["kind"],
                event["hash"],
                event["result"],
                head.number,
            )

    def _mark_answer(self, submission: Submission, marked: Attempt, answer: Answer) -> None:
        if answer is Answer.UNFUNDED:
            self.unfunded.add(submission.nonce)
        else:
            self.unfunded.discard(submission.nonce)
        attempts = tuple(marked if one.hash == marked.hash else one for one in submission.attempts)
        self.tracker.book[submission.nonce] = replace(submission, attempts=attempts)

    def _note_presence(self, attempt: Attempt, error: ChainError | None, answer: Answer) -> None:
        """Note whether a node may hold an attempt, by all answers to it so far."""
        known = self.inherited | self._perhaps_taken
        if answer is Answer.REFUSED:
            self.refused.add(attempt.nonce)
            if isinstance(error, RpcRefused) and attempt.hash not in known:
                self._refusals[attempt.hash] = error
            return
        self.refused.discard(attempt.nonce)
        self._refusals.pop(attempt.hash, None)
        self._perhaps_taken.add(attempt.hash)  # mutation: G3 perhaps-taken

    async def _send_older(self, bound: Sequence[Submission], answers: Sequence[Answer]) -> None:
        """Resend the attempt that nodes did accept where they refuse its replacement."""
        older = [
            before.raw
            for one, answer in zip(bound, answers, strict=True)
            for before in one.attempts[-2:-1]
            if answer is Answer.REFUSED and before.state is not AttemptState.RELEASED
        ]
        await asyncio.gather(*(self._send_one(raw) for raw in older))

    async def _send_one(self, raw: bytes) -> ChainError | None:
        try:
            await self.node.send_raw(raw)
        except ChainError as error:
            return error
        return None


async def seen_through(work: Coroutine[object, object, T]) -> T:
    """Await work that must not be interrupted. A cancelled caller waits for its end.

    Attempts that were recorded and not sent would leave only after the next start, too late.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_SEND_SECONDS)
        if task.done() and not task.cancelled() and task.exception() is not None:
            log.error("last_send_failed reason=%s", task.exception())  # noqa: TRY400 (the error is in the line)
        raise
