"""Episodes of kills, two at a time, until every point has had its share; and what they found."""

import contextlib
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from keeper.execution.failpoints import POINTS
from tests.faults.world import SCRIPT, Ran, World, world

KILLS_PER_EPISODE = 15
ATTEMPTS = 3
"""How often an episode tries to reach one point."""

ORDERED = sorted(POINTS, key=lambda one: int(one[1:]))
RANDOM = "random"
TERM = "term"


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One keeper's life: the seed of its faults and blocks, and where it is to die."""

    seed: int
    points: tuple[str, ...]


@dataclass(slots=True)
class Result:
    """What an episode came to."""

    episode: Episode
    runs: list[Ran] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        """Every invariant that did not hold, with its run."""
        return [f"after {one.point}: {what}" for one in self.runs for what in one.violations]


@dataclass(slots=True)
class Totals:
    """How often each point was reached, in how many episodes, and what did not hold."""

    reached: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    episodes: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one more episode."""
        self.episodes += 1
        for one in result.runs:
            name = share(one.point)
            self.runs += 1
            self.seconds += one.seconds
            if one.reached:
                self.reached[name] += 1
            elif name != "settled":
                self.ended["not reached" if one.code is None else f"code {one.code}"] += 1
        self.violations += [f"seed {result.episode.seed} {one}" for one in result.violations]


def share(point: str) -> str:
    """Return what a run counts for: ``K4:2`` for K4, ``K4:1:term`` for term."""
    return TERM if point.endswith(":term") else point.partition(":")[0]


def lived(place: World, episode: Episode) -> Result:
    """Live through an episode: each point up to three times, then the end in peace."""
    place.begin(episode.seed)
    result = Result(episode)
    for point in episode.points:
        for _ in range(ATTEMPTS):
            if place.exhausted:
                break
            ran = place.run(point)
            result.runs.append(ran)
            if ran.reached or ran.violations:
                break
    result.runs.append(place.settle())
    return result


def planned(seed: int, wanted: Counter[str]) -> Iterator[Episode]:
    """Yield episodes that reach each point as often as is wanted, each from its own seed."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    points = [one for name, times in sorted(wanted.items()) for one in [name] * max(0, times)]
    chance.shuffle(points)
    for start in range(0, len(points), KILLS_PER_EPISODE):
        names = points[start : start + KILLS_PER_EPISODE]
        armed = tuple(_armed(one, chance) for one in names)
        yield Episode(seed=chance.randrange(2**32), points=armed)


def _armed(name: str, chance: random.Random) -> str:
    if name == RANDOM:
        return name
    if name == TERM:
        return f"{chance.choice(ORDERED)}:1:term"
    return f"{name}:{chance.choice((1, 1, 2))}"


def wanted_of(runs: int, points: Sequence[str] = ORDERED) -> Counter[str]:
    """Return ``runs`` of each point and of random moments, and a tenth at each of a SIGTERM."""
    wanted = Counter(dict.fromkeys(points, runs))
    wanted[RANDOM] = runs
    wanted[TERM] = max(1, runs * len(points) // 10)
    return wanted


EPISODES_PER_WORLD = 6
"""Anvil keeps a bounded number of states: a world that is used for long cannot fork."""


@dataclass(slots=True)
class Worker:
    """A worker process's world; it is brought up anew now and then, and ends with the worker."""

    script: str = SCRIPT
    lived: int = 0
    place: World | None = None
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def live(self, episode: Episode) -> Result:
        """Live through an episode."""
        if self.place is None or self.lived % EPISODES_PER_WORLD == 0:
            self.stack.close()
            made = tempfile.TemporaryDirectory(prefix="keeper-faults-")
            folder = Path(self.stack.enter_context(made))
            self.place = self.stack.enter_context(world(folder, self.script))
        self.lived += 1
        return lived(self.place, episode)


_worker = Worker()


def _prepare(script: str) -> None:
    _worker.script = script


def _live(episode: Episode) -> Result:
    return _worker.live(episode)


def campaign(
    *,
    seed: int,
    wanted: Counter[str],
    jobs: int = 2,
    minutes: float = 60.0,
    script: str = SCRIPT,
    tell: Callable[[Result, Totals], None],
) -> Totals:
    """Run until every point was reached as often as is wanted, or the time is over."""
    totals, until = Totals(), time.monotonic() + 60 * minutes
    generation = seed
    with ProcessPoolExecutor(max_workers=jobs, initializer=_prepare, initargs=(script,)) as pool:
        waiting: set[Future[Result]] = set()
        episodes: Iterator[Episode] = iter(())
        while time.monotonic() < until or waiting:
            while len(waiting) < jobs and time.monotonic() < until:
                following = next(episodes, None)
                if following is None and not waiting:
                    episodes = planned(generation, wanted - totals.reached)
                    generation += 1
                    following = next(episodes, None)
                if following is None:
                    break
                waiting.add(pool.submit(_live, following))
            if not waiting:
                break
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for one in done:
                totals.add(one.result())
                tell(one.result(), totals)
    return totals
