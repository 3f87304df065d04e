"""Recent blocks, and the time that a read waits for a block that no endpoint serves yet."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from keeper.domain.head import Head
from keeper.domain.units import BlockHash

BlockId = BlockHash | int | None
"""A block by its hash or number. None is the newest one, or a block without a name."""

BLOCK_SECONDS: Final = 2.0
"""The time of a block where the caller does not state it."""
LEAST_SECONDS: Final = 1.0
"""A young block is waited for this long on chains with shorter block times, too."""
MOST_SECONDS: Final = 6.0
"""Endpoints that are later than a block's time are waited for this long at most."""
FIRST_PAUSES: Final = (0.025, 0.05, 0.1)
"""Pauses that every block is worth, an old one and one that was overtaken, too."""
PAUSE: Final = 0.2
"""The further pauses of a young block."""
YOUNG_BLOCKS: Final = 32
"""Blocks within this distance of the newest one may be missing because they are young."""
MOST_TOLERANCE: Final = 5
CALM: Final = 16
"""So many blocks that were served in time in a row take back one newer head of tolerance."""
REMEMBERED: Final = 1024


class RecentBlocks:
    """Headers that endpoints announced or served, by hash. The oldest are dropped."""

    def __init__(self) -> None:
        self._heads: OrderedDict[BlockHash, Head] = OrderedDict()
        self._current: Head | None = None
        self._highest = -1

    def note(self, head: Head) -> None:
        """Store a header."""
        self._heads[head.hash] = head
        self._heads.move_to_end(head.hash)
        self._highest = max(self._highest, head.number)
        if len(self._heads) > REMEMBERED:
            self._heads.popitem(last=False)

    def hand_on(self, head: Head) -> None:
        """Store the head that the pipeline works on from now on."""
        self.note(head)
        self._current = head

    @property
    def newest(self) -> int:
        """The number of the newest block, -1 before any is known."""
        return self._highest if self._current is None else self._current.number

    def number_of(self, block: BlockId) -> int | None:
        """Return a block's number. None if its header is not stored."""
        if not isinstance(block, str):
            return block
        head = self._heads.get(block)
        return None if head is None else head.number

    def head_of(self, block_hash: BlockHash) -> Head | None:
        """Return a block's header. None if it is not stored."""
        return self._heads.get(block_hash)

    def ancestor_of(self, head: Head, distance: int) -> Head | None:
        """Return the stored ancestor at this distance, or the farthest nearer one. None if none."""
        ancestor: Head | None = None
        for _ in range(distance):
            parent = self._heads.get((ancestor or head).parent_hash)
            if parent is None:
                break
            ancestor = parent
        return ancestor

    def times_before(self, head: Head, distance: int) -> set[int]:
        """Return the timestamps of the stored ancestors up to this distance."""
        times = set[int]()
        for _ in range(distance):
            parent = self._heads.get(head.parent_hash)
            if parent is None:
                break
            head = parent
            times.add(head.timestamp)
        return times

    def is_young(self, block: BlockId) -> bool:
        """Return whether an endpoint may lack a block only because it is new."""
        if block is None:
            return True
        number = self.number_of(block)
        if number is None:
            return False
        is_announced = isinstance(block, str) or number <= self.newest
        return is_announced and number > self.newest - YOUNG_BLOCKS

    def newer_heads(self, block: BlockId) -> int:
        """Return the number of later heads that the pipeline worked on."""
        number = self.number_of(block)
        if self._current is None or number is None:
            return 0
        return max(0, self._current.number - number)

    def is_replaced(self, block: BlockId) -> bool:
        """Return whether the current head builds on another block of that height."""
        head = self._current
        number = self.number_of(block) if isinstance(block, str) else None
        if head is None or number is None or head.number < number:
            return False
        while head.number > number + 1:
            parent = self._heads.get(head.parent_hash)
            if parent is None:
                return False
            head = parent
        return (head.hash if head.number == number else head.parent_hash) != block


class Awaiting:
    """Patience with blocks that are not served yet, shared by all reads.

    A newer head ends the wait for a block. If that happens block after block, the endpoints are
    slower than the block time, and each block is given one more newer head.
    """

    def __init__(self, blocks: RecentBlocks, seconds: float, clock: Callable[[], float]) -> None:
        self.blocks = blocks
        self.clock = clock
        self._seconds = seconds
        self._tolerance = 0
        self._given_up: BlockId = None
        self._calm = 0

    def begin(self, block: BlockId) -> "Wait":
        """Start the wait for a block that an endpoint did not have."""
        return Wait(self, block)

    def is_overtaken(self, block: BlockId) -> bool:
        """Return whether too many newer heads arrived meanwhile."""
        return self.blocks.newer_heads(block) > self._tolerance

    def patience(self) -> float:
        """Return the seconds that a young block is waited for."""
        seconds = max(LEAST_SECONDS, self._seconds)
        return min(seconds * (1 + self._tolerance), max(seconds, MOST_SECONDS))

    def give_up(self, block: BlockId) -> None:
        """Record that a block was not served in time, or not before a newer one."""
        if block != self._given_up:
            self._given_up, self._calm = block, 0
            self._tolerance = min(MOST_TOLERANCE, self._tolerance + 1)

    def serve(self, block: BlockId) -> None:
        """Record that a block was served after a wait."""
        self._calm = 0 if self.blocks.newer_heads(block) else self._calm + 1
        if self._calm >= CALM:
            self._tolerance, self._calm = max(0, self._tolerance - 1), 0


class Wait:
    """The wait of one read for one block. ``rounds`` counts its pauses."""

    def __init__(self, awaiting: Awaiting, block: BlockId) -> None:
        self._awaiting = awaiting
        self._block = block
        self._began = awaiting.clock()
        self.rounds = 0

    def next_pause(self) -> float | None:
        """Return the pause before the next attempt. None to give up."""
        self.rounds += 1
        if self.rounds <= len(FIRST_PAUSES):
            return FIRST_PAUSES[self.rounds - 1]
        if self._block is None or not self._awaiting.blocks.is_young(self._block):
            return None
        left = self._began + self._awaiting.patience() - self._awaiting.clock()
        if left <= 0 or self._awaiting.is_overtaken(self._block):
            self._awaiting.give_up(self._block)
            return None
        return min(PAUSE, left)
