"""Many examples of the model, in several processes, each with seeds of its own."""

import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.machine import Submission

PART = 100
"""Examples of one seed."""
STEPS = 40


def searched(first: int, examples: int, jobs: int) -> int:
    """Run so many examples; return 1 where one violated an invariant, and print it."""
    began, done, failures = time.monotonic(), 0, list[str]()
    parts = [
        (first + number, min(PART, examples - start))
        for number, start in enumerate(range(0, examples, PART))
    ]
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        for number, (count, failure) in enumerate(pool.map(_part, parts)):
            done += count
            if failure:
                failures.append(f"seed {parts[number][0]}: {failure}")
                sys.stdout.write(f"VIOLATION {failures[-1]}\n")
            elapsed = time.monotonic() - began
            sys.stdout.write(f"{done} examples, {elapsed:.0f} s, {len(failures)} violations\n")
            sys.stdout.flush()
    return 1 if failures else 0


def _part(part: tuple[int, int]) -> tuple[int, str]:
    """Run one seed's examples; a failure is shrunk, and told with its steps."""
    number, examples = part
    machine = seed(number)(type("Seeded", (Submission,), {}))
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    try:
        run_state_machine_as_test(machine, settings=chosen)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        notes = "\n".join(getattr(error, "__notes__", ()))
        return examples, f"{traceback.format_exc()}\n{notes}"
    return examples, ""
