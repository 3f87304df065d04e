"""Faults around a nonce, over scripted ports: stuck, gapped, stolen, poor, cooling down."""

import sqlite3
from dataclasses import replace

import pytest

from keeper.domain.decision import SkipReason
from keeper.domain.errors import ForeignKeyUse, JournalError, NotBroadcast, RpcRefused
from keeper.domain.plan import SimulatedBatch, SimulatedPlan
from keeper.domain.submission import AttemptKind, NonceState, PlanOutcome
from keeper.domain.units import GWEI
from keeper.execution.fees import FeePolicy
from keeper.storage.journal import Journal
from tests.support.scripted_submission import (
    MARKET,
    TOKEN,
    World,
    account,
    batch,
    head,
    healthy,
    plan,
    unhealthy,
)

RICH = {"gross_profit": 10**19, "gross_profit_wei": 10**19}


def kinds(world, nonce=0):
    return [one.kind for one in world.book[nonce].attempts]


async def test_f18_a_stuck_nonce_is_bid_up_to_a_multiple_of_the_market_then_left_as_it_is():
    """A hundred blocks without a receipt: a bounded schedule, the bytes out at every head, and
    a transfer of nothing once the deadline has passed."""
    world = World(FeePolicy(max_fee=10**6 * GWEI))
    late = head(100).timestamp
    await world.submitter.submit([batch(plan(0, **RICH, deadline=late))], head(10))

    for number in range(11, 100):
        await world.submitter.follow(head(number), unhealthy)
    bids = [one.fees.max_fee for one in world.book[0].attempts]
    await world.submitter.follow(head(100), unhealthy)

    assert bids == sorted(set(bids))
    assert bids[-1] <= 5 * 12 * GWEI < bids[-1] * 1.125
    assert len(world.node.sent) == 1 + 90
    assert kinds(world)[-1] is AttemptKind.CANCEL


async def test_g8_a_plan_that_no_longer_pays_its_gas_gives_way_to_the_queue():
    """Ten times the base fee: the small plan would lose, the large one behind it pays its end."""
    world = World(FeePolicy(max_fee=10**6 * GWEI))
    poor = plan(0, gross_profit=3 * 10**16, gross_profit_wei=3 * 10**16)
    await world.submitter.submit([batch(poor), batch(plan(1, **RICH))], head(10))

    async def dear(blocks, percentile):
        return [100 * GWEI, 100 * GWEI], [2 * GWEI]

    world.chain.fee_history = dear
    await world.submitter.follow(head(12), unhealthy)

    assert kinds(world, 0) == [AttemptKind.SEND, AttemptKind.CANCEL]
    assert kinds(world, 1) == [AttemptKind.SEND, AttemptKind.BUMP]
    assert world.book[0].newest.fees.max_fee > 100 * GWEI


async def test_g8_what_waits_behind_pays_for_an_end_and_for_no_landing_at_a_loss():
    """A small plan is bid up to what leaves its own minimum, then cancelled for the large one."""
    world = World(FeePolicy(max_fee=10**6 * GWEI))
    poor = plan(0, gross_profit=3 * 10**16, gross_profit_wei=3 * 10**16, min_profit=2 * 10**16)
    await world.submitter.submit([batch(poor), batch(plan(1, **RICH))], head(10))

    async def dearer(blocks, percentile):
        return [20 * GWEI, 20 * GWEI], [2 * GWEI]

    world.chain.fee_history = dearer
    for number in (12, 14, 16):
        await world.submitter.follow(head(number), unhealthy)

    assert kinds(world, 0)[:3] == [AttemptKind.SEND, AttemptKind.BUMP, AttemptKind.CANCEL]
    acting = [one for one in world.book[0].attempts if one.kind is not AttemptKind.CANCEL]
    own = (2 * 10**16 - poor.least_net) // poor.gas
    assert all(one.fees.max_fee <= own for one in acting)


async def test_g8_alone_it_waits_for_cheaper_gas_with_the_bytes_it_has():
    """Nobody is held up by it: nothing is paid to end it."""
    world = World(FeePolicy(max_fee=10**6 * GWEI))
    poor = plan(0, gross_profit=3 * 10**16, gross_profit_wei=3 * 10**16, min_profit=2 * 10**16)
    await world.submitter.submit([batch(poor)], head(10))

    async def dear(blocks, percentile):
        return [100 * GWEI, 100 * GWEI], [2 * GWEI]

    world.chain.fee_history = dear
    for number in range(11, 20):
        await world.submitter.follow(head(number), unhealthy)

    assert world.book[0].newest.fees.max_fee <= (2 * 10**16 - poor.least_net) // poor.gas
    assert world.node.sent[-1] == world.book[0].newest.raw


async def rehearsed(failure):
    async def run(bound, head):
        return {
            one.nonce: SimulatedBatch(
                plans=tuple(SimulatedPlan(profit=1, failure=failure) for _ in one.batch.plans),
                gas_used=1,
            )
            for one in bound
        }

    return run


async def test_g19_what_would_fail_now_is_cancelled_and_not_bid_up():
    """It is simulated once more before a bump, and only then."""
    world = World(rehearse=await rehearsed("HEALTH_FACTOR_NOT_BELOW_THRESHOLD"))
    await world.submitter.submit([batch()], head(10))
    await world.submitter.follow(head(11), unhealthy)
    before = kinds(world)
    await world.submitter.follow(head(12), unhealthy)

    assert before == [AttemptKind.SEND]
    assert kinds(world) == [AttemptKind.SEND, AttemptKind.CANCEL]


async def test_g19_a_node_that_cannot_simulate_does_not_stop_a_bump():
    """What the last block said of the account still stands."""

    async def refuse(bound, head):
        raise RpcRefused("no", number=-32601, text="no such method")

    world = World(rehearse=refuse)
    await world.submitter.submit([batch()], head(10))
    await world.submitter.follow(head(12), unhealthy)

    assert kinds(world) == [AttemptKind.SEND, AttemptKind.BUMP]


async def test_f20_a_hole_below_our_own_high_water_is_filled_by_nothing():
    """Rows were lost: those above would wait for ever, so the holes get transfers of nothing."""
    world = World()
    await world.submitter.submit([batch(plan(at)) for at in range(4)], head(10))
    for nonce in (0, 2):
        del world.journal.kept[nonce]
    world.submitter = world.restarted()

    await world.submitter.reconcile(head(11))

    assert sorted(world.book) == [0, 1, 2, 3]
    fillers = [world.book[nonce].newest for nonce in (0, 2)]
    own = world.submitter.signer.address
    assert [(one.kind, one.to, one.calldata) for one in fillers] == [
        (AttemptKind.CANCEL, own, b"")
    ] * 2
    assert world.node.sent[-4:] == [world.book[nonce].newest.raw for nonce in range(4)]


async def test_f20_no_nonce_is_filled_that_was_never_ours():
    """Above the high water there is nothing to fill, whatever waits there."""
    world = World()
    await world.submitter.submit([batch()], head(10))

    await world.submitter.follow(head(11), unhealthy)

    assert sorted(world.book) == [0]


async def test_f21_the_quiet_time_at_the_start_sees_a_stranger():
    """G7: a second keeper with this key sends while we only watch."""
    world = World()
    blocks = iter(range(20, 30))

    async def newest(block=None):
        return head(next(blocks))

    world.chain.head = newest
    await world.submitter.tracker.listen(2, pause=0.0)
    world.chain.count = 1

    with pytest.raises(ForeignKeyUse):
        await world.submitter.tracker.listen(2, pause=0.0)


async def test_f21_what_only_waits_ends_the_quiet_time_too():
    """G7: a transaction of a second keeper is in the pool, and in no block yet."""
    world = World()
    blocks = iter(range(20, 30))

    async def newest(block=None):
        return head(next(blocks))

    async def counted(address, block="latest"):
        return 1 if block == "pending" else 0

    world.chain.head = newest
    world.chain.transaction_count = counted

    with pytest.raises(ForeignKeyUse, match="has sent 1 transactions, the journal knows 0"):
        await world.submitter.tracker.listen(2, pause=0.0)


async def test_f21_a_key_that_is_delegated_meanwhile_has_one_in_flight():
    """EIP-7702: pools take one transaction of an account with code, so it is asked again."""
    limits = iter([16, 1])

    async def limit(head):
        return next(limits)

    world = World(limit=limit)
    await world.submitter.submit([batch(plan(0)), batch(plan(1))], head(10))
    await world.submitter.submit([batch(plan(2))], head(59))

    with pytest.raises(NotBroadcast, match="1 transactions are in flight"):
        await world.submitter.submit([batch(plan(3))], head(60))


async def test_f32_an_account_that_failed_is_left_alone_for_longer_each_time():
    """A rival repays one wei in front of us: a revert, and no instant second one."""
    world = World()
    tracker = world.submitter.tracker
    tracker.cooling.blocks = 3
    tracker.outcomes = lambda batch, logs: (
        PlanOutcome(
            market=MARKET, account=account(0), token=TOKEN, profit=0, profit_wei=0, failure="35"
        ),
    )
    for nonce, number in ((0, 11), (1, 15)):
        await world.submitter.submit([batch()], head(number - 1))
        world.chain.mine(world.book[nonce].newest, number)
        await world.submitter.follow(head(number), unhealthy)

    waits = tracker.cooling.waits(head(15))
    wait = waits[MARKET, account(0)]
    assert (wait.reason, wait.until_block) == (SkipReason.COOLING_DOWN, 15 + 6)
    assert tracker.cooling.waits(head(21)) == {}
    later = world.restarted()
    later.tracker.cooling.blocks = 3
    await later.reconcile(head(16))
    assert later.tracker.cooling.waits(head(16)) == waits


async def test_g1_the_next_round_waits_for_a_block_that_knows_the_last_one():
    """A head of before the inclusion still shows the account unhealthy."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 12)
    await world.submitter.follow(head(12), unhealthy)

    with pytest.raises(NotBroadcast, match="in flight"):
        await world.submitter.submit([batch()], head(11))
    assert await world.submitter.submit([batch()], head(12)) != []


async def test_f16_a_finalized_block_that_changes_ends_signing_and_says_so():
    """There is no ground left: neither on what was read nor on what was booked."""
    world = World()
    world.chain.final = head(5)
    await world.submitter.submit([batch()], head(10))
    await world.submitter.follow(head(11), unhealthy)
    world.chain.final = head(6, fork=1)
    world.chain.blocks[5] = head(5, fork=1)
    await world.submitter.follow(head(11 + 64), unhealthy)

    with pytest.raises(NotBroadcast, match="block 5 was final"):
        await world.submitter.submit([batch(plan(1))], head(11 + 64))
    assert "block 5" in world.submitter.hindrance


async def test_f14_without_a_finalized_tag_the_depth_decides_and_it_is_told(caplog):
    """Some nodes know no such tag."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    for number in range(11, 15):
        await world.submitter.follow(head(number), unhealthy)

    assert world.journal.kept[0].state is NonceState.FINAL
    assert caplog.text.count("finality_by_depth") == 1


async def test_with_a_finalized_tag_the_depth_alone_is_not_enough():
    """The chain's own word counts: twelve blocks may still be taken back."""
    world = World()
    world.chain.final = head(9)
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    for number in range(11, 40):
        await world.submitter.follow(head(number), unhealthy)
    before = world.journal.kept[0].state
    world.chain.final = head(11)
    for number in range(40, 50):
        await world.submitter.follow(head(number), unhealthy)

    assert before is NonceState.INCLUDED
    assert world.journal.kept[0].state is NonceState.FINAL


async def test_g30_a_journal_that_fails_after_the_send_signs_nothing_until_it_works_again():
    """The bytes are out and recorded; what the node said of them is lost, and they go again."""
    world = World()
    broken = [True]

    async def mark(sent, results):
        if broken[0]:
            raise JournalError("database or disk is full")

    async def probe():
        if broken[0]:
            raise JournalError("database or disk is full")

    world.journal.mark_sent, world.journal.probe = mark, probe
    assert await world.submitter.submit([batch()], head(10)) != []
    with pytest.raises(NotBroadcast, match="disk is full"):
        await world.submitter.submit([batch(plan(1))], head(11))
    await world.submitter.follow(head(11), unhealthy)
    sent = len(world.node.sent)
    broken[0] = False
    await world.submitter.follow(head(12), unhealthy)

    assert sent == 2
    assert world.submitter.fault == ""
    assert await world.submitter.submit([batch(plan(1))], head(12)) != []


@pytest.mark.io
async def test_f24_full_busy_and_deleted_files_stop_the_signing_and_nothing_else(tmp_path):
    """The real database says no in three ways; each time nothing has left."""
    path = tmp_path / "j.sqlite"
    world = World()
    sender = world.submitter.signer.address
    journal = Journal.open(path, chain_id=31337, sender=sender)
    world.journal = journal
    world.submitter = world.restarted()
    await world.submitter.reconcile(head(10))
    engine = journal.database.engine

    with engine.connect() as rows:
        pages = rows.exec_driver_sql("PRAGMA page_count").scalar()
        rows.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    big = batch(plan(0), calldata=b"\xab" * 60_000)
    with pytest.raises(JournalError, match="full"):
        await world.submitter.submit([big], head(10))
    with engine.connect() as rows:
        rows.exec_driver_sql("PRAGMA max_page_count=1000000")
        rows.exec_driver_sql("PRAGMA busy_timeout=50")
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotBroadcast, match="locked"):
            await world.submitter.submit([batch(plan(1))], head(11))
        other.execute("ROLLBACK")
    other.close()
    assert await world.submitter.submit([batch(plan(1))], head(12)) != []
    path.unlink()
    with pytest.raises(JournalError, match="is gone"):
        await world.submitter.submit([batch(plan(2))], head(13))
    with pytest.raises(NotBroadcast, match="is gone"):
        await world.submitter.submit([batch(plan(2))], head(14))
    journal.close()

    assert len(world.node.sent) == 1


async def test_a_chain_that_was_started_anew_is_known_by_its_blocks():
    """The journal of another run of a local chain: its bytes must not go out on this one."""
    world = World()
    await world.submitter.reconcile(head(100))
    world.chain.blocks[36] = replace(head(36), hash="0xother")
    world.submitter = world.restarted()

    with pytest.raises(JournalError, match="block 36 is another"):
        await world.submitter.reconcile(head(101))


async def test_a_chain_that_cannot_be_read_still_gets_the_recorded_bytes():
    """Endpoints that contradict each other hold signing; what is signed goes out again."""
    world = World()
    await world.submitter.submit([batch()], head(10))

    async def refuse(address, block="latest"):
        raise RpcRefused("no", number=-32000, text="they disagree")

    world.chain.transaction_count = refuse
    with pytest.raises(RpcRefused):
        await world.submitter.follow(head(11), healthy)

    assert world.node.sent == [world.book[0].newest.raw] * 2
    assert kinds(world) == [AttemptKind.SEND]


async def test_a_person_may_cancel_what_the_keeper_would_not_pay_for():
    """Up to the policy's ceiling; above it the command says why nothing happened."""
    world = World(FeePolicy(max_fee=25 * GWEI))
    await world.submitter.submit([batch()], head(10))
    await world.submitter.cancel(0)
    tight = World(FeePolicy(max_fee=22 * GWEI))
    await tight.submitter.submit([batch()], head(10))

    with pytest.raises(NotBroadcast, match="max_fee_gwei"):
        await tight.submitter.cancel(0)
    assert kinds(world) == [AttemptKind.SEND, AttemptKind.CANCEL]
    assert kinds(tight) == [AttemptKind.SEND]
