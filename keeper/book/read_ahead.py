"""Early reads of a block that do not depend on its logs, started while these are fetched."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.abilities import Rider
from keeper.book.parity import Parity, Question
from keeper.chain.concurrent import begin
from keeper.domain.errors import MarketUnreadable
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, CallResult
from keeper.ports import ChainReader, LendingMarket

SLOW_SECONDS: Final = 0.02
"""Latency from which an early read is worth an additional request."""
BLOCKS: Final = 3
"""Consecutive slow blocks required, since a single one may be by chance."""


@dataclass(slots=True)
class Pace:
    """Time to fetch the newest blocks' logs."""

    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=BLOCKS))

    def note(self, seconds: float) -> None:
        """Record the time to fetch a block's logs."""
        self._seconds.append(seconds)

    @property
    def is_slow(self) -> bool:
        """Whether the endpoint is consistently slow."""
        return len(self._seconds) == BLOCKS and min(self._seconds) >= SLOW_SECONDS


class ReadAhead:
    """One block's reads, started before its logs are known and completed afterwards.

    ``questions`` are the block's sample of accounts to compare. Riders' reads are included. With a
    fast endpoint everything is read at once after the logs, which saves a request in a block with
    actions of borrowers.
    """

    def __init__(
        self,
        reader: ChainReader,
        head: Head,
        markets: Iterable[LendingMarket],
        riders: Iterable[Rider],
        parity: Parity,
        *,
        is_early: bool,
    ) -> None:
        self._reader = reader
        self._basis = Basis(block_hash=head.hash)
        self.questions: Sequence[Question] = parity.questions()
        self._along = [(rider, rider.calls(head)) for rider in riders]
        self._besides = [
            *(call for _, calls in self._along for call in calls),
            *(call for question in self.questions for call in question.calls),
        ]
        self._calls: Sequence[Call] = ()
        self._task: asyncio.Task[list[CallResult]] | None = None
        if is_early:
            self._calls = _list_calls(markets, head)
            reading = reader.aggregate([*self._calls, *self._besides], self._basis)
            self._task = begin(reading)

    def cancel(self) -> None:
        """Cancel the reads of a block that is not read."""
        if self._task is not None:
            self._task.cancel()

    async def fetch(self, calls: Sequence[Call]) -> tuple[list[CallResult], list[CallResult]]:
        """Return the results of the markets' calls, and those of riders and questions.

        Raises:
            ChainError: the block could not be read.
        """
        if self._task is None:
            asked = [*calls, *self._besides]
            results = await self._reader.aggregate(asked, self._basis)
            return results[: len(calls)], results[len(calls) :]
        early, count = await self._task, len(self._calls)
        # A question may repeat a call, after accruing interest for the read.
        known = dict(zip(self._calls, early[:count], strict=True))
        missing = [call for call in dict.fromkeys(calls) if call not in known]
        if missing:
            added = await self._reader.aggregate(missing, self._basis)
            known.update(zip(missing, added, strict=True))
        return [known[call] for call in calls], early[count:]

    def hand_over(self, head: Head, results: Sequence[CallResult]) -> Sequence[CallResult]:
        """Apply each rider's own results. Return the answers to the questions."""
        for rider, calls in self._along:
            rider.apply(head, results[: len(calls)])
            results = results[len(calls) :]
        return results


def _list_calls(markets: Iterable[LendingMarket], head: Head) -> list[Call]:
    """Return the markets' calls for a block without logs."""
    found = list[Call]()
    for market in markets:
        try:
            found += market.calls(head)
        except MarketUnreadable:  # reported in its turn, after the logs
            continue
    return found
