"""``scripts/invariants``: worlds of random calls until the number is full."""

import argparse
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.invariants.story import SEQUENCES, lived

KEPT = Path(__file__).with_name("seeds.txt")
FULL = 100_000


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; the exit code is 1 where something did not hold."""
    asked = _options().parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.flush()
    counts, failed, began = Counter(), [], time.monotonic()
    with ProcessPoolExecutor(asked.jobs) as pool:
        worlds = range(seed, seed + asked.worlds)
        for number, told in enumerate(pool.map(lived, worlds), 1):
            counts += told.counts
            for wrong in told.violations:
                failed.append(told.seed)
                sys.stdout.write(f"world {told.seed}, {wrong}\n")
            if number % 100 == 0:
                sys.stdout.write(f"{counts['sequences']} sequences, {len(failed)} violations\n")
                sys.stdout.flush()
    for name, count in sorted(counts.items()):
        sys.stdout.write(f"  {name:<28} {count:>9,}\n")
    sys.stdout.write(f"{counts['sequences']:,} sequences, {len(failed)} violations, ")
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")
    if failed:
        _keep(failed)
    return 1 if failed else 0


def kept_seeds() -> list[int]:
    """Return the seeds of worlds in which something once did not hold."""
    return [int(line) for line in KEPT.read_text().splitlines() if line.isdigit()]


def _keep(seeds: Sequence[int]) -> None:
    """Add worlds to those that the tests live through."""
    new = [seed for seed in dict.fromkeys(seeds) if seed not in kept_seeds()]
    with KEPT.open("a") as file:
        file.writelines(f"{seed}\n" for seed in new)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/invariants")
    parser.add_argument("--seed", type=int, help="the first world's seed")
    parser.add_argument("--worlds", type=int, default=FULL // SEQUENCES)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
