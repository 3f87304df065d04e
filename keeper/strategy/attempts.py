"""Retry state of the accounts at one head, with barred options and dropped accounts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from keeper.domain.decision import Decision, Skip, SkipReason
from keeper.domain.plan import Batch, Plan
from keeper.domain.units import Address, MarketKey
from keeper.strategy.candidate import Candidate, Tried
from keeper.strategy.rounds import liquidate

MAX_ATTEMPTS: Final = 3
"""Options of one account simulated at one head before the account is skipped."""
MAX_ROUNDS: Final = 8
"""Times that the whole sequence is planned and simulated at one head."""
OTHERS_FAILED: Final = (
    f"other plans failed in each of {MAX_ROUNDS} simulations, next time perhaps not"
)
"""Reason of a deferred plan that did not fail itself."""

_Key = tuple[MarketKey, Address]


class Attempts:
    """Candidates of one head over several rounds of sizing and simulating.

    A failing plan bars its option (pair, route and funding), and the account is sized again along
    with the others. After ``MAX_ATTEMPTS`` options it is dropped. An account that failed and is not
    sent in the end is skipped for the first failure, the best option's.
    """

    def __init__(self, candidates: Sequence[Candidate] = ()) -> None:
        self._open: dict[_Key, Candidate] = {}
        self._barred: dict[_Key, frozenset[Tried]] = {}
        self._rounds: dict[_Key, int] = {}
        self._first: dict[_Key, Skip] = {}
        self._given_up: list[Skip] = []
        self.enter(candidates)

    def enter(self, candidates: Sequence[Candidate]) -> None:
        """Replace the candidates. Earlier failures still count."""
        self._open = {(candidate.market, candidate.account): candidate for candidate in candidates}
        for key in self._open.keys() & self._barred.keys():
            self._open[key] = replace(self._open[key], barred=self._barred[key])
        for key in self._open.keys() & self._rounds.keys():
            self._open[key] = replace(self._open[key], rounds=self._rounds[key])

    @property
    def candidates(self) -> list[Candidate]:
        """Candidates that still have to be sized."""
        return list(self._open.values())

    def failed(self, plan: Plan, failure: str) -> bool:
        """Bar the option of a failed plan. Returns whether the account has other options."""
        key = (plan.market, plan.account)
        self._first.setdefault(key, skip_plan(plan, SkipReason.SIMULATION_FAILED, failure))
        barred = self._barred[key] = self._open[key].barred | {Tried.by(plan)}
        self._open[key] = replace(self._open[key], barred=barred)
        if len(barred) >= MAX_ATTEMPTS:
            self._given_up.append(self._first[key])
            del self._open[key]
        return key in self._open

    def cut(self, plan: Plan, rounds: int) -> None:
        """Limit the rounds of a plan's account."""
        key = (plan.market, plan.account)
        self._rounds[key] = rounds
        if key in self._open:
            self._open[key] = replace(self._open[key], rounds=rounds)

    def put_off(self, plan: Plan) -> None:
        """Remove an account from this round. It may enter again later."""
        self._open.pop((plan.market, plan.account), None)

    def refused(self, skip: Skip) -> None:
        """Drop an account with an insufficient simulated result."""
        del self._open[skip.market, skip.account]
        self._given_up.append(skip)

    def told(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Return all rounds' decisions and all dropped accounts, each account once.

        An account that failed before is skipped for that failure, unless it is liquidated after
        all.
        """
        told: dict[_Key, Decision] = dict(self._first)
        for one in decisions:
            key = (one.market, one.account)
            told[key] = self._first.get(key, one) if isinstance(one, Skip) else one
        told.update({(one.market, one.account): one for one in self._given_up})
        return list(told.values())


def skip_plan(plan: Plan, reason: SkipReason, detail: str) -> Skip:
    """Build the skip of an account in place of its plan."""
    return Skip(
        market=plan.market,
        account=plan.account,
        reason=reason,
        detail=detail,
        net_profit=plan.net_profit,
    )


def as_sent(
    decisions: Sequence[Decision], batches: Sequence[Batch], why: str = OTHERS_FAILED
) -> list[Decision]:
    """Return the decisions with the plans of the batches, others skipped for ``why``."""
    plans = [plan for batch in batches for plan in batch.plans]
    sent = {(one.market, one.account): one for one in liquidate(plans)}
    told: list[Decision] = []
    for one in decisions:
        if isinstance(one, Skip):
            told.append(one)
        else:
            put_off = skip_plan(one.plan, SkipReason.NOT_SENT, why)
            told.append(sent.get((one.market, one.account), put_off))
    return told
