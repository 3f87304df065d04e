"""Stall watchdog, which ends a process without progress for its supervisor.

Before that the endpoints were subscribed again and changed, and the node has reported for long that
it is not ready.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.config import Settings
from keeper.domain.errors import ChainError, EnvironmentFault
from keeper.domain.head import Head
from keeper.observe.stages import Stage, Watch
from keeper.observe.supervisor import Supervisor
from keeper.ports import MarketSnapshot

STALL_BLOCKS: Final = 10
"""Least number of block times without progress before a run counts as stalled."""
LOOK_SHARE: Final = 20
"""Number of checks per bound."""


@dataclass(slots=True, kw_only=True)
class Stalling:
    """A ``Watch`` in front of another that notes progress and notifies a supervisor.

    Progress means that a block higher than all before was processed to the end.
    """

    watch: Watch
    supervisor: Supervisor = field(default_factory=Supervisor)
    clock: Callable[[], float] = time.monotonic
    got_on_at: float = 0.0
    _highest: int = -1

    def passed(self, stage: Stage, head: Head) -> None:
        """Note that a stage was reached now."""
        if stage is Stage.RECORDED and head.number > self._highest:
            self._highest, self.got_on_at = head.number, self.clock()
            self.supervisor.got_on(head)
        self.watch.passed(stage, head)

    def done(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Note that a block was processed to the end, with its market state."""
        self.watch.done(head, snapshots)

    def skipped(self, head: Head, error: ChainError) -> None:
        """Note that a block could not be read."""
        self.watch.skipped(head, error)

    async def unless_stalled(self, work: Awaitable[None], seconds: float) -> None:
        """Await work while it progresses. ``seconds`` without progress end it, 0 never does.

        Raises:
            EnvironmentFault: it made no progress for that time.
        """
        if not seconds:
            return await work
        self.got_on_at = self.clock()
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=seconds / LOOK_SHARE)
                # mutation: G29 stalled
                if not task.done() and self.clock() - self.got_on_at > seconds:
                    raise EnvironmentFault(
                        f"no new block was worked on to the end for {seconds:.0f} s",
                        hint="the process ends so that a supervisor starts it anew;"
                        " run.stall_exit_seconds says after how long",
                    )
            task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])


def stall_bound(settings: Settings, *, own_clock: bool) -> float:
    """Compute the seconds without progress that end a run. 0 (never) on a local chain."""
    bound = settings.run.stall_exit_seconds
    if own_clock or not bound:
        return 0.0
    return max(bound, STALL_BLOCKS * settings.chain.block_time_ms / 1000)
