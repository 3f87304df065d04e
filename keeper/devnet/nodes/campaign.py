"""Campaign with a recorded run without faults, followed by each cell, several at once."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.devnet.nodes.behaviours import Behaviour
from keeper.devnet.nodes.cells import Cell, bundled, choose, plan_cells, plan_second_ways, short
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

_AND: Final = " + "
"""Stands in a cell's name between what is refused and the second way that is under test."""
_LEADING: Final = (Behaviour.REFUSED, Behaviour.EMPTY)
"""Behaviours that make the keeper take a second way."""
_TRIES: Final = 2
"""Runs of a failing cell. A busy machine is late once, a node's fault repeats."""
_NAMES: Final[Mapping[str, str]] = {BATCH: "batch", NEW_HEADS: "eth_subscribe"}
"""How reasons name what is no method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Result of a cell, with the run without faults of its arrangement.

    ``beside`` is the number of other cells in the same crash.
    """

    cell: Cell
    seen: Seen
    clean: Seen
    beside: int = 0

    @property
    def met(self) -> int:
        """Number of answers altered by the tested trouble."""
        return self.seen.met[self.cell.trouble]

    @property
    def proved(self) -> bool:
        """Whether the keeper met the trouble and sent all paying plans. If not it is run alone."""
        return self.met > 0 and self.sent == self.paying and self.seen.exit_code is None

    @property
    def sent(self) -> int:
        """Number of paying plans that were sent and mined."""
        return len(self.seen.liquidated & self.clean.liquidated)

    @property
    def paying(self) -> int:
        """Number of paying plans."""
        return len(self.clean.liquidated)

    @property
    def reason(self) -> str:
        """Reason by ``/readyz`` or by the command's end. Empty if none names it."""
        return next((line for line in self._running if self._named in line), "")

    @property
    def blocks_until_said(self) -> int | None:
        """Number of crash blocks before ``/readyz`` named the method. None if never."""
        return min((mined for mined, line in self.seen.said if self._named in line), default=None)

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
        """Number of additional requests compared with the run without faults."""
        return self.seen.requests - self.clean.requests

    @property
    def extra_milliseconds(self) -> int | None:
        """Additional delay of the first send compared with the run without faults."""
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
    """Options of a campaign."""

    slots: int = 7
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
        """Record the keeper's requests and run the cells. Returns their verdicts."""
        async with self._start_chains():
            cells = await self._plan_cells()
            verdicts = await self._run_all(cells)
            first, _, second = self._order.only.partition(_AND)
            if second:
                verdicts += await self._run_all(choose(self._list_fallback_cells(verdicts), second))
            elif not first and not self._order.short:
                verdicts += await self._run_all(self._list_fallback_cells(verdicts))
        return verdicts

    @contextlib.asynccontextmanager
    async def _start_chains(self) -> AsyncIterator[None]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keeper-nodes-")))
            slots = 2 if self._order.short else self._order.slots
            for number in range(slots):
                chain = await asyncio.to_thread(Chain.bring_up, folder / str(number))
                stack.callback(chain.stop)
                self._chains.put_nowait(chain)
            yield

    async def _plan_cells(self) -> list[Cell]:
        """Run each arrangement without a fault, and build the cells from its requests."""
        wanted = (ALONE,) if self._order.short else ARRANGEMENTS
        seen = await asyncio.gather(*(self._record_arrangement(one) for one in wanted))
        self._clean = dict(zip(wanted, seen, strict=True))
        forms, samples = set[str](), dict[str, set[str]]()
        for one in seen:
            forms |= one.asked.keys()
            for form, fields in one.samples.items():
                samples.setdefault(form, set()).update(fields)
        cells = plan_cells(samples, forms)
        if self._order.short:
            return short(cells)
        first = self._order.only.partition(_AND)[0]
        return choose(cells, first) if first else cells

    async def _record_arrangement(self, arrangement: Arrangement) -> Seen:
        """Run with correct nodes.

        Raises:
            EnvironmentFault: the keeper fails even then.
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

    async def _run_all(self, cells: Sequence[Cell]) -> list[Verdict]:
        alone = bool(self._order.only) or self._order.short
        bundles = [(cell,) for cell in cells] if alone else bundled(cells)
        verdicts = await asyncio.gather(*(self._run_bundle(bundle) for bundle in bundles))
        return [verdict for found in verdicts for verdict in found]

    async def _run_bundle(self, bundle: Sequence[Cell]) -> list[Verdict]:
        """Run cells in one crash, and repeat the unproved ones alone."""
        verdicts = list[Verdict]()
        if len(bundle) > 1:
            seen, clean = await self._run_together(bundle)
            verdicts = [
                Verdict(cell=cell, seen=seen, clean=clean, beside=len(bundle) - 1)
                for cell in bundle
            ]
        proved = [verdict for verdict in verdicts if verdict.proved]
        for verdict in proved:
            self._tell(verdict)
        done = {verdict.cell.name for verdict in proved}
        others = [cell for cell in bundle if cell.name not in done]
        return proved + list(await asyncio.gather(*(self._run_cell(cell) for cell in others)))

    async def _run_together(self, bundle: Sequence[Cell]) -> tuple[Seen, Seen]:
        """Run the crash of several cells of an arrangement, and a run without faults."""
        chain, arrangement = await self._chains.get(), bundle[0].arrangement
        troubles = tuple(trouble for cell in bundle for trouble in cell.troubles)
        clean = self._clean[arrangement]
        try:
            run = Run(chain, arrangement, troubles, clean.liquidated)
            return await run(Examine.NEVER), clean
        finally:
            self._chains.put_nowait(chain)

    async def _run_cell(self, cell: Cell) -> Verdict:
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

    def _list_fallback_cells(self, verdicts: Sequence[Verdict]) -> list[Cell]:
        """List the cells of requests made only after a refusal or an empty answer."""
        known = {form for seen in self._clean.values() for form in seen.asked}
        cells = list[Cell]()
        for verdict in verdicts:
            if verdict.cell.trouble.behaviour not in _LEADING:
                continue
            new = verdict.seen.asked.keys() - known
            if verdict.cell.arrangement in (ALONE, ALONE_HTTP):
                known |= new
                cells += plan_second_ways(verdict.cell, new, verdict.seen.samples)
        return cells
