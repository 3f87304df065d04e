"""
``scripts/soak``: a live keeper through thousands of blocks, and what it holds meanwhile.

Real contracts in random use, prices that move, reorganisations. Memory, descriptors, threads and
tasks of the process must stop to grow, and so must the write-ahead logs; what is kept for ever
(journal, record) is measured by its growth.
"""

import argparse
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Self

from keeper.devnet.checkpoints import INTERVAL
from keeper.devnet.local import UpOptions, attach, down, up
from keeper.devnet.market import Devnet
from keeper.devnet.shuffling import Shuffler
from keeper.domain.errors import EnvironmentFault, KeeperError

BLOCKS: Final = 2_000
BORROWERS: Final = 150
EVERY: Final = 20
"""So many blocks lie between two looks at the process."""
WARM_UP: Final = 200
"""The blocks in which it may still fill what it remembers: trail, windows, caches."""
PATIENCE: Final = 60.0
DEEPEST: Final = 8
_KIB: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the process holds after a block; sizes in bytes."""

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
        """Return the looks after the warm-up; the later half of a run that is hardly longer."""
        late = [one for one in self.looks if one.block - self.looks[0].block >= WARM_UP]
        return late if len(late) > len(self.looks) // 2 else self.looks[len(self.looks) // 2 :]

    def slope(self, name: str) -> float:
        """Return by how much something grows with a block once settled, by least squares."""
        looks = self.settled()
        at = [one.block for one in looks]
        of = [getattr(one, name) for one in looks]
        middle, mean = sum(at) / len(at), sum(of) / len(of)
        spread = sum((one - middle) ** 2 for one in at)
        both = sum((a - middle) * (o - mean) for a, o in zip(at, of, strict=True))
        return both / spread if spread else 0.0

    def most(self, name: str) -> int:
        """Return the most of something once settled."""
        return max(int(getattr(one, name)) for one in self.settled())


def soaked(
    blocks: int,
    *,
    seed: int,
    borrowers: int = BORROWERS,
    every: int = EVERY,
    tell: Callable[[Look], object] = lambda _: None,
) -> Soaked:
    """Run a keeper over so many blocks and look at it now and then."""
    found = Soaked()
    with tempfile.TemporaryDirectory(prefix="keeper-soak-") as place:
        folder = Path(place)
        up(UpOptions(folder=folder, borrowers=borrowers, seed=seed, detached=False))
        try:
            devnet = attach(folder)
            devnet.node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
            chance = random.Random(seed)  # noqa: S311 - to be repeated
            shuffler = Shuffler(devnet, chance, alone=False)
            with _Running(folder) as running:
                for number in range(1, blocks + 1):
                    shuffler.block()
                    if chance.random() < 1 / 50 and not _waiting(devnet):
                        shuffler.reorganised(DEEPEST)
                    running.wait_for(devnet.node.block_number())
                    if number % every == 0:
                        found.looks.append(running.look(devnet.node.block_number()))
                        tell(found.looks[-1])
            found.blocks, found.actions = blocks, shuffler.actions
            devnet.node.close()
        finally:
            down(folder)
    return found


def _waiting(devnet: Devnet) -> int:
    """Return how many transactions the node has not mined yet."""
    return int(devnet.node.rpc("txpool_status")["pending"], 16)


class _Running:
    """The keeper's process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        self._newest = 0
        self._heard = threading.Condition()
        kept = {name: text for name, text in os.environ.items() if not name.startswith("KEEPER_")}
        with (folder / "stderr.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keeper", "run", "--json"],
                cwd=folder,
                env={
                    **kept,
                    "PYTHONPATH": str(Path(__file__).parents[2]),
                    "KEEPER_OBSERVE__LISTEN": f"127.0.0.1:{self._port}",
                },
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def wait_for(self, block: int) -> None:
        """Return when it is done with a block, or has fallen silent; it must be alive."""
        with self._heard:
            self._heard.wait_for(lambda: self._newest >= block, PATIENCE)
        if self._process.poll() is not None:
            last = (self._folder / "stderr.log").read_text().splitlines()[-3:]
            raise EnvironmentFault(f"the keeper ended at block {block}: {' | '.join(last)}")

    def look(self, block: int) -> Look:
        """Return what it holds now."""
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
            tasks=self._tasks(),
            ahead_log=sum(size for one, size in files.items() if one.name.endswith("-wal")),
            kept=sum(size for one, size in files.items() if one.name.endswith(".sqlite")),
        )

    def _tasks(self) -> int:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._port}/metrics", timeout=PATIENCE
        ) as r:
            lines = r.read().decode().splitlines()
        (line,) = [one for one in lines if one.startswith("keeper_eventloop_tasks ")]
        return int(float(line.split()[1]))

    def _read(self) -> None:
        with self._process.stdout or contextlib.nullcontext(()) as lines:
            for line in lines:
                event = json.loads(line)
                if event["event"] == "block":
                    with self._heard:
                        self._newest = max(self._newest, event["block_number"])
                        self._heard.notify_all()


def told(found: Soaked, seed: int) -> dict[str, object]:
    """Return a run's figures as plain data."""
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
