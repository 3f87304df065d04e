"""Who is still in the round at one head: ways that failed are barred, accounts given up."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from keeper.domain.decision import Decision, Skip, SkipReason
from keeper.domain.plan import Batch, Plan
from keeper.domain.units import Address, MarketKey
from keeper.strategy.candidate import Candidate, Tried
from keeper.strategy.rounds import liquidate

MAX_ATTEMPTS: Final = 3
"""Ways of one account that are simulated at one head before it is left alone."""
MAX_ROUNDS: Final = 8
"""Times that the whole sequence is made and simulated at one head."""
OTHERS_FAILED: Final = (
    f"other plans failed in each of {MAX_ROUNDS} simulations, next time perhaps not"
)
"""Why a plan is put off that itself did not fail."""

_Key = tuple[MarketKey, Address]


class Attempts:
    """
    The candidates of one head, over several rounds of sizing and simulating.

    A plan that fails bars its way (pair, route and funding), and the account is sized
    again with the others; after ``MAX_ATTEMPTS`` ways it is given up. Whoever failed and is
    not sent in the end is skipped for the first failure: the best way's. A further round that
    fails or does not pay ends its account's rounds, and nothing else.
    """

    def __init__(self, candidates: Sequence[Candidate] = ()) -> None:
        self._open: dict[_Key, Candidate] = {}
        self._barred: dict[_Key, frozenset[Tried]] = {}
        self._rounds: dict[_Key, int] = {}
        self._first: dict[_Key, Skip] = {}
        self._given_up: list[Skip] = []
        self.enter(candidates)

    def enter(self, candidates: Sequence[Candidate]) -> None:
        """Let candidates take part from now on, in place of those before; failures count on."""
        self._open = {(candidate.market, candidate.account): candidate for candidate in candidates}
        for key in self._open.keys() & self._barred.keys():
            self._open[key] = replace(self._open[key], barred=self._barred[key])
        for key in self._open.keys() & self._rounds.keys():
            self._open[key] = replace(self._open[key], rounds=self._rounds[key])

    @property
    def candidates(self) -> list[Candidate]:
        """Who is still to be sized."""
        return list(self._open.values())

    def failed(self, plan: Plan, failure: str) -> bool:
        """Bar the way of a plan that failed in its simulation; whether others are left to try."""
        key = (plan.market, plan.account)
        self._first.setdefault(key, skip_plan(plan, SkipReason.SIMULATION_FAILED, failure))
        barred = self._barred[key] = self._open[key].barred | {Tried.by(plan)}
        self._open[key] = replace(self._open[key], barred=barred)
        if len(barred) >= MAX_ATTEMPTS:
            self._given_up.append(self._first[key])
            del self._open[key]
        return key in self._open

    def cut(self, plan: Plan, rounds: int) -> None:
        """Plan no more than so many rounds of a plan's account."""
        key = (plan.market, plan.account)
        self._rounds[key] = rounds
        if key in self._open:
            self._open[key] = replace(self._open[key], rounds=rounds)

    def put_off(self, plan: Plan) -> None:
        """Take an account out of this round; it may enter again later."""
        self._open.pop((plan.market, plan.account), None)

    def refused(self, skip: Skip) -> None:
        """Leave an account alone: what its simulation brought is not enough."""
        del self._open[skip.market, skip.account]
        self._given_up.append(skip)

    def told(self, decisions: Sequence[Decision]) -> list[Decision]:
        """
        Return all rounds' decisions and all that was given up, each account once.

        Whoever failed before is skipped for that, unless it is liquidated after all.
        """
        told: dict[_Key, Decision] = dict(self._first)
        for one in decisions:
            key = (one.market, one.account)
            told[key] = self._first.get(key, one) if isinstance(one, Skip) else one
        told.update({(one.market, one.account): one for one in self._given_up})
        return list(told.values())


def skip_plan(plan: Plan, reason: SkipReason, detail: str) -> Skip:
    """Return the skip of an account in place of its plan."""
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
    """Return the decisions with the plans as in the batches; the others are put off, and why."""
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
