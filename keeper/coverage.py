"""
What a market declares so that nobody can be missing from its book, and what a book reports of it.

Each is optional, as those of ``keeper.abilities``. A protocol that declares its totals and figures
is held against them in every block, without anything else of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from keeper.domain.coverage import CoverageNews, DebtTotal
from keeper.domain.figures import ExpectedFigure, Figure, Figures, StretchNews
from keeper.domain.reads import Log, LogTable


@runtime_checkable
class StatesDebtTotals(Protocol):
    """A market whose contracts keep the total of each debt, which every block reads anyway."""

    def debt_totals(self) -> Sequence[DebtTotal] | None:
        """
        Return each total at the last ``apply``, beside the sum over the accounts of the book.

        None while a noted account is unread: totals and sums would be of different blocks.
        """
        ...


@runtime_checkable
class StatesFigures(Protocol):
    """A market whose contracts keep figures that only change with a log."""

    def figures(self) -> Figures:
        """Return what the contracts stated at the last ``apply``: totals, indices, times."""
        ...

    def expected_figures(
        self, before: Figures, logs: Sequence[Log]
    ) -> Mapping[Figure, ExpectedFigure]:
        """
        Return what follows from figures at a block and from all logs of the blocks since.

        Each follows from itself alone. One that is left out may have become anything. Logs that
        are not as the contracts write them raise ``RpcMalformed``.
        """
        ...


@runtime_checkable
class ReportsCoverage(Protocol):
    """A book that is held against the contracts' own totals."""

    def coverage_news(self) -> Sequence[CoverageNews]:
        """Return the changes of coverage since the last call."""
        ...

    def stretch_news(self) -> Sequence[StretchNews]:
        """Return the blocks that were found unexplained, or explained, since the last call."""
        ...


@runtime_checkable
class RereadsHistory(Protocol):
    """A market that takes in its history once more while it is followed."""

    def note_history(self, logs: LogTable, *, known_too: bool) -> int:
        """
        Have everybody whom these logs name and who is not known read with the next block.

        ``known_too`` has the known ones read anew. Returns how many accounts and markets are new.
        """
        ...
