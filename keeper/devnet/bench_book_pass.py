"""One block over a whole book, with upkeep, the screening pass and the exact decisions.

A block here is the Aave adapter's work between the node's answer and its snapshot's. A thousand
changed accounts are written, every reserve's index is accrued to the block's time, prices move, all
accounts are screened with their eModes' weights, and possibly liquidatable ones are decided
exactly. The limit is one copy of the columns that the pass reads, each to memory of its own that
has been touched before.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from keeper.columns.table import Array
from keeper.columns.words import packed
from keeper.devnet.bench_book import Row, Wanted, middle, timed
from keeper.domain.units import Address, BaseCurrency
from keeper.protocols.aave_v3.accounts import encoded
from keeper.protocols.aave_v3.model import Account
from keeper.protocols.aave_v3.snapshot import AaveSnapshot
from keeper.risk.tiers import DEFAULT
from keeper.synthetic.aave import AaveBook, aave_book

POSITIONS: Final = 3
CHANGED: Final = 1_000
TARGET: Final = 10.0
LARGEST_MOVE: Final = 0.002
"""Prices move by up to so much of themselves from block to block."""

_PARTS: Final = (
    "upkeep of changed accounts",
    "factors: interest, prices, eModes",
    "screening pass",
    "exact confirmation",
)


class _BenchBlock:
    """A book that goes on block after block, timed part by part."""

    def __init__(self, wanted: Wanted) -> None:
        self.book: AaveBook = aave_book(wanted.accounts, wanted.seed, positions=POSITIONS)
        self._random = np.random.default_rng(wanted.seed)
        self.nominated = self.confirmed = 0
        self.read: list[Array] = [
            self.book.columns.code,
            self.book.columns.amount,
            self.book.columns.owes,
        ]
        self._copies = [np.zeros_like(one) for one in self.read]

    def copied(self) -> float:
        """Return how long it takes to copy what the pass reads."""

        def copy() -> None:
            for to, column in zip(self._copies, self.read, strict=True):
                np.copyto(to, column)

        return timed(copy)

    def done(self) -> list[float]:
        """Do one block and return how long each part took, and the counting of tiers after it."""
        changed, prices = self._build_changes(), self._move_prices()
        upkeep = timed(lambda: self._write(changed))
        taken = list[AaveSnapshot]()
        factors = timed(lambda: taken.append(self._snapshot(prices)))
        screen = taken[0].screen
        screening = timed(lambda: screen.least)
        exact = timed(lambda: screen.liquidatable)
        self.nominated = int(np.count_nonzero(~(screen.least >= 1.0)))
        self.confirmed = len(screen.liquidatable)
        return [upkeep, factors, screening, exact, timed(lambda: screen.tiers(DEFAULT))]

    def _snapshot(self, prices: dict[Address, BaseCurrency]) -> AaveSnapshot:
        snapshot = self.book.after(12, prices)
        _ = snapshot.screen
        return snapshot

    def _build_changes(self) -> dict[Address, Account]:
        """Build accounts like the reader does, with slightly moved balances."""
        columns, borrowers = self.book.columns, self.book.snapshot.borrowers
        rows = self._random.choice(len(columns), min(CHANGED, len(columns)), replace=False)
        return {
            address: borrowers[address]
            for address in (borrowers.everyone[int(row)] for row in rows)
        }

    def _write(self, changed: dict[Address, Account]) -> None:
        columns = self.book.columns
        columns.put(packed(list(changed)), encoded(changed.values(), columns))

    def _move_prices(self) -> dict[Address, BaseCurrency]:
        return {
            one.reserve.token: BaseCurrency(
                round((one.price or 0) * (1 + self._random.uniform(-1, 1) * LARGEST_MOVE))
            )
            for one in self.book.snapshot.pool.reserves.values()
        }


def measured(wanted: Wanted) -> Sequence[Row]:
    """Return one block's whole pass beside one copy of the columns that it reads."""
    block = _BenchBlock(wanted)
    block.done()
    block.copied()
    copies, parts = list[float](), list[list[float]]()
    for _ in range(wanted.samples):
        copies.append(block.copied())
        parts.append(block.done())
    whole = middle([sum(one[:-1]) for one in parts])
    limit = middle(copies)
    names = (*_PARTS, "beside it: tiers counted")
    return [
        Row(
            name=f"one block over {wanted.accounts:,} accounts of {POSITIONS} positions each",
            unit="ms",
            measured=whole,
            limit_name="copying the columns it reads",
            limit=limit,
            ratio=round(whole / limit, 2),
            target=TARGET,
            parts={
                **{
                    f"{name} (ms)": middle(one)
                    for name, one in zip(names, zip(*parts, strict=True), strict=True)
                },
                "accounts changed": min(CHANGED, wanted.accounts),
                "nominated": block.nominated,
                "past the line": block.confirmed,
                "columns read (MB)": round(sum(one.nbytes for one in block.read) / 1e6, 1),
            },
        )
    ]
