"""Keeper under measurement, the real node in this process on its own devnet."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keeper.app import Mode, RunOptions, run_session
from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc
from keeper.composition.session import session_over
from keeper.config import Settings, load
from keeper.devnet import local
from keeper.devnet.bench_market import Stairs, queue_prices, settle
from keeper.devnet.bench_relay import far_away
from keeper.devnet.bench_wire import Wire, recorded
from keeper.devnet.market import Devnet, hot_key
from keeper.domain.errors import EnvironmentFault
from keeper.observe.events import Event

PATIENCE_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Place:
    """Devnet with a market for measuring. The keeper reaches it at ``address``.

    There each answer is delayed by ``delay_seconds``.
    """

    devnet: Devnet
    settings: Settings
    folder: Path
    address: str
    delay_seconds: float = 0


@dataclass(slots=True)
class Measured:
    """The running keeper, its exchanged messages, and its events.

    ``moments`` has the time at which each block was processed whole (``perf_counter_ns``).
    """

    place: Place
    wire: Wire
    moments: dict[int, int] = field(default_factory=dict)
    _events: list[Event] = field(default_factory=list)
    _told: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None

    def told(self, event: Event) -> None:
        """Add an event of the keeper."""
        self._events.append(event)
        if event["event"] == "block":
            self.moments[int(str(event["block_number"]))] = time.perf_counter_ns()
        self._told.set()

    def events(self, name: str, **wanted: object) -> list[Event]:
        """List the events of a name with these fields."""
        return [
            one
            for one in self._events
            if one["event"] == name and all(one.get(key) == wanted[key] for key in wanted)
        ]

    async def mined(self, price: int | None = None) -> int:
        """Mine a block, with price updates if given, and return its number once processed."""
        devnet = self.place.devnet
        if price is not None:
            await asyncio.to_thread(queue_prices, devnet, price)
        number = await asyncio.to_thread(devnet.node.block_number) + 1
        await asyncio.sleep(_QUIET_SECONDS)
        self.wire.clear()
        await asyncio.to_thread(devnet.node.rpc, "evm_mine")
        await self._wait_until(lambda: bool(self.events("block", block_number=number)))
        await asyncio.sleep(_QUIET_SECONDS)
        return number

    async def _wait_until(self, done: Callable[[], bool]) -> None:
        """Wait for a condition on the keeper's events. Fails if it times out or the keeper ends."""
        if self._task is None:
            raise EnvironmentFault("the keeper has not been started")
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not done():
                    self._told.clear()
                    waiting = asyncio.ensure_future(self._told.wait())
                    await asyncio.wait([waiting, self._task], return_when="FIRST_COMPLETED")
                    waiting.cancel()
                    if self._task.done():
                        self._task.result()
                        raise EnvironmentFault("the keeper ended by itself")
        except TimeoutError:
            raise EnvironmentFault("the keeper did not finish a block in time") from None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the keeper while the context lasts."""
        place = self.place
        async with (
            far_away(place.address, place.delay_seconds) as address,
            self._run_keeper_at(address),
        ):
            yield

    @contextlib.asynccontextmanager
    async def _run_keeper_at(self, address: str) -> AsyncIterator[None]:
        settings = self.place.settings
        rpc = Rpc([recorded(address, self.wire)], chain_id=settings.chain.id)
        await rpc.connect()
        session = session_over(settings, NodeReader(rpc, multicall=settings.chain.multicall))
        key = bytes.fromhex(hot_key()[2:])
        options = RunOptions(mode=Mode.LIVE)
        self._task = asyncio.create_task(run_session(session, options, self.told, key=key))
        try:
            await self._wait_until(lambda: bool(self.events("block")))
            yield
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            await rpc.close()


@contextlib.contextmanager
def place(stairs: Stairs, transport: str, delay_seconds: float = 0) -> Iterator[Place]:
    """Bring up a devnet that mines on demand only, while the context lasts."""
    with tempfile.TemporaryDirectory(prefix="keeper-bench-") as name:
        folder = Path(name)
        answer = local.up(local.UpOptions(folder=folder, borrowers=0, protocol=stairs.protocol))
        try:
            address = answer["rpc"][transport]
            if address is None:
                raise EnvironmentFault("the path of the ipc socket is too long here")
            devnet = local.attach(folder)
            settle(devnet, stairs)
            devnet.node.rpc("evm_setAutomine", [False])
            settings = load(folder / "keeper.toml", environ={}).settings
            yield Place(devnet, settings, folder, address, delay_seconds)
            devnet.node.close()
        finally:
            local.down(folder)
