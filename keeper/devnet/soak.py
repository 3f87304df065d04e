"""``scripts/soak`` runs a live keeper through thousands of blocks and measures its resources.

Real contracts in random use, moving prices, reorgs. Memory, descriptors, threads and tasks of the
process must stop growing, and so must the write-ahead logs. The growth of permanent data (journal,
record) is measured.
"""

import argparse
import contextlib
import json
import random
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from keeper.devnet.checkpoints import INTERVAL
from keeper.devnet.demo.process import KeeperProcess
from keeper.devnet.local import UpOptions, attach, down, up
from keeper.devnet.shuffling import Shuffler, waiting
from keeper.domain.errors import KeeperError

BLOCKS: Final = 2_000
BORROWERS: Final = 150
EVERY: Final = 20
"""Blocks between two samples of the process."""
WARM_UP: Final = 200
"""The blocks in which it may still fill what it remembers: trail, windows, caches."""
PATIENCE: Final = 60.0
DEEPEST: Final = 8
_KIB: Final = 1024
_PAUSE: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Resources of the process after a block, sizes in bytes."""

    block: int
    resident: int
    descriptors: int
    threads: int
    tasks: int
    ahead_log: int
    kept: int


@dataclass(slots=True)
class Soaked:
    """Every look, oldest first, and what the market's users did in between."""

    blocks: int = 0
    actions: int = 0
    looks: list[Look] = field(default_factory=list)

    def settled(self) -> list[Look]:
        """List the samples after the warm-up, or the later half of a short run."""
        late = [one for one in self.looks if one.block - self.looks[0].block >= WARM_UP]
        return late if len(late) > len(self.looks) // 2 else self.looks[len(self.looks) // 2 :]

    def slope(self, name: str) -> float:
        """Compute a resource's growth per block after the warm-up, by least squares."""
        looks = self.settled()
        at = [one.block for one in looks]
        of = [getattr(one, name) for one in looks]
        middle, mean = sum(at) / len(at), sum(of) / len(of)
        spread = sum((one - middle) ** 2 for one in at)
        both = sum((a - middle) * (o - mean) for a, o in zip(at, of, strict=True))
        return both / spread if spread else 0.0

    def most(self, name: str) -> int:
        """Find a resource's maximum after the warm-up."""
        return max(int(getattr(one, name)) for one in self.settled())


def soaked(
    blocks: int,
    *,
    seed: int,
    borrowers: int = BORROWERS,
    every: int = EVERY,
    tell: Callable[[Look], object] = lambda _: None,
) -> Soaked:
    """Run a keeper over ``blocks`` blocks and sample its resources."""
    found = Soaked()
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="keeper-soak-"))
        folder = Path(place)
        up(UpOptions(folder=folder, borrowers=borrowers, seed=seed, detached=False))
        stack.callback(down, folder)
        devnet = attach(folder)
        stack.callback(devnet.node.close)
        devnet.node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        chance = random.Random(seed)  # noqa: S311 - to be repeated
        shuffler = Shuffler(devnet, chance, alone=False)
        running = _WatchedKeeper(folder)
        stack.callback(running.stop)
        for number in range(1, blocks + 1):
            shuffler.block()
            if chance.random() < 1 / 50 and not waiting(devnet.node):
                shuffler.reorganised(DEEPEST)
            running.wait_for(devnet.node.block_number())
            if number % every == 0:
                found.looks.append(running.look(devnet.node.block_number()))
                tell(found.looks[-1])
        found.blocks, found.actions = blocks, shuffler.actions
    return found


class _WatchedKeeper:
    """The keeper's process, and where it can be looked at."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._folder, config = folder, folder / "keeper.toml"
        with config.open("a") as settings:
            settings.write(f'\n[observe]\nlisten = "127.0.0.1:{self._port}"\n')
        self._newest = 0
        self._process = KeeperProcess.start(config)

    def stop(self) -> None:
        """End it."""
        self._process.stop()

    def wait_for(self, block: int) -> None:
        """Wait until it has processed a block or stopped emitting. It must be alive."""
        silent = time.monotonic() + PATIENCE
        while self._newest < block and time.monotonic() < silent:
            done = [e["block_number"] for e in self._process.events() if e["event"] == "block"]
            self._newest = max(self._newest, *done, 0)
            if self._newest < block:
                time.sleep(_PAUSE)

    def look(self, block: int) -> Look:
        """Sample its resources now."""
        place = Path(f"/proc/{self._process.pid}")
        status = dict(
            line.split(":", 1)
            for line in (place / "status").read_text().splitlines()
            if ":" in line
        )
        files = {one: one.stat().st_size for one in self._folder.glob("keeper*.sqlite*")}
        return Look(
            block=block,
            resident=int(status["VmRSS"].split()[0]) * _KIB,
            descriptors=len(list((place / "fd").iterdir())),
            threads=int(status["Threads"]),
            tasks=self._read_tasks(),
            ahead_log=sum(size for one, size in files.items() if one.name.endswith("-wal")),
            kept=sum(size for one, size in files.items() if one.name.endswith(".sqlite")),
        )

    def _read_tasks(self) -> int:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._port}/metrics", timeout=PATIENCE
        ) as r:
            lines = r.read().decode().splitlines()
        (line,) = [one for one in lines if one.startswith("keeper_eventloop_tasks ")]
        return int(float(line.split()[1]))


def told(found: Soaked, seed: int) -> dict[str, object]:
    """Build a run's figures as plain data."""
    last = found.looks[-1]
    return {
        "seed": seed,
        "blocks": found.blocks,
        "actions": found.actions,
        "resident_mib": round(last.resident / _KIB**2, 1),
        "resident_bytes_per_block": round(found.slope("resident")),
        "descriptors": f"{min(o.descriptors for o in found.looks)} to {found.most('descriptors')}",
        "threads": f"{min(o.threads for o in found.looks)} to {found.most('threads')}",
        "tasks": f"{min(o.tasks for o in found.looks)} to {found.most('tasks')}",
        "write_ahead_log_mib": round(found.most("ahead_log") / _KIB**2, 1),
        "kept_bytes_per_block": round(found.slope("kept")),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--borrowers", type=int, default=BORROWERS)
    parser.add_argument("--every", type=int, default=EVERY, help="blocks between two looks")
    parser.add_argument("--json", action="store_true", help="print JSON, every look in it")
    given = parser.parse_args(arguments)
    try:
        found = soaked(
            given.blocks,
            seed=given.seed,
            borrowers=given.borrowers,
            every=given.every,
            tell=lambda look: sys.stderr.write(f"{asdict(look)}\n"),
        )
    except KeeperError as error:
        sys.stderr.write(f"error[{error.code}]: {error}\n")
        return error.exit_code
    figures = told(found, given.seed)
    if given.json:
        looks = [asdict(one) for one in found.looks]
        sys.stdout.write(json.dumps({**figures, "looks": looks}) + "\n")
    else:
        lines = (f"{name.replace('_', ' ')}: {value}\n" for name, value in figures.items())
        sys.stdout.write("".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
