"""What the submitter does when things go wrong around a send, over scripted ports."""

import asyncio

import pytest

from keeper.chain.abi import encoded, selector
from keeper.domain.errors import (
    ForeignKeyUse,
    JournalError,
    NotBroadcast,
    RpcMalformed,
    RpcRefused,
    RpcUnavailable,
)
from keeper.domain.submission import AttemptKind, AttemptState
from keeper.domain.units import GWEI
from keeper.execution.fees import FeePolicy
from tests.support.scripted_submission import (
    MARKET,
    World,
    account,
    batch,
    head,
    healthy,
    plan,
    unhealthy,
)

BROKE = RpcRefused("no", number=-32000, text="insufficient funds for gas * price + value")


class SlowReceipts(World):
    """The chain finds a receipt only when it is asked the ``n``-th time."""

    def __init__(self, after, **changes):
        super().__init__(**changes)
        self.asked, plain = 0, self.chain.receipt

        async def receipt(transaction):
            self.asked += 1
            return await plain(transaction) if self.asked >= after else None

        self.chain.receipt = receipt


async def test_nothing_is_decided_before_every_used_nonce_is_explained():
    """The receipt of what an earlier process sent comes late: the start waits for it."""
    world = SlowReceipts(after=3)
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    world.chain.blocks[None] = head(12)
    world.submitter = world.restarted(explain_pause=0.0)

    await world.submitter.reconcile(head(12))

    assert world.asked == 3
    assert [one["nonce"] for one in world.told("included")] == [0]
    assert world.submitter.in_flight() == frozenset()


async def test_a_start_ends_where_a_used_nonce_stays_unexplained():
    """Somebody else used it: exit code 5, and nothing was sent."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.count = 1
    world.submitter = world.restarted(explain_seconds=0.0)

    with pytest.raises(ForeignKeyUse, match="nonce 0"):
        await world.submitter.reconcile(head(11))

    assert len(world.node.sent) == 1


async def test_a_foreign_transaction_that_only_waits_stops_the_start_too():
    """Ours would replace it, or it ours."""
    world = World()

    async def count(address, block="latest"):
        return 1 if block == "pending" else 0

    world.chain.transaction_count = count

    with pytest.raises(ForeignKeyUse):
        await world.submitter.reconcile(head(11))


async def test_a_chain_that_knows_less_than_the_journal_is_another_chain():
    """A local chain that was started anew: its nonces begin at 0, the journal's do not."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    for number in range(11, 16):
        await world.submitter.follow(head(number), healthy)
    world.chain.count = 0
    world.submitter = world.restarted(explain_seconds=0.0)

    with pytest.raises(JournalError, match="1 final transactions"):
        await world.submitter.reconcile(head(2))


async def test_a_start_cancels_what_is_past_its_deadline_and_sends_the_rest_again():
    """The executor would refuse it: a transfer of nothing costs less."""
    world = World()
    old = batch(plan(0, deadline=head(15).timestamp))
    await world.submitter.submit([old, batch(plan(1))], head(10))
    kept = world.book[1].newest.raw
    world.submitter = world.restarted()

    await world.submitter.reconcile(head(20))

    assert [one.kind for one in world.book[0].attempts] == [AttemptKind.SEND, AttemptKind.CANCEL]
    assert world.node.sent[2:] == [world.book[0].newest.raw, kept]


async def test_a_head_that_was_reorganised_while_deciding_signs_nothing():
    """Prices and debts of a block that never was are no ground to spend gas."""
    world = World()
    world.chain.blocks[10] = head(10, fork=1)

    with pytest.raises(NotBroadcast, match="reorganised"):
        await world.submitter.submit([batch()], head(10))

    assert world.journal.kept == {}


async def test_on_an_old_block_nothing_is_signed_and_what_is_signed_is_not_bid_up():
    """A node that still synchronises shows debts that others have liquidated since."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.submitter.tracker.untimely = lambda at: f"block {at.number} is old"
    sent = len(world.diary)
    for number in (11, 12, 13, 14, 15):
        await world.submitter.follow(head(number), unhealthy)
    with pytest.raises(NotBroadcast, match="block 15 is old"):
        await world.submitter.submit([batch(plan(1))], head(15))

    assert len(world.book[0].attempts) == 1
    assert sorted(world.book) == [0]
    again = world.diary[sent:]
    assert len([one for one in again if one[0] == "send"]) == 5
    assert [one for one in again if one[0] == "record"] == []


async def test_no_second_transaction_for_an_account_that_has_one():
    """Whatever the caller decided: the last wall before the signature."""
    world = World()
    await world.submitter.submit([batch()], head(10))

    with pytest.raises(NotBroadcast, match="in flight"):
        await world.submitter.submit([batch(plan(0))], head(11))
    taken = await world.submitter.submit([batch(plan(0)), batch(plan(1))], head(11))

    assert [one.plans[0].account for one in taken] == [account(1)]
    assert sorted(world.book) == [0, 1]


async def test_no_new_nonce_while_a_used_one_has_no_receipt():
    """It may be somebody else's."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.count = 1
    await world.submitter.follow(head(11), unhealthy)

    with pytest.raises(NotBroadcast, match="receipt is not there yet"):
        await world.submitter.submit([batch(plan(1))], head(11))


async def test_a_receipt_that_was_late_once_is_not_held_against_a_later_one():
    """A reorg gave the nonce back in between: the patience begins anew."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.count = 1
    await world.submitter.follow(head(11), unhealthy)
    world.chain.count = 0
    await world.submitter.follow(head(12), unhealthy)
    world.chain.count = 1

    await world.submitter.follow(head(16), unhealthy)

    assert world.submitter.tracker.unexplained == {0}


async def test_fast_blocks_do_not_shorten_the_patience_for_a_receipt():
    """Four blocks of a quarter of a second are one second."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.count = 1

    for number in range(11, 21):
        await world.submitter.follow(head(number, timestamp=2_000 + number // 4), unhealthy)

    assert world.submitter.tracker.unexplained == {0}


async def test_an_empty_purse_binds_no_more_nonces_and_bids_no_more():
    """More nonces and higher bids only cost more; once it is filled, the same bytes go."""
    world = World()
    world.node.answers = [BROKE, BROKE, BROKE]
    await world.submitter.submit([batch()], head(10))
    with pytest.raises(NotBroadcast, match="top it up"):
        await world.submitter.submit([batch(plan(1))], head(11))
    await world.submitter.follow(head(12), unhealthy)
    await world.submitter.follow(head(14), unhealthy)
    assert len(world.book[0].attempts) == 1

    await world.submitter.follow(head(15), unhealthy)
    await world.submitter.submit([batch(plan(1))], head(15))

    assert world.book[0].attempts[0].state is AttemptState.SENT
    assert sorted(world.book) == [0, 1]
    assert len(set(world.node.sent)) == 2


async def test_who_is_stopped_while_sending_still_sends_what_is_recorded():
    """Else the bytes would leave after the next start, when the plan is old."""
    world = World()
    recording, plain = asyncio.Event(), world.journal.record

    async def record(bound, news):
        recording.set()
        await asyncio.sleep(0.01)
        await plain(bound, news)

    world.journal.record = record
    task = asyncio.create_task(world.submitter.submit([batch()], head(10)))
    await recording.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert [kind for kind, _ in world.diary] == ["record", "send", "marked"]


async def test_a_bump_follows_a_base_fee_that_ran_away():
    """Ten times the base fee: the first replacement bids for it."""
    world = World(FeePolicy(max_fee=500 * GWEI))
    rich = plan(gross_profit=10**18, gross_profit_wei=10**18, min_profit=97 * 10**16)
    await world.submitter.submit([batch(rich)], head(10))

    async def history(blocks, percentile):
        return [100 * GWEI, 100 * GWEI], [2 * GWEI]

    world.chain.fee_history = history
    await world.submitter.follow(head(12), unhealthy)

    assert world.book[0].newest.fees.max_fee >= 200 * GWEI


async def test_a_half_cured_batch_is_bid_up_on_the_profit_that_is_left():
    """The cured account's profit is gone; its step still costs."""
    world = World(FeePolicy(max_fee=10**6 * GWEI))
    poor = plan(1, gross_profit=10**16, gross_profit_wei=10**16, min_profit=10**16, least_net=0)
    await world.submitter.submit([batch(plan(0), poor, gas_limit=1_100_000)], head(10))

    await world.submitter.follow(head(12), lambda _market, who: who == account(1))

    assert [one.kind for one in world.book[0].attempts] == [AttemptKind.SEND]


async def test_fees_that_cannot_be_read_do_not_stop_a_replacement():
    """The policy's own step is enough."""
    world = World()
    await world.submitter.submit([batch()], head(10))

    async def history(blocks, percentile):
        raise RpcUnavailable("busy")

    world.chain.fee_history = history
    await world.submitter.follow(head(12), unhealthy)

    assert world.book[0].newest.kind is AttemptKind.BUMP
    assert world.submitter.in_flight() == {(MARKET, account(0))}


def error_data(text):
    return selector("Error(string)") + encoded(("string",), (text,))


@pytest.mark.parametrize(
    ("revert", "gas_used", "says"),
    [
        (RpcRefused("reverted", data=error_data("35")), 90_000, "reverted: 35"),
        (RpcRefused("reverted"), 90_000, "the whole transaction reverted"),
        (RpcUnavailable("busy"), 90_000, "the whole transaction reverted"),
        (None, 90_000, "it would have worked after the others of its block"),
        (None, 1_000_000, "out of gas"),
    ],
)
async def test_a_transaction_that_failed_as_a_whole_says_so_of_every_plan(revert, gas_used, says):
    """The receipt has no logs and no reason; the operator still wants one."""
    world = World()
    world.chain.revert = revert
    await world.submitter.submit([batch(plan(0), plan(1))], head(10))
    world.chain.mine(world.book[0].newest, 11, success=False, gas_used=gas_used)

    await world.submitter.follow(head(11), unhealthy)

    (told,) = world.told("included")
    assert told["success"] is False
    assert [one["failure"].endswith(says) for one in told["plans"]] == [True, True]
    assert int(told["net_profit_wei"]) == -gas_used * 11 * GWEI


async def test_logs_that_cannot_be_read_do_not_hold_up_the_nonce():
    """Another version of the executor: the nonce is used all the same."""
    world = World()

    def unreadable(batch, logs):
        raise RpcMalformed("the executor's log has the wrong number of topics")

    world.submitter.tracker.outcomes = unreadable
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)

    await world.submitter.follow(head(11), unhealthy)

    assert "cannot be read" in world.told("included")[0]["plans"][0]["failure"]
    assert world.submitter.in_flight() == frozenset()


async def test_a_replacement_that_is_not_signed_holds_up_nobody():
    """One nonce keeps its old bytes; those above are looked after as ever."""
    world = World()
    await world.submitter.submit([batch(plan(0)), batch(plan(1))], head(10))
    plain = world.submitter.signer

    class Picky:
        address = plain.address

        def sign(self, wanted):
            if wanted.nonce == 0:
                raise NotBroadcast("not signed: another contract")
            return plain.sign(wanted)

    world.submitter.replacer.signer = Picky()
    await world.submitter.follow(head(12), unhealthy)

    assert [len(world.book[nonce].attempts) for nonce in (0, 1)] == [1, 2]
    assert world.node.sent[2:] == [world.book[0].newest.raw, world.book[1].newest.raw]
