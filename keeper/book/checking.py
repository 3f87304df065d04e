"""Compares the book with the contracts' own figures, before or after a block's sends.

Only the comparison of an account that the block may act on precedes its decisions. The debt totals
and the rest of the sample hold nothing back, and may wait until the transactions have left.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from keeper.abilities import Resyncs
from keeper.book.coverage import DebtCoverage
from keeper.book.followed import Followed
from keeper.book.looks import Looks
from keeper.book.parity import Parity, Question
from keeper.book.trail import Trail
from keeper.coverage import StatesDebtTotals, StatesFigures
from keeper.domain.head import Head
from keeper.domain.parity import Difference, Subject
from keeper.domain.reads import CallResult
from keeper.domain.units import deployment
from keeper.ports import LendingMarket, MarketSnapshot


@dataclass(slots=True, kw_only=True)
class Checking:
    """The checks of each block.

    With ``is_deferred`` those without effect on the block's decisions wait for ``settle``.
    """

    followed: Sequence[Followed]
    trail: Trail
    parity: Parity
    coverage: DebtCoverage
    looks: Looks
    is_deferred: bool = False
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def settle(self) -> None:
        """Run the deferred checks in their order."""
        checks, self._waiting = self._waiting, []
        for check in checks:
            check()

    def add(self, check: Callable[[], None]) -> None:
        """Run a check without effect on the block's decisions, now or when settled."""
        if self.is_deferred:
            self._waiting.append(check)
        else:
            check()

    def judge_totals(self, market: LendingMarket, head: Head) -> None:
        """Compare the book and its logs with the contracts' figures at this head."""
        if isinstance(market, StatesFigures):
            takes_hints = self.looks.takes_hints(head)
            self.looks.explanations.judge(
                market.key, market, head, self.trail, takes_hints=takes_hints
            )
        totals = market.debt_totals() if isinstance(market, StatesDebtTotals) else None
        if totals is not None:
            self.coverage.record_totals(market.key, totals)

    def compare(
        self,
        questions: Sequence[Question],
        snapshots: Sequence[MarketSnapshot],
        answers: Sequence[CallResult],
    ) -> None:
        """Compare a sample of accounts. Those that the block may act on are never deferred."""
        compare = partial(self._compare, questions, snapshots, answers)
        if self.is_deferred:
            urgent = self.parity.find_urgent(questions, snapshots)
            compare({one.subject for one in questions} - urgent)
            compare = partial(compare, urgent)
        self.add(compare)

    def _compare(
        self,
        questions: Sequence[Question],
        snapshots: Sequence[MarketSnapshot],
        answers: Sequence[CallResult],
        left_out: Collection[Subject] = (),
    ) -> None:
        for difference in self.parity.judge(questions, snapshots, answers, left_out):
            self._resync(difference)
            self.looks.hint()

    def _resync(self, difference: Difference) -> None:
        """Read a differing account again with the next block."""
        for each in self.followed:
            mine = each.market.key == deployment(difference.market)
            if mine and isinstance(each.market, Resyncs):
                each.market.resync(difference.market, difference.account)
