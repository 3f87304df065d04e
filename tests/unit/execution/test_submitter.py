import pytest

from keeper.domain.errors import (
    ForeignKeyUse,
    JournalError,
    NotBroadcast,
    RpcRefused,
    RpcUnavailable,
)
from keeper.domain.submission import AttemptKind, AttemptState, NonceState
from keeper.domain.units import GWEI
from keeper.execution.fees import FeePolicy
from keeper.execution.nonces import next_nonce
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


async def test_every_record_precedes_every_send_lowest_nonce_first():
    """What was not on the disk must not be on the wire: after a crash nobody would know of it."""
    world = World()

    await world.submitter.submit([batch(plan(0)), batch(plan(1)), batch(plan(2))], head(10))

    kinds = [kind for kind, _ in world.diary]
    assert kinds == ["record"] * 3 + ["send"] * 3 + ["marked"]
    recorded = [raw for kind, raw in world.diary if kind == "record"]
    assert world.node.sent == recorded
    assert sorted(world.book) == [0, 1, 2]


async def test_a_journal_that_fails_keeps_the_bytes_inside():
    """No journal, no sending."""
    world = World()

    async def refuse(*_):
        raise JournalError("disk full")

    world.journal.record = refuse
    with pytest.raises(JournalError):
        await world.submitter.submit([batch()], head(10))

    assert world.node.sent == []
    assert world.submitter.in_flight() == frozenset()


@pytest.mark.parametrize(
    "answer",
    [
        RpcUnavailable("TimeoutError"),
        RpcRefused("no", number=-32000, text="some text nobody has seen before"),
    ],
)
async def test_an_unclear_answer_leaves_the_nonce_taken_and_is_not_repeated(answer):
    """Ambiguous is not failed: the bytes may be in a mempool."""
    world = World()
    world.node.answers = [answer]

    await world.submitter.submit([batch()], head(10))

    assert len(world.node.sent) == 1
    assert world.book[0].newest.state is AttemptState.UNKNOWN
    assert world.submitter.in_flight() == {(MARKET, account(0))}
    await world.submitter.submit([batch(plan(1))], head(10))
    assert sorted(world.book) == [0, 1]


async def test_the_same_bytes_are_sent_again_on_every_head_until_they_are_mined():
    """A pool may drop what it took; the nonce below must not block those above."""
    world = World()
    await world.submitter.submit([batch(plan(0)), batch(plan(1))], head(10))
    first = list(world.node.sent)

    await world.submitter.follow(head(11), unhealthy)

    assert world.node.sent == first + first


async def test_fees_rise_after_n_blocks_up_to_the_cap_then_the_bytes_stay():
    """A replacement that eats the minimum profit is worse than waiting."""
    world = World(FeePolicy(max_fee=26 * GWEI))
    await world.submitter.submit([batch()], head(10))

    await world.submitter.follow(head(12), unhealthy)
    risen = world.book[0]
    await world.submitter.follow(head(14), unhealthy)

    assert [one.kind for one in risen.attempts] == [AttemptKind.SEND, AttemptKind.BUMP]
    assert risen.attempts[0].fees.max_fee == 22 * GWEI
    assert risen.attempts[1].fees.max_fee == 22 * GWEI * 1125 // 1000
    assert risen.attempts[1].fees.priority_fee == 2 * GWEI * 1125 // 1000
    assert len(world.book[0].attempts) == 2
    assert world.node.sent[-1] == risen.newest.raw


async def test_a_cured_account_is_cancelled_on_the_same_nonce():
    """Late inclusion would only burn gas; the nonce is never skipped."""
    world = World()
    await world.submitter.submit([batch()], head(10))

    await world.submitter.follow(head(11), healthy)

    newest = world.book[0].newest
    assert newest.kind is AttemptKind.CANCEL
    assert (newest.to, newest.calldata) == (world.submitter.signer.address, b"")
    assert newest.gas_limit == 21_000
    assert newest.fees.max_fee > world.book[0].attempts[0].fees.max_fee
    assert world.node.sent[-1] == newest.raw


async def test_a_batch_past_its_deadline_is_cancelled_although_still_unhealthy():
    """The executor would refuse it from now on."""
    world = World()
    await world.submitter.submit([batch(plan(deadline=head(12).timestamp))], head(10))

    await world.submitter.follow(head(12), unhealthy)

    assert world.book[0].newest.kind is AttemptKind.CANCEL


async def test_an_older_attempt_may_be_the_one_that_is_mined():
    """All attempts of a nonce exclude each other; whichever is mined counts."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    await world.submitter.follow(head(12), unhealthy)
    oldest = world.book[0].attempts[0]
    world.chain.mine(oldest, 13)

    await world.submitter.follow(head(13), unhealthy)

    assert world.book[0].inclusion.hash == oldest.hash
    assert world.told("included")[0]["gas_cost_wei"] == str(400_000 * 11 * GWEI)
    assert world.submitter.in_flight() == frozenset()


async def test_an_inclusion_ahead_of_the_followed_head_does_not_free_the_account():
    """The older head still shows it unhealthy: it would be liquidated twice."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 12)
    world.chain.blocks[12] = head(12)

    await world.submitter.follow(head(11), unhealthy)

    assert world.submitter.in_flight() == {(MARKET, account(0))}
    assert len(world.node.sent) == 1


async def test_included_is_final_only_after_confirmations():
    """A fresh block may still be replaced."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)

    for number in (11, 12, 13):
        await world.submitter.follow(head(number), healthy)
    before = len(world.told("final"))
    await world.submitter.follow(head(14), healthy)

    assert before == 0
    assert len(world.told("final")) == 1
    assert world.journal.kept[0].state is NonceState.FINAL


async def test_a_reorg_opens_the_nonce_again_and_its_bytes_are_sent_again():
    """The transaction is gone from the chain, and the nonce is still its own."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    attempt = world.book[0].newest
    world.chain.mine(attempt, 11)
    await world.submitter.follow(head(11), healthy)
    world.chain.receipts.clear()
    world.chain.count = 0
    world.chain.blocks[11] = head(11, fork=1)

    await world.submitter.follow(head(12, fork=1), unhealthy)

    assert world.book[0].state is NonceState.BOUND
    assert world.told("reopened")[0]["hash"] == attempt.hash
    assert len(world.node.sent) == 2
    assert world.book[0].attempts[0].raw == attempt.raw
    assert world.submitter.in_flight() == {(MARKET, account(0))}


async def test_a_receipt_of_a_block_that_is_not_canonical_is_not_believed():
    """A node on another branch may tell of an inclusion that nobody else has."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11, fork=9)

    await world.submitter.follow(head(11), unhealthy)

    assert world.book[0].state is NonceState.BOUND


async def test_a_restart_sends_what_was_recorded_before_anything_else():
    """A crash between record and send leaves bytes that nobody has; the nonce is theirs."""
    world = World()
    world.node.answers = [RpcUnavailable("killed")]
    await world.submitter.submit([batch()], head(10))
    raw = world.book[0].newest.raw

    world.submitter = world.restarted()
    await world.submitter.reconcile(head(20))

    assert world.node.sent == [raw, raw]
    assert world.submitter.in_flight() == {(MARKET, account(0))}


async def test_a_node_that_lags_behind_what_is_final_gets_nothing():
    """Far behind, or the chain lost blocks that were final: no ground to sign on."""
    world = World()
    world.journal.first_nonce, world.chain.count = 5, 3

    with pytest.raises(NotBroadcast, match="3 of 5 final"):
        await world.submitter.submit([batch()], head(10))

    assert world.journal.kept == {}


def test_a_node_cannot_lower_the_nonce():
    """A journal that begins at five never binds four, nor one twice."""
    assert next_nonce(None, 3, 5) == 5
    assert next_nonce(7, 3, 5) == 8
    assert next_nonce(7, 9, 5) == 9


async def test_a_nonce_that_the_journal_never_bound_means_a_foreign_signer():
    """Two programs with one key overwrite each other's transactions."""
    world = World()
    world.chain.count = 1

    with pytest.raises(ForeignKeyUse):
        await world.submitter.submit([batch()], head(10))

    assert world.node.sent == []


async def test_a_bound_nonce_consumed_by_an_unknown_transaction_stops_the_keeper():
    """Receipts may come late by a block or two, not for ever."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    world.chain.count = 1

    for number in (11, 12, 13):
        await world.submitter.follow(head(number), unhealthy)
    with pytest.raises(ForeignKeyUse, match="nonce 0"):
        await world.submitter.follow(head(14), unhealthy)


async def test_gas_that_eats_the_profit_binds_no_nonce():
    """Nothing was signed, so the same plan may be tried at the next head."""
    world = World()
    poor = plan(gross_profit_wei=10**14, gross_profit=10**14, min_profit=10**14, least_net=0)

    with pytest.raises(NotBroadcast, match="too expensive"):
        await world.submitter.submit([batch(poor)], head(10))

    assert world.journal.kept == {}


async def test_a_paused_keeper_binds_nothing_and_still_follows():
    """Pausing stops new transactions; those in flight are looked after."""
    world = World()
    await world.submitter.submit([batch()], head(10))
    await world.submitter.pause()

    with pytest.raises(NotBroadcast, match="paused"):
        await world.submitter.submit([batch(plan(1))], head(11))
    await world.submitter.follow(head(11), unhealthy)

    assert len(world.node.sent) == 2


async def test_the_limit_of_nonces_in_flight_holds():
    """A stuck nonce must not take the whole balance with it."""
    world = World(max_in_flight=1)
    await world.submitter.submit([batch(plan(0)), batch(plan(1))], head(10))

    with pytest.raises(NotBroadcast, match="in flight"):
        await world.submitter.submit([batch(plan(2))], head(10))

    assert sorted(world.book) == [0]


async def test_the_operator_can_bump_and_cancel_a_waiting_nonce():
    """The commands use the same nonce and the same rules."""
    world = World()
    await world.submitter.submit([batch()], head(10))

    await world.submitter.bump(0)
    hash_ = await world.submitter.cancel(0)

    kinds = [one.kind for one in world.book[0].attempts]
    assert kinds == [AttemptKind.SEND, AttemptKind.BUMP, AttemptKind.CANCEL]
    assert world.book[0].newest.hash == hash_
