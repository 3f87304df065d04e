"""``scripts/faults``: kills the keeper until the numbers are full."""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign import ORDERED, Result, Totals, campaign, wanted_of
from tests.faults.model_run import searched
from tests.faults.world import SCRIPT

SHORT = 2
FULL = 100


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; the exit code is 1 where an invariant did not hold."""
    asked = _options().parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.flush()
    if asked.model:
        return searched(seed, asked.examples, asked.jobs)
    runs = SHORT if asked.short else asked.runs
    points = asked.points.split(",") if asked.points else ORDERED
    began = time.monotonic()
    totals = campaign(
        seed=seed,
        wanted=wanted_of(runs, points),
        jobs=asked.jobs,
        minutes=asked.minutes,
        script=SCRIPT if asked.script is None else asked.script,
        tell=_tell,
    )
    return _summary(totals, seed, time.monotonic() - began, asked.json)


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="scripts/faults", description=__doc__)
    options.add_argument("--seed", type=int, help="repeat the plans and faults of a run")
    options.add_argument("--short", action="store_true", help=f"{SHORT} runs at each point")
    options.add_argument("--runs", type=int, default=FULL, help="runs at each point")
    options.add_argument("--points", help="some of the points: K4,K5")
    options.add_argument("--jobs", type=int, default=2, help="worlds at a time")
    options.add_argument("--minutes", type=float, default=60.0, help="begin nothing after this")
    options.add_argument("--script", help="other faults, as docs/faults.md writes them")
    options.add_argument("--model", action="store_true", help="the model, not the process")
    options.add_argument("--examples", type=int, default=10_000, help="of the model")
    options.add_argument("--json", type=Path, help="write the numbers to a file")
    return options


def _tell(result: Result, totals: Totals) -> None:
    seconds = sum(one.seconds for one in result.runs)
    reached = " ".join(f"{name}:{times}" for name, times in sorted(totals.reached.items()))
    sys.stdout.write(
        f"episode {totals.episodes} seed {result.episode.seed}: {len(result.runs)} runs,"
        f" {seconds:.0f} s, {len(result.violations)} violations; in all {totals.runs}: {reached}\n"
    )
    for one in result.violations:
        sys.stdout.write(f"  VIOLATION {one}\n  points {','.join(result.episode.points)}\n")
    sys.stdout.flush()


def _summary(totals: Totals, seed: int, seconds: float, target: Path | None) -> int:
    names = sorted(totals.reached, key=lambda one: (not one.startswith("K"), len(one), one))
    for name in names:
        sys.stdout.write(f"{name:>7} {totals.reached[name]:>5}\n")
    sys.stdout.write(
        f"{totals.runs} runs in {totals.episodes} episodes, {seconds:.0f} s;"
        f" ended otherwise: {dict(totals.ended) or 'none'};"
        f" violations: {len(totals.violations)}; seed {seed}\n"
    )
    if target is not None:
        document = {
            "seed": seed,
            "seconds": round(seconds),
            "cores": os.cpu_count(),
            "reached": dict(totals.reached),
            "ended_otherwise": dict(totals.ended),
            "runs": totals.runs,
            "episodes": totals.episodes,
            "violations": totals.violations,
        }
        target.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if totals.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
