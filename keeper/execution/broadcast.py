"""Recorded bytes onto the wire: once each, and what the node said is kept."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keeper.domain.errors import ChainError
from keeper.domain.head import Head
from keeper.domain.submission import Attempt, AttemptState, Submission
from keeper.execution.chain import RawSender
from keeper.execution.failpoints import reached
from keeper.execution.sending import Answer, classified, state_after
from keeper.execution.told import attempt_event
from keeper.execution.tracker import Tracker

log = logging.getLogger(__name__)

LAST_SEND_SECONDS: Final = 10.0
"""How long a node that is stopped waits for a send that it has begun."""


@dataclass(slots=True, kw_only=True)
class Broadcast:
    """
    Sends what the journal holds already.

    ``unfunded`` are the nonces whose newest bytes the account could not pay for when they
    were sent last.
    """

    node: RawSender
    tracker: Tracker
    unfunded: set[int] = field(default_factory=set)

    async def send(self, bound: Sequence[Submission], head: Head) -> None:
        """
        Hand over each nonce's newest bytes, lowest first, all in flight at once, none repeated.

        Raises:
            JournalError: the bytes have left, but what the node said could not be kept.
        """
        if not bound:
            return
        errors = await asyncio.gather(*(self._sent(one.newest.raw) for one in bound))
        reached("K5")
        answers = [classified(error) for error in errors]
        changed: list[Attempt] = []
        results: list[str] = []
        events = []
        for submission, answer, error in zip(bound, answers, errors, strict=True):
            attempt = submission.newest
            marked = replace(attempt, state=state_after(answer))
            self._mark(submission, marked, answer)
            if marked.state != attempt.state:
                changed.append(marked)
                results.append(str(answer) if error is None else f"{answer}: {error}")
            if attempt.state is AttemptState.RECORDED:
                events.append(attempt_event(submission, marked, answer, head))
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

    def _mark(self, submission: Submission, marked: Attempt, answer: Answer) -> None:
        if answer is Answer.UNFUNDED:
            self.unfunded.add(submission.nonce)
        else:
            self.unfunded.discard(submission.nonce)
        attempts = tuple(marked if one.hash == marked.hash else one for one in submission.attempts)
        self.tracker.book[submission.nonce] = replace(submission, attempts=attempts)

    async def _sent(self, raw: bytes) -> ChainError | None:
        try:
            await self.node.send_raw(raw)
        except ChainError as error:
            return error
        return None


async def seen_through(work: Coroutine[object, object, None]) -> None:
    """
    Await work that must not be cut in half: who is cancelled meanwhile waits for its end.

    Bytes that were recorded and not sent would only leave after the next start, too late.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_SEND_SECONDS)
        if task.done() and not task.cancelled() and task.exception() is not None:
            log.error("last_send_failed reason=%s", task.exception())  # noqa: TRY400 (it is told)
        raise
