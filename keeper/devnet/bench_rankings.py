"""Quality of a first transaction, compared with the best by ranking all accounts at once."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from keeper.domain.plan import Plan
from keeper.domain.units import BPS
from keeper.stages import planning
from keeper.strategy.candidate import Candidate
from keeper.strategy.ranking import Ranked, ranked


@dataclass(slots=True)
class Rankings:
    """Rankings of one head's portions, as requested.

    They are only noted while the keeper runs, since ranking all accounts would delay it.
    """

    _asked: list[tuple[Sequence[Candidate], tuple[Any, ...], dict[str, Any], Ranked]] = field(
        default_factory=list
    )

    @contextlib.contextmanager
    def watched(self) -> Iterator["Rankings"]:
        """Note every ranking of the planning while the context lasts."""
        with patch.object(planning, "ranked", self._note_and_rank):
            yield self

    def clear(self) -> None:
        """Forget what was noted."""
        self._asked.clear()

    def best_bps(self, accounts: int) -> int | None:
        """Compute the first portion's value in basis points of a full ranking's best plans.

        None if the portions did not rank ``accounts`` together.
        """
        candidates = {(one.market, one.account): one for asked, *_ in self._asked for one in asked}
        if not self._asked or len(candidates) != accounts:
            return None
        _, rest, named, answer = self._asked[0]
        best = ranked(
            [replace(one, barred=frozenset()) for one in candidates.values()], *rest, **named
        )
        first = answer.plans
        return _sum_value(first) * BPS // max(1, _sum_value(best.plans[: len(first)]))

    def _note_and_rank(self, candidates: Sequence[Candidate], *rest: Any, **named: Any) -> Ranked:  # noqa: ANN401 (handed on)
        answer = ranked(candidates, *rest, **named)
        self._asked.append((tuple(candidates), rest, named, answer))
        return answer


def _sum_value(plans: Sequence[Plan]) -> int:
    return sum(plan.gross_profit_wei for plan in plans)
