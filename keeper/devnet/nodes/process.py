"""Keepers as processes of their own, forked from one that has everything imported."""

import asyncio
import multiprocessing
import os
import re
import runpy
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from keeper.devnet.anvil import HOST, die_with_owner
from keeper.devnet.market import hot_key

_PRELOAD: Final = (
    "keeper.cli.root",
    "keeper.cli.run",
    "keeper.cli.doctor_checks",
    "keeper.devnet.nodes.campaign",
    "keeper.devnet.nodes.process",
    "keeper.protocols.aave_v3.adapter",
    "keeper.protocols.aave_v3.record",
    "keeper.protocols.morpho_blue.adapter",
    "keeper.protocols.morpho_blue.record",
    "keeper.quotes.uniswap_v3.adapter",
    "keeper.quotes.uniswap_v3.record",
    "keeper.storage.upgrading",
)
"""What every process would else import, and compile, for itself."""
_LISTENING: Final = re.compile(r"observe_listening host=\S+ port=(\d+)")
_POLL_SECONDS: Final = 0.03
_STOP_SECONDS: Final = 6.0
_ROOT: Final = Path(__file__).resolve().parents[3]


@dataclass(slots=True)
class Process:
    """Running ``keeper`` command, with its output in files of its folder."""

    folder: Path
    name: str
    _process: Any

    @property
    def exit_code(self) -> int | None:
        """Exit code. None while it runs."""
        code: int | None = self._process.exitcode
        return code

    @property
    def output(self) -> str:
        """Output so far."""
        return (self.folder / f"{self.name}.out").read_text(errors="replace")

    @property
    def errors(self) -> str:
        """Output to stderr so far."""
        return (self.folder / f"{self.name}.err").read_text(errors="replace")

    def count(self, event: str) -> int:
        """Return how many events of a name it has printed."""
        return self.output.count(f'"event": "{event}"')

    async def until(self, name: str, seconds: float) -> bool:
        """Wait for an event. False if it ended before, or timed out."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self.exit_code is None:
            if self.count(name):
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def ended(self, seconds: float) -> bool:
        """Wait for its end. False if it continues."""
        gone, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self._process.sentinel, gone.set)
        try:
            await asyncio.wait_for(gone.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        return True

    async def stop(self) -> None:
        """End it, gently and then firmly."""
        if self.exit_code is None:
            os.kill(self._process.pid, signal.SIGTERM)
        if not await self.ended(_STOP_SECONDS):
            self._process.kill()
            await self.ended(_STOP_SECONDS)

    async def not_ready(self) -> Mapping[str, str]:
        """Return the reasons of ``/readyz``. Empty if it is ready or does not answer."""
        port = _LISTENING.search(self.errors)
        if port is None:
            return {}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
                session.get(f"http://{HOST}:{port.group(1)}/readyz") as response,
            ):
                document = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError):
            return {}
        return dict(document["reasons"])


def prepare() -> None:
    """Make the forking process import the keeper, before the first start."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(_PRELOAD))


def start(name: str, arguments: Sequence[str], folder: Path, more: Mapping[str, str]) -> Process:
    """Start ``keeper`` with these arguments in a folder, ``more`` in its environment."""
    own = {
        "PYTHONPATH": str(_ROOT),
        "KEEPER_WALLET__PRIVATE_KEY": hot_key(),
        "KEEPER_OBSERVE__LISTEN": f"{HOST}:0",
        "KEEPER_JOURNAL__PATH": str(folder / "keeper.sqlite"),
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith("KEEPER_")}
    for ending in ("out", "err"):
        (folder / f"{name}.{ending}").touch()
    process = multiprocessing.get_context("forkserver").Process(
        target=_run_as_keeper, args=(name, list(arguments), str(folder), {**kept, **own, **more})
    )
    process.start()
    return Process(folder, name, process)


def _run_as_keeper(
    name: str, arguments: list[str], folder: str, environ: Mapping[str, str]
) -> None:
    """Turn a fork into ``python -m keeper``."""
    die_with_owner()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    for place, ending in ((1, "out"), (2, "err")):
        descriptor = os.open(f"{name}.{ending}", os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, place)
        os.close(descriptor)
    sys.argv = ["keeper", *arguments]
    runpy.run_module("keeper", run_name="__main__", alter_sys=True)
