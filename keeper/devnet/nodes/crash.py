"""One keeper through one crash, and what is seen of it."""

import asyncio
import enum
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keeper.devnet.nodes.behaviours import LATE_SECONDS, Behaviour, Misbehaviour, Trouble
from keeper.devnet.nodes.chain import Chain
from keeper.devnet.nodes.process import Process, start
from keeper.devnet.nodes.proxy import Proxy

START_SECONDS: Final = 25.0
BLOCK_SECONDS: Final = 0.5
"""How often a block is mined: a chain of seconds, in a hurry."""
LATE_BLOCK_SECONDS: Final = 2.0
"""The same where the node is a second late: it must come to know a block before the next."""
BLOCKS: Final = 10
"""Blocks after the crash in which everything that pays has to be sent."""
AFTER: Final = 2
"""Blocks that follow when everything has been liquidated."""
_DOCTOR_SECONDS: Final = 60.0
_LAST_LINES: Final = 12
_PATIENCE_PACES: Final = 2
_POLL_SECONDS: Final = 0.05


class Examine(enum.Enum):
    """Time at which ``doctor`` examines the endpoints of a run."""

    NEVER = enum.auto()
    FAILURES = enum.auto()
    ALWAYS = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Endpoints of the keeper, one over a websocket or http, with or without a correct second."""

    name: str
    http: bool = False
    second: bool = False


ALONE: Final = Arrangement(name="one endpoint")
ALONE_HTTP: Final = Arrangement(name="one endpoint, http", http=True)
SECOND: Final = Arrangement(name="and a good one", second=True)
SECOND_HTTP: Final = Arrangement(name="and a good one, http", http=True, second=True)
ARRANGEMENTS: Final = (ALONE, ALONE_HTTP, SECOND, SECOND_HTTP)


@dataclass(slots=True, kw_only=True)
class Seen:
    """Observations of one run.

    ``liquidated`` are the accounts that were unhealthy in the crash and are not at its end.
    ``milliseconds`` passed from the crash's block to the first send. ``reasons`` are the ones of
    ``/readyz`` by part, ``last_lines`` the last ones of its log. ``met`` counts each trouble's
    effects. ``said`` has the reasons of ``/readyz`` after each block of the crash.
    """

    exit_code: int | None = None
    blocks: int = 0
    mined: int = 0
    liquidated: frozenset[str] = frozenset()
    milliseconds: int | None = None
    requests: int = 0
    met: Counter[Trouble] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    samples: Mapping[str, set[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    said: list[tuple[int, str]] = field(default_factory=list)
    last_lines: Sequence[str] = ()
    doctor: Sequence[str] = ()
    acts: bool | None = None
    seconds: float = 0.0


class Run:
    """A keeper's run before an endpoint with these troubles."""

    def __init__(
        self,
        chain: Chain,
        arrangement: Arrangement,
        troubles: tuple[Trouble, ...] = (),
        targets: frozenset[str] | None = None,
    ) -> None:
        self._chain = chain
        self._arrangement = arrangement
        self._bad = Proxy(upstream=chain.port, misbehaviour=Misbehaviour(troubles=troubles))
        self._good = Proxy(upstream=chain.port)
        self._targets = targets
        late = {LATE_SECONDS.get(trouble.behaviour, 0.0) for trouble in troubles}
        slow = LATE_SECONDS[Behaviour.LATE_1_S] in late
        self._pace = LATE_BLOCK_SECONDS if slow else BLOCK_SECONDS
        self._seen = Seen()

    async def __call__(self, examine: Examine) -> Seen:
        """Run the crash, and ``doctor`` afterwards if requested."""
        began = time.monotonic()
        await asyncio.to_thread(self._chain.reset)
        self._bad.misbehaviour.old_height = await asyncio.to_thread(self._chain.height)
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keeper-node-")))
            await stack.enter_async_context(self._bad.serving())
            await stack.enter_async_context(self._good.serving())
            keeper = start(
                "run", self._build_arguments("run", "--json"), folder, self._build_environment()
            )
            stack.push_async_callback(keeper.stop)
            await self._run_crash(keeper)
            self._read(keeper)
            left = self._targets is not None and self._seen.liquidated < self._targets
            if examine is Examine.ALWAYS or (examine is Examine.FAILURES and left):
                await keeper.stop()
                await self._run_doctor(folder)
        self._seen.seconds = time.monotonic() - began
        return self._seen

    def _build_arguments(self, *command: str) -> list[str]:
        return [*command, "--config", str(self._chain.settings)]

    def _build_environment(self) -> dict[str, str]:
        bad = self._bad.http if self._arrangement.http else self._bad.ws
        endpoints = [bad, self._good.ws] if self._arrangement.second else [bad]
        return {
            "KEEPER_CHAIN__ENDPOINTS": json.dumps(endpoints),
            "KEEPER_CHAIN__BLOCK_TIME_MS": str(round(self._pace * 1000)),
            "KEEPER_CHAIN__POLL_INTERVAL_MS": "100",
        }

    async def _run_crash(self, keeper: Process) -> None:
        """Start the keeper, add a borrower, replace a block, and drop prices."""
        if not await self._wait_for_start(keeper):
            return
        for step in (self._chain.mine, self._chain.enter, self._chain.mine, self._chain.mine):
            await self._run_step(step, keeper)
        await self._run_step(self._chain.reorganise, keeper)
        await self._run_step(self._chain.mine, keeper)
        before = self._count_requests()
        self._bad.misbehaviour.crash()
        await asyncio.to_thread(self._chain.crash)
        fallen, at = await asyncio.to_thread(self._chain.unhealthy), time.monotonic()
        watch = asyncio.create_task(self._watch_sends(at), name="watch-sends")
        worked = keeper.count("block")
        left, after = fallen, 0
        while self._seen.mined < BLOCKS and after < AFTER and keeper.exit_code is None:
            await self._run_step(self._chain.mine, keeper)
            self._seen.mined += 1
            left = await asyncio.to_thread(self._chain.unhealthy)
            done = self._targets is not None and not left & self._targets
            after += done
            if not done:
                self._note_reasons(await keeper.not_ready())
        watch.cancel()
        self._seen.liquidated = fallen - left
        self._seen.blocks = keeper.count("block") - worked
        self._seen.requests = self._count_requests() - before

    def _note_reasons(self, reasons: Mapping[str, str]) -> None:
        self._seen.reasons |= reasons
        self._seen.said += [
            (self._seen.mined, f"{part}: {reason}") for part, reason in reasons.items()
        ]

    async def _wait_for_start(self, keeper: Process) -> bool:
        """Wait for the keeper's first block while the chain continues."""
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and keeper.exit_code is None:
            if await keeper.until("block", self._pace):
                return True
            await asyncio.to_thread(self._chain.mine)
            self._seen.reasons |= await keeper.not_ready()
        return False

    async def _run_step(self, step: Callable[[], None], keeper: Process) -> None:
        """Mine a block and wait until the keeper has processed it, with a limit."""
        worked = keeper.count("block")
        await asyncio.to_thread(step)
        await asyncio.sleep(self._pace)
        ends = time.monotonic() + _PATIENCE_PACES * self._pace
        while keeper.count("block") == worked and time.monotonic() < ends:
            if keeper.exit_code is not None:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _watch_sends(self, since: float) -> None:
        """Note when the first bytes were sent, to either endpoint."""
        waits = [asyncio.ensure_future(proxy.sent.wait()) for proxy in (self._bad, self._good)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._seen.milliseconds = round((time.monotonic() - since) * 1000)

    def _count_requests(self) -> int:
        return self._bad.asked.total() + self._good.asked.total()

    def _read(self, keeper: Process) -> None:
        self._seen.exit_code = keeper.exit_code
        self._seen.asked = self._bad.asked + self._good.asked
        self._seen.samples = {
            form: self._bad.samples.get(form, set()) | self._good.samples.get(form, set())
            for form in self._bad.samples.keys() | self._good.samples.keys()
        }
        self._seen.met = self._bad.misbehaviour.met
        self._seen.last_lines = keeper.errors.splitlines()[-_LAST_LINES:]

    async def _run_doctor(self, folder: Path) -> None:
        """Run ``doctor`` on the same endpoints while the chain continues."""
        doctor = start(
            "doctor", self._build_arguments("doctor", "--json"), folder, self._build_environment()
        )
        ends = time.monotonic() + _DOCTOR_SECONDS
        while not await doctor.ended(self._pace) and time.monotonic() < ends:
            await asyncio.to_thread(self._chain.mine)
        await doctor.stop()
        try:
            checks = json.loads(doctor.output)["checks"]
        except ValueError:
            checks = []
        self._seen.doctor = [
            f"{check['what']}: {check['detail']}: {check['fix']}"
            for check in checks
            if check["level"] == "fail"
        ]
        acts = any("acts on this node" in check["detail"] for check in checks)
        self._seen.acts = acts and not self._seen.doctor
