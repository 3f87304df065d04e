"""Optional interfaces by which a market proves that its book lacks no borrower.

Like those of ``optional_ports``. A protocol that declares its totals and figures is checked against
them in every block.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from keeper.domain.coverage import CoverageNews, DebtTotal
from keeper.domain.figures import ExpectedFigure, Figure, Figures, StretchNews
from keeper.domain.reads import Log, LogTable


@runtime_checkable
class StatesDebtTotals(Protocol):
    """A market with contracts that store the total of each debt, which every block reads anyway."""

    def debt_totals(self) -> Sequence[DebtTotal] | None:
        """Return each debt's total at the last ``apply``, and the sum over the book's accounts.

        None while a noted account is unread, since totals and sums would be of different blocks.
        """
        ...


@runtime_checkable
class StatesFigures(Protocol):
    """A market with contract figures that only change with a log."""

    def figures(self) -> Figures:
        """Return the contracts' figures at the last ``apply`` (totals, indices, times)."""
        ...

    def expected_figures(
        self, before: Figures, logs: Sequence[Log]
    ) -> Mapping[Figure, ExpectedFigure]:
        """Predict figures from those at an earlier block and all logs of the blocks since.

        Each figure depends on its own earlier value only. The value of a missing one is unknown.
        Logs that do not match the contracts' format raise ``RpcMalformed``.
        """
        ...


@runtime_checkable
class ReportsCoverage(Protocol):
    """A book that is compared with the contracts' own totals."""

    def coverage_news(self) -> Sequence[CoverageNews]:
        """Return the changes of coverage since the last call."""
        ...

    def stretch_news(self) -> Sequence[StretchNews]:
        """Return the blocks that became unexplained, or explained, since the last call."""
        ...


@runtime_checkable
class RereadsHistory(Protocol):
    """A market that can scan its history again while it is followed."""

    def note_history(self, logs: LogTable, *, known_too: bool) -> int:
        """Note all unknown accounts in these logs for reading with the next block.

        ``known_too`` reads the known ones again, too. Returns the number of new accounts and
        markets.
        """
        ...
