"""Further rounds of one account: sized in sequence, worth their own gas, in one transaction."""

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.decision import Liquidate
from keeper.domain.opportunity import Afterwards
from keeper.strategy import contender
from keeper.strategy.gas import GasModel
from keeper.strategy.ranking import ranked
from keeper.strategy.remaining import Remaining
from keeper.strategy.rounds import drop_unled, liquidate, pack_rounds, round_numbers
from keeper.strategy.settled import sharing_less
from tests.unit.strategy.market import (
    COSTS,
    GAS,
    POLICY,
    TERMS,
    USD,
    WBTC,
    Pair,
    Pool,
    address,
    candidate,
    exits,
    route,
    weth_pool,
)

ROUNDS = replace(POLICY, rounds=4)
ONE, OTHER = address(0x1001), address(0x1002)
BTC_POOL = Pool(
    address(905), (WBTC, weth_pool(1).tokens[1]), (10**9 * 10**8 // 60_000, 10**9 * USD)
)
POOL = weth_pool(10**9)
BOTH = exits(route(POOL), route(BTC_POOL, start=WBTC), pools=(POOL, BTC_POOL))


@dataclass(frozen=True)
class Chained(Pair):
    """A pair whose account has these pairs left once it was taken."""

    left: tuple = ()

    def after(self, amount):
        return Afterwards(health_factor=9 * 10**17, opportunities=self.left)


def chain(account, *debts, tokens=None):
    """An account's pairs, each left by the one before."""
    left = ()
    for number, debt in reversed(list(enumerate(debts))):
        token = {} if tokens is None else {"receive_token": tokens[number]}
        left = (Chained(account, debt * USD, left=left, **token),)
    return left


def planned(*candidates, policy=ROUNDS, book=BOTH, costs=COSTS):
    start = Remaining(curves=book.curves, liquidity={})
    return ranked(candidates, book, start, costs=costs, policy=policy, gas_model=GAS)


def test_an_account_is_planned_as_often_as_it_pays():
    """Three rounds in one decision; the last one is too small for its gas."""
    found = planned(candidate(*chain(ONE, 30_000, 20_000, 10_000, 50)))

    (decision,) = found.decisions
    assert isinstance(decision, Liquidate)
    assert [plan.spend for plan in decision.rounds] == [30_000 * USD, 20_000 * USD, 10_000 * USD]
    assert list(decision.rounds) == found.plans
    assert len(found.remaining) == 4


def test_the_number_of_rounds_is_bounded():
    """Whatever is left, by the policy or because a later round failed before."""
    four = chain(ONE, 30_000, 20_000, 10_000, 9_000)

    assert len(planned(candidate(*four), policy=replace(ROUNDS, rounds=2)).plans) == 2
    assert len(planned(candidate(*four), policy=POLICY).plans) == 1
    assert len(planned(candidate(*four, rounds=3)).plans) == 3


def test_a_round_is_sized_on_what_the_plans_before_leave():
    """The same amount through the same pool brings less."""
    first, second = planned(candidate(*chain(ONE, 10_000_000, 10_000_000))).plans

    assert second.spend <= first.spend
    assert second.gross_profit < first.gross_profit


def test_a_first_round_is_never_behind_somebody_elses_further_round():
    """What the pool bears is for the accounts first: a round takes nothing from any of them."""
    crowd = [candidate(*chain(ONE, 10_000_000, 10_000_000)), candidate(*chain(OTHER, 5_000_000))]

    accounts = [plan.account for plan in planned(*crowd).plans]

    assert accounts[:2] == [ONE, OTHER]
    assert planned(*crowd).plans[:2] == planned(*crowd, policy=POLICY).plans


def test_a_further_round_has_to_pay_whatever_the_account_may_cost():
    """A subsidy is granted once, for the account; a round that loses money is none."""
    worthless = chain(ONE, 30_000, 60)

    found = planned(candidate(*worthless, subsidy=10**18))

    assert len(found.plans) == 1
    assert found.plans[0].subsidy == 10**18


amounts = st.lists(st.integers(min_value=20, max_value=30_000_000), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(st.lists(amounts, min_size=1, max_size=4), st.integers(10**5, 10**9), st.integers(1, 300))
def test_rounds_only_ever_add(accounts, depth, gwei):
    """The whole nets at least what single steps do; each further round at least the minimum."""
    pool = weth_pool(depth)
    book = exits(route(pool), pools=(pool,))
    costs = replace(COSTS, gas_price=gwei * 10**9)
    crowd = [candidate(*chain(address(0x1000 + n), *own)) for n, own in enumerate(accounts)]

    many = planned(*crowd, book=book, costs=costs)
    single = planned(*crowd, book=book, costs=costs, policy=POLICY)

    assert many.plans[: len(single.plans)] == single.plans
    further = many.plans[len(single.plans) :]
    assert all(number for number in round_numbers(many.plans)[len(single.plans) :])
    assert all(plan.net_profit >= TERMS.min_profit for plan in further)
    assert max((len(one.rounds) for one in liquidate(many.plans)), default=0) <= ROUNDS.rounds


def test_rounds_share_their_accounts_transaction():
    """A transaction is full by its accounts; what comes again of them is on top of that."""
    crowd = [candidate(*chain(address(0x1000 + n), 30_000 - n, 20_000 - n)) for n in range(3)]
    plans = planned(*crowd).plans
    apart = replace(ROUNDS, max_plans_per_transaction=3)

    (group,) = pack_rounds(plans, apart, COSTS, GAS)

    assert list(group) == plans
    assert round_numbers(group) == [0, 0, 0, 1, 1, 1]


def test_a_round_that_a_later_transaction_would_meet_is_left_out():
    """It was sized behind that one's sale; in another pool it makes no difference."""
    weth = chain(ONE, 30_000, 20_000)
    second = chain(OTHER, 25_000)
    one_each = replace(ROUNDS, max_plans_per_transaction=1)

    same = pack_rounds(planned(candidate(*weth), candidate(*second)).plans, one_each, COSTS, GAS)
    elsewhere = chain(ONE, 30_000, 20_000, tokens=(weth[0].receive_token, WBTC))
    other = pack_rounds(
        planned(candidate(*elsewhere), candidate(*second)).plans, one_each, COSTS, GAS
    )

    assert [[plan.account for plan in group] for group in same] == [[ONE], [OTHER]]
    assert [[plan.account for plan in group] for group in other] == [[ONE, ONE], [OTHER]]


def test_a_round_never_goes_without_the_one_before():
    """Not when a batch is divided, and not when only a part of it pays: it rests on that one."""
    plans = planned(
        candidate(*chain(ONE, 30_000, 20_000, 10_000)), candidate(*chain(OTHER, 25_000, 15_000))
    ).plans
    of_one = [plan for plan in plans if plan.account == ONE]
    of_other = [plan for plan in plans if plan.account == OTHER]

    assert drop_unled(plans, plans) == plans
    assert drop_unled(plans, [*of_one[1:], *of_other]) == of_other
    assert drop_unled(plans, [of_one[0], of_one[2], *of_other]) == [
        plan for plan in plans if plan not in of_one[1:]
    ]


def test_what_does_not_pay_a_larger_share_takes_its_later_rounds_along():
    """Less is sent then, never a round without its account's earlier one."""
    plans = planned(candidate(*chain(ONE, 30_000, 29_000)), candidate(*chain(OTHER, 28_000))).plans
    poor = replace(plans[0], net_profit=1, least_net=2)

    kept = sharing_less([poor, *plans[1:]], 3, 0)

    assert [plan.account for plan in kept] == [OTHER]


def test_a_round_needs_no_ability_to_be_planned_once():
    """A market that cannot tell what is left has one round, as before."""
    found = planned(candidate(Pair(ONE, 30_000 * USD)))

    assert len(found.plans) == 1


def test_slots_that_the_first_round_warmed_count():
    """A further round is looked at where it may pay at the gas that it takes then."""
    model = GasModel()

    assert model.further_bps < model.expected_bps
    first, second = planned(candidate(*chain(ONE, 30_000, 30_000))).plans
    assert second.gas < first.gas
    assert second.step_gas == first.step_gas


def test_an_account_that_is_healthy_afterwards_is_sized_no_more_often(monkeypatch):
    """Most are: planning them costs what it did, one look at what their plan leaves."""
    calls = []
    plain = contender.sized

    def counted(*arguments):
        calls.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(contender, "sized", counted)
    crowd = [candidate(*chain(address(0x1000 + n), 30_000 + n)) for n in range(12)]
    counts = []
    for policy in (POLICY, ROUNDS):
        calls.clear()
        assert len(planned(*crowd, policy=policy).plans) == len(crowd)
        counts.append(len(calls))

    assert counts[0] == counts[1]
