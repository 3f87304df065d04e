"""Stress question to a whole book, with all accounts tabulated exactly before prices fall.

The limit is the computation alone on an existing table, the cost of a further point of a curve.
"""

from collections.abc import Sequence
from typing import Final

from keeper.cli.stress_work import tabled
from keeper.devnet.bench_book import Row, Wanted, timed
from keeper.devnet.bench_book_pass import POSITIONS
from keeper.risk.stress import Stress, stressed, totals
from keeper.risk.table import Table, factors
from keeper.synthetic.aave import aave_book

TARGET: Final = 20.0
"""Seconds: what a person waits for without doing something else."""
FALL: Final = -0.2


def measured(wanted: Wanted) -> Sequence[Row]:
    """Measure the seconds of computing a fall of the most used token, once."""
    snapshot = aave_book(wanted.accounts, wanted.seed, positions=POSITIONS).snapshot
    moves = {next(iter(snapshot.prices)): FALL}
    tables, results = list[Table](), list[Stress]()
    tabling = timed(lambda: tables.append(tabled([snapshot], {snapshot.market: 1e-8})[0]))
    table = tables[0]
    reckoning = timed(lambda: results.append(stressed(table, factors(table, moves))))
    whole = (tabling + reckoning) / 1_000
    return [
        Row(
            name=f"stress of {wanted.accounts:,} accounts of {POSITIONS} positions each",
            unit="s",
            measured=round(whole, 2),
            limit_name="the reckoning alone",
            limit=round(reckoning / 1_000, 2),
            ratio=round(whole, 2),
            target=TARGET,
            parts={
                "tabulated, health exact (s)": round(tabling / 1_000, 2),
                "accounts that would cross": totals(results[0]).crossed,
            },
        )
    ]
