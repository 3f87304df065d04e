"""``scripts/kills`` kills a keeper again and again, at random moments.

The keeper starts on real contracts in use and is killed while it starts or follows. The state on
disk is then restored and must equal a new book exactly, with every account once.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Protocol

from keeper.book.file import BookFile
from keeper.book.follower import Follower
from keeper.book.keeping import Keeping
from keeper.book.kept import MarketChange, addresses_in
from keeper.chain.reader import NodeReader, connect
from keeper.composition.wiring import load_market
from keeper.devnet.anvil import CHAIN_ID, AnvilOptions, start_anvil
from keeper.devnet.checkpoints import INTERVAL, START, said
from keeper.devnet.market import VERSIONS, Devnet, bring_up
from keeper.devnet.node import Node
from keeper.devnet.sections import market_of
from keeper.devnet.shuffling import Shuffler
from keeper.domain.errors import BlockUnknown, EnvironmentFault, KeeperError, SnapshotReorged
from keeper.observe.logging import configure

KILLS: Final = 50
BORROWERS: Final = 120
PATIENCE: Final = 60.0
LATEST: Final = 0.6
"""The longest that a kill waits after the moment that was chosen, in seconds."""
MOMENTS: Final = ("", "discover", "load", "ready", "block", "blocks", "blocks")
"""Output awaited before the kill. Empty for a kill while the process starts."""
_BLOCKS: Final = 4
_PAUSE: Final = 0.1
_TRIES: Final = 5
"""A node mines by itself what a reorganisation gave back, and may then answer from the next
block while it is asked for the last: what was compared meanwhile is compared again."""


class Started(Protocol):
    """Interface of a started process, as ``subprocess.Popen`` has it."""

    stdout: IO[str] | None

    def send_signal(self, number: int, /) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """Send it SIGKILL."""

    def wait(self) -> int:
        """Return its exit code when it has ended."""


Start = Callable[..., Started]
"""How a keeper is started: arguments, and ``cwd``, ``env``, ``stdout`` and ``stderr``."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """State left behind. ``differences`` has a line for each wrong account."""

    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    found_kept: int = 0
    compared: int = 0
    exact: int = 0
    rebuilt: Counter[str] = field(default_factory=Counter)
    set_aside: int = 0
    differences: list[str] = field(default_factory=list)


class Traffic:
    """Mines random actions on a thread of its own, with a reorganisation now and then."""

    def __init__(self, devnet: Devnet, seed: int) -> None:
        self._shuffler = Shuffler(devnet, random.Random(seed))  # noqa: S311 - to be repeated
        self._turn = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def _run(self) -> None:
        while not self._ends.is_set():
            with self._turn:
                self._shuffler.block()
                if self._shuffler.chance.random() < 1 / 25:
                    self._shuffler.reorganised(8)
            self._ends.wait(_PAUSE)

    @contextlib.contextmanager
    def going(self) -> Iterator["Traffic"]:
        """Run the traffic until the context ends."""
        self._thread.start()
        try:
            yield self
            if not self._thread.is_alive():
                raise EnvironmentFault("the traffic ended before its time")
        finally:
            self._ends.set()
            self._thread.join(PATIENCE)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Pause the chain while the context lasts."""
        with self._turn:
            yield


def cold(arguments: Sequence[str], **options: Any) -> "subprocess.Popen[str]":  # noqa: ANN401 (handed on)
    """Start ``keeper`` with these arguments."""
    # Our own interpreter and module.
    return subprocess.Popen([sys.executable, "-m", "keeper", *arguments], text=True, **options)  # noqa: S603


async def run(
    version: str,
    kills: int,
    seed: int,
    tell: Callable[[str], object] = lambda _: None,
    start: Start = cold,
) -> Outcome:
    """Kill a keeper ``kills`` times and check its state each time."""
    chance, outcome = random.Random(seed), Outcome()  # noqa: S311 - to be repeated
    with contextlib.ExitStack() as stack:
        anvil = stack.enter_context(start_anvil(AnvilOptions(timestamp=START)))
        node = Node(anvil.port)
        stack.callback(node.close)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        devnet = bring_up(node, version=version, borrowers=BORROWERS)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings(folder, devnet)
        traffic = stack.enter_context(Traffic(devnet, seed).going())
        async with connect([f"http://127.0.0.1:{anvil.port}"]) as reader:
            for number in range(1, kills + 1):
                moment = chance.choice(MOMENTS)
                later = chance.uniform(0, LATEST)
                await asyncio.to_thread(_start_and_kill, start, folder, moment, later)
                outcome.kills += 1
                outcome.moments[moment or "start"] += 1
                with traffic.held():
                    await _check_restored(folder, devnet, reader, outcome)
                tell(f"kill {number}: {len(outcome.differences)} differences")
    return outcome


def settings(folder: Path, devnet: Devnet) -> None:
    """Write the settings of a keeper that observes the market."""
    (folder / "keeper.toml").write_text(
        f"""\
[chain]
id = {CHAIN_ID}
endpoints = ["ws://127.0.0.1:{devnet.node.port}"]

[[market]]
protocol = "aave_v3"
addresses_provider = "{devnet.aave.provider.address}"
from_block = {devnet.from_block}

[observe]
listen = ""
"""
    )


def _start_and_kill(start: Start, folder: Path, moment: str, later: float) -> None:
    """Start a keeper and kill it shortly after it has reached a moment."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")
    }
    process = start(
        ["run", "--observe", "--json"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None  # noqa: S101 - it was asked for
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    try:
        _wait_for(process, moment)
        time.sleep(later if moment else 4 * later)
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        process.wait()


def _wait_for(process: Started, moment: str) -> None:
    blocks = 0
    for line in process.stdout or () if moment else ():
        blocks += '"event": "block"' in line
        if line.startswith(moment) or blocks >= {"block": 1, "blocks": _BLOCKS}.get(moment, 99):
            return


async def _check_restored(
    folder: Path, devnet: Devnet, reader: NodeReader, outcome: Outcome
) -> None:
    """Restore a copy of the state and compare it with a new book at one block."""
    if _has_bytes(folder / "keeper.book.sqlite"):
        await _check_stored_block(_copy_file(folder, "block"), devnet, reader, outcome)
    for _ in range(_TRIES):
        head = await reader.head()
        copy = _copy_file(folder, "newest")
        book = Follower(reader, [load_market(market_of(devnet), reader)])
        book.keeping = Keeping(copy, CHAIN_ID)
        await book.start(head)
        taken_up = said(await book.advance(head))
        await book.close()
        anew = Follower(reader, [load_market(market_of(devnet), reader)])
        await anew.start(head)
        made_anew = said(await anew.advance(head))
        if await reader.head() == head:
            break
    else:
        raise EnvironmentFault("the local node goes on mining though nobody asks it to")
    outcome.rebuilt.update(reason for _, reason in book.rebuild_news())
    outcome.set_aside += len(list(copy.parent.glob("*.old")))
    _compare(f"taken up at block {head.number}", taken_up, made_anew, outcome)


def _has_bytes(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _copy_file(folder: Path, name: str) -> Path:
    """Copy the remaining file to its own folder."""
    copy = folder / name / "keeper.book.sqlite"
    shutil.rmtree(copy.parent, ignore_errors=True)
    copy.parent.mkdir()
    for ending in ("", "-wal", "-shm"):
        source = folder / f"keeper.book.sqlite{ending}"
        if source.exists():
            shutil.copy(source, copy.with_name(copy.name + ending))
    return copy


async def _check_stored_block(
    copy: Path, devnet: Devnet, reader: NodeReader, outcome: Outcome
) -> None:
    """Compare the state on disk with its own block."""
    file = BookFile(copy, CHAIN_ID)
    kept = file.kept()
    file.close()
    for one in kept.markets.values():
        outcome.found_kept += 1
        _check_duplicates(one, outcome)
        try:
            head = await reader.head(one.hash)
        except (BlockUnknown, SnapshotReorged):
            continue
        stored, anew = (load_market(market_of(devnet), reader) for _ in range(2))
        book, new = Follower(reader, [stored]), Follower(reader, [anew])
        book.keeping = Keeping(copy, CHAIN_ID)
        await book.start(head)
        await new.start(head)
        if not book.rebuild_news():
            outcome.exact += 1
        mine = said(await book.advance(head))
        theirs = said(await new.advance(head))
        await book.keeping.close()
        _compare(f"at block {head.number}", mine, theirs, outcome)


def _check_duplicates(kept: MarketChange, outcome: Outcome) -> None:
    raw = addresses_in(kept.base or {})
    every = [raw[at : at + 20] for at in range(0, len(raw), 20)]
    if len(set(every)) != len(every):
        outcome.differences.append(f"{len(every) - len(set(every))} accounts are kept twice")


def _compare(
    where: str, ours: dict[str, object], theirs: dict[str, object], outcome: Outcome
) -> None:
    outcome.compared += sum(name.startswith("health") for name in theirs)
    outcome.differences += [
        f"{where}: {name}: {ours.get(name)}, and anew {theirs.get(name)}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. The exit code is 1 if an account was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="scripts/kills", description=__doc__)
    parser.add_argument("--version", choices=VERSIONS, default=VERSIONS[0])
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    configure(level="error", form="text")
    sys.stderr.write(f"Aave {given.version}, seed {given.seed}\n")
    begun = time.monotonic()
    try:
        outcome = asyncio.run(
            run(given.version, given.kills, given.seed, lambda line: sys.stderr.write(line + "\n"))
        )
    except KeeperError as error:
        sys.stderr.write(f"error[{error.code}]: {error}\n")
        return error.exit_code
    told = {
        "version": given.version,
        "seed": given.seed,
        "seconds": round(time.monotonic() - begun),
        "kills": outcome.kills,
        "moments": dict(outcome.moments),
        "files_with_a_kept_state": outcome.found_kept,
        "states_compared_at_their_own_block": outcome.exact,
        "accounts_compared": outcome.compared,
        "rebuilt": dict(outcome.rebuilt),
        "files_set_aside": outcome.set_aside,
        "differences": outcome.differences,
    }
    lines = "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in told.items())
    sys.stdout.write((json.dumps(told) if given.json else lines) + "\n")
    return int(bool(outcome.differences))


if __name__ == "__main__":
    sys.exit(main())
