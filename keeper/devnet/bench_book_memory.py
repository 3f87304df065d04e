"""Memory of a book, measured in a process of its own.

Resident memory before the book and after it, its index of addresses, one snapshot and that
snapshot's pass included. The limit is the memory of the numbers themselves.
"""

import gc
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from keeper.devnet.bench_book import Row, Wanted
from keeper.devnet.bench_book_pass import POSITIONS
from keeper.synthetic.aave import aave_book

TARGET: Final = 320.0

ADDRESS: Final = 20
BALANCE: Final = 16


def measured(wanted: Wanted) -> Sequence[Row]:
    """Return the growth of resident memory per account."""
    command = [sys.executable, "-m", __name__, str(wanted.accounts), str(wanted.seed)]
    told = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ourselves
    found = json.loads(told.stdout)
    each = (found["passed"] - found["before"]) / wanted.accounts
    bare = float(ADDRESS + POSITIONS * BALANCE)
    return [
        Row(
            name=f"resident memory per account of {POSITIONS} positions, index included",
            unit="bytes",
            measured=round(each, 1),
            limit_name="its address and exact balances alone",
            limit=bare,
            ratio=round(each, 1),
            target=TARGET,
            parts={
                "book and index": round((found["built"] - found["before"]) / wanted.accounts, 1),
                "a snapshot and its pass": round(
                    (found["passed"] - found["built"]) / wanted.accounts, 1
                ),
            },
        )
    ]


def _read_resident() -> int:
    gc.collect()
    pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(accounts: int, seed: int) -> None:
    """Print the resident memory before the book, with it, and with a snapshot's pass."""
    aave_book(1_000, seed, positions=POSITIONS).snapshot.liquidatable()
    before = _read_resident()
    book = aave_book(accounts, seed, positions=POSITIONS)
    built = _read_resident()
    book.after().liquidatable()
    sys.stdout.write(json.dumps({"before": before, "built": built, "passed": _read_resident()}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
