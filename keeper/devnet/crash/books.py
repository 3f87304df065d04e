"""Predicted and realised profits plan by plan, from the journal, receipts and balances. Pure.

A plan is compared with its prediction if only the keeper's own transactions moved anything between
its head and its block. If it waited for a block with room, it is compared at its planned gas price.
A feed update, another party's trade in its pools, or a plan of the keeper's own beside or ahead of
it that one of these moved or that was cancelled explains a deviation, since that plan then sold a
different amount and used different gas.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.units import BPS

TOLERANCE_BPS: Final = 100
"""How far a plan's net profit may be from its prediction, in basis points of it."""
FULL: Final = 12
"""As many plans as a transaction usually holds at most."""


class Cause(enum.StrEnum):
    """Cause of a deviation between a plan's head and its block, apart from our transactions."""

    NOTHING = "nothing else moved"
    FELLOW = "another plan was moved"  # or cancelled
    FEE = "waited for room"
    POOL = "others traded in its pools"
    PRICE = "a feed moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Plan of a mined transaction, in wei. ``realised`` is at the prices of its block.

    ``with_planned_fee`` is its net profit at its planned gas price. ``waited`` counts the blocks
    that left it out, ``behind`` the keeper's nonces pending when it was planned, ``beside`` the
    plans of its transaction.
    """

    account: str
    transaction: str
    planned_block: int
    landed_block: int
    predicted: int
    realised: int
    with_planned_fee: int
    failure: str = ""
    moved: Cause = Cause.NOTHING
    beside: int = 1
    behind: int = 0

    @property
    def waited(self) -> int:
        """The blocks that had no room for it."""
        return self.landed_block - self.planned_block - 1

    @property
    def is_exact(self) -> bool:
        """Whether it brought what was predicted, within the tolerance."""
        return not self.failure and is_within(self.realised, self.predicted)

    @property
    def deviation_bps(self) -> int:
        """The deviation in basis points of the prediction."""
        return (self.realised - self.predicted) * BPS // max(abs(self.predicted), 1)

    @property
    def cause(self) -> Cause:
        """Cause of its deviation, the base fee if it only waited."""
        return Cause.FEE if self.moved is Cause.NOTHING and self.waited else self.moved

    @property
    def is_explained(self) -> bool:
        """Whether it is as predicted, or something moved that accounts for the difference."""
        if self.cause in {Cause.FELLOW, Cause.POOL, Cause.PRICE}:
            return True
        if self.failure:
            return False
        return self.is_exact or (
            self.waited > 0 and is_within(self.with_planned_fee, self.predicted)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """Balance changes of the receiver's tokens and the key's wei, on chain and in the journal.

    Tokens are by symbol. ``left_waiting`` are nonces without a block.
    """

    received: dict[str, int]
    booked: dict[str, int]
    paid_wei: int
    booked_wei: int
    left_waiting: int

    @property
    def is_even(self) -> bool:
        """Whether both say the same."""
        return (
            self.received == self.booked
            and self.paid_wei == self.booked_wei
            and not self.left_waiting
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table, a sum of rows."""

    name: str
    rows: Sequence[Row]

    @property
    def landed(self) -> list[Row]:
        """Successful rows."""
        return [row for row in self.rows if not row.failure]

    @property
    def predicted(self) -> int:
        """The predictions' sum, of those that worked."""
        return sum(row.predicted for row in self.landed)

    @property
    def realised(self) -> int:
        """Net profit of the successful rows."""
        return sum(row.realised for row in self.landed)

    @property
    def worst(self) -> Row | None:
        """The row that is farthest from its prediction."""
        return max(self.landed, key=lambda row: abs(row.deviation_bps), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Results of one crash. ``blocks`` were mined, ``full`` of them left own nonces pending."""

    rows: Sequence[Row]
    balances: Balances
    blocks: int
    full: int

    def lines(self) -> list[Line]:
        """Build the table's lines, in total, by cause, and parts of the rows without a cause."""
        still = [row for row in self.rows if row.cause is Cause.NOTHING]
        waited = [row for row in self.rows if row.cause is Cause.FEE]
        return [
            Line(name="all", rows=self.rows),
            Line(name=Cause.NOTHING, rows=still),
            Line(name="  own ones pending", rows=[row for row in still if row.behind]),
            Line(name="  several in one", rows=[row for row in still if row.beside > 1]),
            Line(name="  twelve in one", rows=[row for row in still if row.beside >= FULL]),
            Line(name=Cause.FEE, rows=waited),
            Line(
                name="  at the planned gas price",
                rows=[replace(row, realised=row.with_planned_fee) for row in waited],
            ),
            *(
                Line(name=cause, rows=[row for row in self.rows if row.cause is cause])
                for cause in (Cause.FELLOW, Cause.POOL, Cause.PRICE)
            ),
        ]

    @property
    def unexplained(self) -> list[Row]:
        """Plans that failed or deviate though nothing moved."""
        return [row for row in self.rows if not row.is_explained]

    @property
    def is_right(self) -> bool:
        """Whether all is within the tolerance or has its cause, and the balances agree."""
        still = Line(name=Cause.NOTHING, rows=[r for r in self.rows if r.cause is Cause.NOTHING])
        return (
            not self.unexplained
            and self.balances.is_even
            and is_within(still.realised, still.predicted)
        )


def with_fellows(rows: Sequence[Row]) -> list[Row]:
    """Add causes of the keeper's other plans to the rows, in the order of transactions.

    They count for plans of the same transaction and of transactions intended to come earlier.
    """
    moved = [
        (place, row)
        for place, row in enumerate(rows)
        if row.failure or row.moved in {Cause.POOL, Cause.PRICE}
    ]
    return [
        replace(row, moved=Cause.FELLOW)
        if row.moved is Cause.NOTHING
        and any(_is_ahead(other, row, is_first=at < place) for at, other in moved if at != place)
        else row
        for place, row in enumerate(rows)
    ]


def _is_ahead(other: Row, row: Row, *, is_first: bool) -> bool:
    if other.transaction == row.transaction:
        return True
    return is_first and row.planned_block < other.landed_block <= row.landed_block


def is_within(realised: int, predicted: int) -> bool:
    """Return whether an amount is within the tolerance of its prediction."""
    return abs(realised - predicted) * BPS <= abs(predicted) * TOLERANCE_BPS
