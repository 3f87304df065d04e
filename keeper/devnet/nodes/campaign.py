"""The campaign: a clean run that is recorded, and then each cell, several at once."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.devnet.nodes.behaviours import Behaviour
from keeper.devnet.nodes.cells import Cell, choose, plan_cells, plan_second_ways, short
from keeper.devnet.nodes.chain import Chain
from keeper.devnet.nodes.crash import (
    ALONE,
    ALONE_HTTP,
    ARRANGEMENTS,
    Arrangement,
    Examine,
    Run,
    Seen,
)
from keeper.devnet.nodes.forms import BATCH, NEW_HEADS
from keeper.domain.errors import EnvironmentFault

_TRIES: Final = 2
"""A machine that is busy may be late for once; a node's fault is there the second time, too."""
_NAMES: Final[Mapping[str, str]] = {BATCH: "batch", NEW_HEADS: "eth_subscribe"}
"""How reasons name what is no method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a cell showed, beside the clean run of its arrangement."""

    cell: Cell
    seen: Seen
    clean: Seen

    @property
    def sent(self) -> int:
        """How many of the plans that pay were sent and mined."""
        return len(self.seen.liquidated & self.clean.liquidated)

    @property
    def paying(self) -> int:
        """How many plans pay."""
        return len(self.clean.liquidated)

    @property
    def reason(self) -> str:
        """The reason as ``/readyz`` or the command's end says it; empty where none names it."""
        return next((line for line in self._running if self._named in line), "")

    @property
    def diagnosis(self) -> str:
        """The reason as ``doctor`` says it."""
        return next((line for line in self.seen.doctor if self._named in line), "")

    @property
    def passed(self) -> bool:
        """Whether all that pays was sent, or the keeper and ``doctor`` say why not."""
        if self.sent == self.paying:
            return True
        excused = bool(self.reason) and bool(self.diagnosis)
        return excused and not self.cell.arrangement.second

    @property
    def agreed(self) -> bool:
        """Whether ``doctor`` said what the run showed, or was not asked."""
        return self.seen.acts is None or self.seen.acts is (self.sent == self.paying)

    @property
    def extra_requests(self) -> int:
        """How many requests more it took than the clean run."""
        return self.seen.requests - self.clean.requests

    @property
    def extra_milliseconds(self) -> int | None:
        """How much later the first send left than in the clean run."""
        if self.seen.milliseconds is None or self.clean.milliseconds is None:
            return None
        return self.seen.milliseconds - self.clean.milliseconds

    @property
    def _running(self) -> Sequence[str]:
        ended = self.seen.last_lines if self.seen.exit_code is not None else ()
        return [*(f"{part}: {why}" for part, why in self.seen.reasons.items()), *ended]

    @property
    def _named(self) -> str:
        form = self.cell.trouble.form
        return _NAMES.get(form, form.partition(" ")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked of a campaign."""

    slots: int = 6
    only: str = ""
    short: bool = False
    examine: Examine = Examine.FAILURES


class Campaign:
    """Runs cells on several local chains at once."""

    def __init__(self, order: Order, tell: Callable[[Verdict], object]) -> None:
        self._order = order
        self._tell = tell
        self._chains: asyncio.Queue[Chain] = asyncio.Queue()
        self._clean: dict[Arrangement, Seen] = {}

    async def run(self) -> list[Verdict]:
        """Record what the keeper asks for, and run the cells; return their verdicts."""
        async with self._brought_up():
            cells = await self._planned()
            verdicts = await self._all(cells)
            if not self._order.only and not self._order.short:
                verdicts += await self._all(self._second_ways(verdicts))
        return verdicts

    @contextlib.asynccontextmanager
    async def _brought_up(self) -> AsyncIterator[None]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keeper-nodes-")))
            slots = 2 if self._order.short else self._order.slots
            for number in range(slots):
                chain = await asyncio.to_thread(Chain.bring_up, folder / str(number))
                stack.callback(chain.stop)
                self._chains.put_nowait(chain)
            yield

    async def _planned(self) -> list[Cell]:
        """Run without a fault in each arrangement; what was asked for there makes the cells."""
        wanted = (ALONE,) if self._order.short else ARRANGEMENTS
        seen = await asyncio.gather(*(self._recorded(one) for one in wanted))
        self._clean = dict(zip(wanted, seen, strict=True))
        forms, samples = set[str](), dict[str, set[str]]()
        for one in seen:
            forms |= one.asked.keys()
            for form, fields in one.samples.items():
                samples.setdefault(form, set()).update(fields)
        cells = plan_cells(samples, forms)
        if self._order.short:
            return short(cells)
        return choose(cells, self._order.only) if self._order.only else cells

    async def _recorded(self, arrangement: Arrangement) -> Seen:
        """
        Run before good nodes.

        Raises:
            EnvironmentFault: the keeper does not work there, either.
        """
        chain = await self._chains.get()
        try:
            for _ in range(_TRIES):
                seen = await Run(chain, arrangement)(Examine.NEVER)
                if seen.liquidated and seen.exit_code is None:
                    return seen
        finally:
            self._chains.put_nowait(chain)
        reasons = "; ".join((*seen.reasons.values(), *seen.last_lines[-1:]))
        raise EnvironmentFault(f"nobody is liquidated before good nodes, either: {reasons}")

    async def _all(self, cells: Iterable[Cell]) -> list[Verdict]:
        return list(await asyncio.gather(*(self._cell(cell) for cell in cells)))

    async def _cell(self, cell: Cell) -> Verdict:
        chain = await self._chains.get()
        try:
            for _ in range(_TRIES):
                clean = self._clean[cell.arrangement]
                run = Run(chain, cell.arrangement, cell.troubles, clean.liquidated)
                seen = await run(Examine.NEVER if cell.arrangement.second else self._order.examine)
                verdict = Verdict(cell=cell, seen=seen, clean=clean)
                if verdict.passed:
                    break
        finally:
            self._chains.put_nowait(chain)
        self._tell(verdict)
        return verdict

    def _second_ways(self, verdicts: Sequence[Verdict]) -> list[Cell]:
        """Return the cells of what was asked for only where something was refused."""
        known = {form for seen in self._clean.values() for form in seen.asked}
        cells = list[Cell]()
        for verdict in verdicts:
            if verdict.cell.trouble.behaviour is not Behaviour.REFUSED:
                continue
            new = verdict.seen.asked.keys() - known
            if verdict.cell.arrangement in (ALONE, ALONE_HTTP):
                known |= new
                cells += plan_second_ways(verdict.cell, new, verdict.seen.samples)
        return cells
