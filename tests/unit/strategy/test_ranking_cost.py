"""Ranking many accounts on shared depth: near linear, and close to the full greedy."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.decision import Liquidate
from keeper.strategy.candidate import Terms
from keeper.strategy.ranking import sequenced
from keeper.strategy.remaining import Remaining
from keeper.strategy.sizing import FINE, Sized, sized
from keeper.strategy.ways import ways_of
from tests.unit.strategy.market import (
    COSTS,
    GAS,
    POLICY,
    USD,
    Pair,
    Pool,
    address,
    candidate,
    exits,
    route,
    weth_pool,
)

DEEP = 200_000_000


@dataclass(frozen=True, slots=True)
class CountedPool(Pool):
    """A pool that counts how often a sale along it is computed."""

    count: tuple[list[int]] = ([0],)

    def sold(self, token_in, amount_in):
        self.count[0][0] += 1
        return Pool.sold(self, token_in, amount_in)


def equal(number: int):
    return candidate(Pair(address(number), 8_000 * USD, partial=(1, 4_000 * USD)))


def nearly_equal(number: int):
    """Accounts that differ by less than a dollar, as somebody would make them on purpose."""
    return candidate(Pair(address(number), 8_000 * USD, partial=(1, 4_000 * USD + number)))


def spread(number: int):
    dollars = int(2_000 * 2 ** (number * 7 % 23 / 4.6))
    return candidate(Pair(address(number), dollars * USD, partial=(1, dollars * USD // 2)))


def sales_of(make, accounts: int) -> int:
    """Return how many sales ranking so many accounts on one deep pool computes."""
    count = [0]
    plain = weth_pool(DEEP)
    pool = CountedPool(plain.pool, plain.tokens, plain.reserves, plain.fee, (count,))
    found = exits(route(pool), pools=(pool,))
    decisions = sequenced(
        [make(number) for number in range(1, accounts + 1)],
        found,
        {},
        costs=COSTS,
        policy=POLICY,
        gas_model=GAS,
    )
    assert sum(isinstance(decision, Liquidate) for decision in decisions) > accounts // 4
    return count[0]


@pytest.mark.slow
@pytest.mark.parametrize("make", [equal, nearly_equal, spread])
def test_the_cost_of_ranking_grows_with_the_number_of_accounts_not_its_square(make):
    """A thousand equal accounts, which anybody can make, must not hold the first transaction."""
    few, many = sales_of(make, 25), sales_of(make, 200)

    assert many < 12 * few  # the square would be 64 times as many


def fully_ranked(candidates, found) -> int:
    """Return the net of a greedy that sizes every way of everybody anew before each plan."""
    remaining = Remaining(curves=found.curves, liquidity={})
    waiting = {each.account: each for each in candidates}
    total = 0
    while waiting:
        best: Sized | None = None
        for each in waiting.values():
            terms = Terms.of(each, COSTS, POLICY, GAS)
            for way in ways_of(each, found, terms).ways:
                result = sized(way, remaining, terms, FINE)
                if isinstance(result, Sized) and (best is None or result.net > best.net):
                    best = result
        if best is None:
            return total
        del waiting[best.way.opportunity.account]
        total += best.net
        priced = best.priced
        remaining = remaining.less(priced.outcome, priced.proceeds.after, [])
    return total


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    dollars=st.lists(st.integers(3_000, 60_000), min_size=2, max_size=9),
    depth=st.integers(400_000, 4_000_000),
    others=st.integers(2, 6),
)
def test_estimates_cost_less_than_a_hundredth_of_the_full_greedy(dollars, depth, others):
    """What is saved in time must not be paid in profit."""
    pools = (weth_pool(depth), weth_pool(depth // others, number=901, fee=500))
    found = exits(*(route(pool) for pool in pools), pools=pools)
    accounts = [
        candidate(Pair(address(number), amount * USD, partial=(1, amount * USD // 2)))
        for number, amount in enumerate(dollars, start=1)
    ]

    decisions = sequenced(accounts, found, {}, costs=COSTS, policy=POLICY, gas_model=GAS)

    net = sum(each.plan.net_profit for each in decisions if isinstance(each, Liquidate))
    assert net * 100 >= fully_ranked([replace(each) for each in accounts], found) * 99


@pytest.mark.parametrize("make", [equal, nearly_equal, spread])
def test_a_few_accounts_cost_a_few_sales(make):
    """Twice as many of them do not take four times as long."""
    assert sales_of(make, 4) < 3 * sales_of(make, 2) < 600
