"""Reads that a block needs whatever its logs say, asked for while these are on their way."""

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
"""From here on a round trip is worth a request: one that the logs add to is made in two parts."""
BLOCKS: Final = 3
"""So many blocks' logs must have been slow, one after the other: one may be by chance."""


@dataclass(slots=True)
class Pace:
    """How long the newest blocks' logs took."""

    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=BLOCKS))

    def note(self, seconds: float) -> None:
        """Remember how long a block's logs took."""
        self._seconds.append(seconds)

    @property
    def is_slow(self) -> bool:
        """Whether the endpoint is far away, rather than late by chance."""
        return len(self._seconds) == BLOCKS and min(self._seconds) >= SLOW_SECONDS


class ReadAhead:
    """
    One block's reads: begun before its logs are known, completed by what the logs add.

    ``questions`` are the block's sample of accounts to compare; the riders' reads go along. Where
    a round trip costs next to nothing, all is read at once when the logs are known: a block in
    which borrowers acted then costs one request less.
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
            self._calls = _calls_of(markets, head)
            reading = reader.aggregate([*self._calls, *self._besides], self._basis)
            self._task = begin(reading)

    def cancel(self) -> None:
        """Let the reads be, where the block is not read."""
        if self._task is not None:
            self._task.cancel()

    async def fetch(self, calls: Sequence[Call]) -> tuple[list[CallResult], list[CallResult]]:
        """
        Return the results of the markets' calls, and of what goes along and the questions.

        Raises:
            ChainError: the block could not be read.
        """
        if self._task is None:
            asked = [*calls, *self._besides]
            results = await self._reader.aggregate(asked, self._basis)
            return results[: len(calls)], results[len(calls) :]
        early, count = await self._task, len(self._calls)
        # A question may ask the same once more, after it has accrued interest for the read.
        known = dict(zip(self._calls, early[:count], strict=True))
        missing = [call for call in dict.fromkeys(calls) if call not in known]
        if missing:
            added = await self._reader.aggregate(missing, self._basis)
            known.update(zip(missing, added, strict=True))
        return [known[call] for call in calls], early[count:]

    def hand_over(self, head: Head, results: Sequence[CallResult]) -> Sequence[CallResult]:
        """Hand each rider its own of what goes along; return the answers to the questions."""
        for rider, calls in self._along:
            rider.apply(head, results[: len(calls)])
            results = results[len(calls) :]
        return results


def _calls_of(markets: Iterable[LendingMarket], head: Head) -> list[Call]:
    """Return what the markets would read if the block's logs said nothing."""
    found = list[Call]()
    for market in markets:
        try:
            found += market.calls(head)
        except MarketUnreadable:  # it is told when its turn comes, after the logs
            continue
    return found
