"""
``scripts/bench book``: what the position book costs, each figure beside its limit of the same run.

A module of ``MODULES`` has ``measured(wanted) -> Sequence[Row]``. Only ``restart`` needs a chain,
and brings one up.
"""

import importlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import median
from time import thread_time
from typing import Final

MODULES: Final = {
    "pass": "keeper.devnet.bench_book_pass",
    "memory": "keeper.devnet.bench_book_memory",
    "stress": "keeper.devnet.bench_book_stress",
    "calls": "keeper.devnet.bench_book_calls",
    "decode": "keeper.devnet.bench_follow_decode",
    "restart": "keeper.devnet.bench_follow_restart",
}
"""What can be measured, and where: a further row is a module and a line."""

ACCOUNTS: Final = 1_000_000
SAMPLES: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Size of the measured book, and number of repetitions."""

    accounts: int = ACCOUNTS
    samples: int = SAMPLES
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One figure beside its limit, in the same ``unit``.

    ``ratio`` is what the target is about: the figure over the limit, or the figure itself where the
    target is of its unit.
    ``parts`` are figures that it consists of or that belong beside it.
    """

    name: str
    unit: str
    measured: float
    limit_name: str
    limit: float
    ratio: float
    target: float
    at_most: bool = True
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def answer(names: Sequence[str], wanted: Wanted, *, as_json: bool) -> str:
    """Render the rows of these names as a table or as JSON."""
    rows = [row for name in names for row in import_measure(name)(wanted)]
    where = {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **asdict(wanted),
    }
    if as_json:
        return json.dumps({**where, "rows": [{**asdict(one), "met": one.met} for one in rows]})
    heading = (
        f"{where['date']}, {where['cores']} cores, Python {where['python']},"
        f" {wanted.accounts:,} accounts, seed {wanted.seed}, medians of {wanted.samples}"
    )
    return "\n".join([heading, *(line for one in rows for line in _format_row(one))])


def timed(work: Callable[[], object]) -> float:
    """Measure the processor milliseconds of the work, independent of other load."""
    start = thread_time()
    work()
    return (thread_time() - start) * 1_000


def middle(values: Sequence[float]) -> float:
    """Compute the median, to a thousandth."""
    return round(median(values), 3)


def import_measure(name: str) -> Callable[[Wanted], Sequence[Row]]:
    """Import the function that measures a part of the benchmark, without other modules."""
    measure: Callable[[Wanted], Sequence[Row]] = importlib.import_module(MODULES[name]).measured
    return measure


def _format_row(row: Row) -> list[str]:
    bound = "at most" if row.at_most else "at least"
    verdict = "met" if row.met else "MISSED"
    return [
        "",
        row.name,
        f"  {'measured':<44}{row.measured:>12.2f} {row.unit}",
        f"  {'limit: ' + row.limit_name:<44}{row.limit:>12.2f} {row.unit}",
        f"  {'ratio':<44}{row.ratio:>12.2f}   target: {bound} {row.target:g}, {verdict}",
        *(f"    {name:<42}{value:>12.2f}" for name, value in row.parts.items()),
    ]
