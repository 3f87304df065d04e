"""One head in, decisions out: the pipeline over scripted ports, with the real strategy."""

from dataclasses import dataclass, field, replace

import pytest

from keeper.domain.decision import Liquidate, Skip, SkipReason
from keeper.domain.errors import BlockUnknown, RpcMalformed, RpcRefused, RpcUnavailable
from keeper.domain.restraint import Restraint, Wait
from keeper.strategy.policy import Policy
from tests.flow.scripted_market import (
    DEEP,
    HEAD,
    MARKET,
    POOL,
    Desk,
    ScriptedExecutor,
    ScriptedSnapshot,
    ScriptedValuer,
    ScriptedVenue,
    account,
    pair,
)
from tests.unit.strategy.market import USD, USDC, WETH, exits, route, weth_pool

OTHER = "morpho_blue:0x" + "2" * 40


def sent(result):
    """The accounts of the batches, transaction by transaction."""
    return [[plan.account for plan in batch.plans] for batch in result.batches]


def skips(result):
    return {one.account: one for one in result.decisions if isinstance(one, Skip)}


async def test_a_quiet_block_asks_nobody():
    """Nobody is past the line: no clock, no fee, no pool, no simulation."""
    desk = Desk()
    snapshot = ScriptedSnapshot()

    result = await desk.decide(snapshot)

    assert (result.decisions, result.batches, result.health) == ([], [], {})
    assert desk.quiet
    assert snapshot.asked == []


@pytest.mark.parametrize("guess", [1, 11, 13, 10_000])
async def test_a_wrong_guess_of_the_next_block_changes_nothing(guess):
    """Reads begin on a guess of the next block's time; what is decided rests on the answer."""
    snapshots = [ScriptedSnapshot((pair(1), pair(2), pair(3))) for _ in range(2)]
    right, wrong = Desk(), Desk(guess=guess)

    results = [
        await desk.decide(snapshot)
        for desk, snapshot in zip((right, wrong), snapshots, strict=True)
    ]

    assert results[0] == results[1]
    assert {window.deadline for window in snapshots[1].asked[-3:]} == {HEAD.timestamp + 132}
    assert [desk.fees.asked for desk in (right, wrong)] == [1, 1]
    assert [len(desk.venue.asked) for desk in (right, wrong)] == [1, 1]


@dataclass
class BoundedSnapshot(ScriptedSnapshot):
    """A market that bounds what each account earns, in dollars."""

    bounds: dict = field(default_factory=dict)

    def bonus_at_most(self, health, window):
        return self.bounds[health.account] * USD, 400_000


async def test_who_cannot_earn_his_gas_is_not_looked_at_closely():
    """In a crash most of those past the line are too small; their pairs are not even made."""
    bounds = {account(1): 2, account(2): 2_000}
    snapshot = BoundedSnapshot((pair(1), pair(2)), bounds=bounds)

    result = await Desk().decide(snapshot)

    assert len(snapshot.asked) == 1
    assert sent(result) == [[account(2)]]
    left = skips(result)[account(1)]
    assert left.reason is SkipReason.DUST
    assert left.detail.startswith("all it owes: bonus of ")


async def test_who_may_cost_something_is_looked_at_closely_all_the_same():
    """Whether the vault may clear him depends on why nobody liquidates him: a pause, say."""
    bounds = {account(1): 2, account(2): 2}
    snapshot = BoundedSnapshot((pair(1), pair(2)), bounds=bounds)
    subsidies = {(snapshot.market, account(1)): 1 * 10**8}

    await Desk().decide(snapshot, restraint=Restraint(subsidies=subsidies))

    assert len(snapshot.asked) == 1


async def test_dust_asks_nobody():
    """However many accounts are not worth their gas, they cost no request."""
    desk = Desk()

    result = await desk.decide(ScriptedSnapshot(tuple(pair(n, 2) for n in range(50))))

    assert {one.reason for one in result.decisions} == {SkipReason.DUST}
    assert (len(result.decisions), result.batches) == (50, [])
    assert desk.quiet


async def test_what_is_on_its_way_is_not_planned_again():
    """The others are; nothing is even priced where all are in flight."""
    desk = Desk()
    snapshot = ScriptedSnapshot((pair(1), pair(2)))

    result = await desk.decide(snapshot, in_flight=frozenset({(MARKET, account(1))}))

    assert sent(result) == [[account(2)]]
    assert skips(result)[account(1)].reason == SkipReason.IN_FLIGHT

    quiet = Desk()
    both = frozenset({(MARKET, account(1)), (MARKET, account(2))})
    await quiet.decide(snapshot, in_flight=both)
    assert quiet.quiet


async def test_without_the_native_coin_s_price_nothing_can_be_judged():
    """Gas is paid in it; the reason names the setting that helps."""
    desk = Desk(valuer=ScriptedValuer(None))

    result = await desk.decide(ScriptedSnapshot((pair(1),)))

    skip = skips(result)[account(1)]
    assert skip.reason == SkipReason.PRICE_UNAVAILABLE
    assert "native_price_feed" in skip.detail
    assert desk.quiet


async def test_one_account_can_be_asked_about():
    """``keeper explain`` wants one; the others are not decided about."""
    result = await Desk().decide(ScriptedSnapshot((pair(1), pair(2))), only=account(2))

    assert [one.account for one in result.decisions] == [account(2)]
    assert list(result.health) == [(MARKET, account(2))]


async def test_the_window_reaches_from_the_next_second_to_the_deadline():
    """A plan lands one block later at the latest plus what the settings allow."""
    snapshot = ScriptedSnapshot((pair(1),))

    result = await Desk().decide(snapshot)

    (window,) = snapshot.asked
    assert (window.earliest, window.deadline) == (HEAD.timestamp + 1, HEAD.timestamp + 132)
    assert result.batches[0].deadline == window.deadline


async def test_everything_is_read_at_the_head_once():
    """One question per venue, for the pairs that pay, pinned to the block; one for the fee."""
    desk = Desk()

    await desk.decide(ScriptedSnapshot((pair(1), pair(2), pair(3, 2, receive_token=USDC))))

    ((pairs, basis),) = desk.venue.asked
    assert (pairs, basis.block_hash) == ({(WETH, USDC)}, HEAD.hash)
    assert (desk.fees.asked, len(desk.executor.rounds)) == (1, 1)


@pytest.mark.parametrize(
    "error", [RpcRefused("no"), RpcMalformed("gibberish"), BlockUnknown("not yet")]
)
async def test_a_venue_that_is_unreadable_for_a_moment_keeps_its_exits(error):
    """Twice in vain, and the third answer is taken: nobody loses the block for it."""
    desk = Desk(venues=[ScriptedVenue(failures=[error, error])])

    assert sent(await desk.decide(ScriptedSnapshot((pair(1),)))) == [[account(1)]]


@pytest.mark.parametrize(
    "error", [RpcRefused("no"), RpcMalformed("gibberish"), BlockUnknown("not yet")]
)
async def test_a_venue_that_does_not_answer_as_one_costs_only_its_own_routes(error):
    """The other venue sells; alone, the account has no exit and says so."""
    broken = ScriptedVenue(error, kind="broken")
    snapshot = ScriptedSnapshot((pair(1),))

    both = await Desk(venues=[broken, ScriptedVenue()]).decide(snapshot)
    alone = await Desk(venues=[broken]).decide(snapshot)

    assert sent(both) == [[account(1)]]
    assert skips(alone)[account(1)].reason == SkipReason.NO_EXIT_ROUTE


async def test_a_node_that_is_gone_stops_the_head():
    """Nothing may be decided on half an answer; the caller tries the next block."""
    with pytest.raises(RpcUnavailable):
        await Desk(venues=[ScriptedVenue(RpcUnavailable("gone"))]).decide(
            ScriptedSnapshot((pair(1),))
        )


async def test_batches_hold_the_plans_in_the_order_of_the_decisions():
    """Later plans are priced on what earlier ones leave: neither packing nor judging reorders."""
    desk = Desk(policy=Policy(max_plans_per_transaction=3))
    pairs = tuple(pair(n, 5_000 + 1_000 * (n % 5)) for n in range(8))

    result = await desk.decide(ScriptedSnapshot(pairs))

    decided = [one.plan for one in result.decisions if isinstance(one, Liquidate)]
    assert [len(one.plans) for one in result.batches] == [3, 3, 2]
    assert [plan for batch in result.batches for plan in batch.plans] == decided
    nets = [plan.net_profit for plan in decided]
    assert nets == sorted(nets, reverse=True)


async def test_each_executor_has_its_own_transactions():
    """Markets may have one executor or several; plans of two never share a transaction."""
    first, second = ScriptedExecutor("0xE1"), ScriptedExecutor("0xE2")
    desk = Desk(executors={MARKET: first, OTHER: second})
    aave = ScriptedSnapshot((pair(1), pair(3)))
    morpho = ScriptedSnapshot(
        (pair(2, 20_000, market=OTHER), pair(4, 500, market=OTHER)), market=OTHER, lends=()
    )

    result = await desk.decide(aave, morpho)

    assert [(one.executor, len(one.plans)) for one in result.batches] == [("0xE2", 2), ("0xE1", 2)]
    assert first.rounds == [[[account(1), account(3)]]]
    assert second.rounds == [[[account(2), account(4)]]]
    assert len(result.decisions) == 4


async def test_markets_of_one_executor_share_transactions():
    """An isolated market's key begins with its deployment's, which is what has an executor."""
    shared = ScriptedExecutor()
    desk = Desk(executors={MARKET: shared, OTHER: shared})
    isolated = f"{OTHER}:0xabc"
    aave, morpho = (
        ScriptedSnapshot((pair(1),)),
        ScriptedSnapshot((pair(2, market=isolated),), market=isolated),
    )

    result = await desk.decide(aave, morpho)

    assert sent(result) == [[account(1), account(2)]]


async def test_a_repayment_s_lender_may_be_another_market_s():
    """Whoever lends the token funds the plan, whichever market it is."""
    poor, rich = ScriptedSnapshot((pair(1),), lends=()), ScriptedSnapshot(market=OTHER)
    desk = Desk(policy=Policy(flash_swap_sources={}))

    alone = await desk.decide(poor)
    together = await desk.decide(poor, rich)

    assert skips(alone)[account(1)].reason == SkipReason.NO_FUNDING
    assert together.batches[0].plans[0].funding.name == "aave_v3_flash_loan"


def shallow(number):
    pool = weth_pool(40_000, number=900)
    return replace(DEEP, curves={POOL.pool: pool}, routes={(WETH, USDC): (route(pool),)})


async def test_an_exit_that_is_used_up_is_told_as_such():
    """The first sale takes the depth; whoever comes too late says what it lacked."""
    desk = Desk(venues=[ScriptedVenue(shallow(1))])

    result = await desk.decide(ScriptedSnapshot((pair(1, 1_000), pair(2, 900), pair(3, 800))))

    taken = [one for batch in sent(result) for one in batch]
    left = skips(result)
    assert (len(taken), len(left)) == (1, 2)
    assert {one.reason for one in left.values()} == {SkipReason.EXIT_TOO_SHALLOW}


async def test_no_pool_at_all_is_no_exit():
    """The venue answers, with nothing."""
    result = await Desk(venues=[ScriptedVenue(exits())]).decide(ScriptedSnapshot((pair(1),)))

    assert skips(result)[account(1)].reason == SkipReason.NO_EXIT_ROUTE


async def test_whom_the_policy_lets_wait_is_skipped_with_its_reason():
    """Grace is not a price or a gas question: nothing is asked about who has it."""
    desk = Desk()
    wait = Wait(reason=SkipReason.POLICY_GRACE, detail="until block 9", until=HEAD.timestamp + 24)

    result = await desk.decide(
        ScriptedSnapshot((pair(1), pair(2))),
        restraint=Restraint(waits={(MARKET, account(1)): wait}),
    )

    assert skips(result)[account(1)] == Skip(
        market=MARKET,
        account=account(1),
        reason=SkipReason.POLICY_GRACE,
        detail="until block 9",
        until=HEAD.timestamp + 24,
    )
    assert sent(result) == [[account(2)]]


async def test_a_rank_comes_before_the_profit():
    """The policy may want the largest risk of bad debt first; equal ranks go by profit."""
    desk = Desk()
    accounts = ScriptedSnapshot((pair(1, 10_000), pair(2, 40_000), pair(3, 20_000)))

    by_profit = await desk.decide(accounts)
    ranked = await desk.decide(accounts, restraint=Restraint(ranks={(MARKET, account(1)): -1}))

    assert sent(by_profit) == [[account(2), account(3), account(1)]]
    assert sent(ranked) == [[account(1), account(2), account(3)]]


async def test_a_subsidy_pays_for_what_the_bonus_does_not():
    """A small account costs more gas than it brings: it is cleared for what was granted."""
    small = ScriptedSnapshot((pair(1, 2),))
    subject = (MARKET, account(1))

    alone = await Desk().decide(small)
    scarce = await Desk().decide(small, restraint=Restraint(subsidies={subject: 10**4}))
    granted = await Desk().decide(small, restraint=Restraint(subsidies={subject: 10 * 10**8}))

    assert skips(alone)[account(1)].reason is SkipReason.DUST
    assert skips(scarce)[account(1)].reason is SkipReason.DUST
    assert (alone.losses, scarce.losses) == ({}, {})
    (plan,) = granted.batches[0].plans
    assert -plan.subsidy <= plan.net_profit < 0
    assert plan.gross_profit > 0
    assert granted.losses == {subject: 10 * 10**8}


async def test_a_subsidy_costs_nothing_where_it_is_not_needed():
    """What pays for itself is sized as ever, and nothing is set aside for it."""
    subject = (MARKET, account(1))

    plain = await Desk().decide(ScriptedSnapshot((pair(1),)))
    granted = await Desk().decide(
        ScriptedSnapshot((pair(1),)), restraint=Restraint(subsidies={subject: 10 * 10**8})
    )

    assert granted.losses == {}
    assert granted.batches[0].plans[0].amount == plain.batches[0].plans[0].amount
