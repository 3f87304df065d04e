"""A chain that takes back more than was final: said at the next head, held, marked, explained."""

import logging
from dataclasses import replace

import pytest

from keeper.chain.fields import head_of
from keeper.chain.pool import FINALIZED
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.domain.breaker import Breaker
from keeper.domain.errors import ConfigError, EndpointsDisagree, NotBroadcast
from keeper.domain.submission import AttemptKind, NonceState
from keeper.execution.finality import ASK_AGAIN_BLOCKS
from tests.support.scripted_node import ScriptedNode, nodes
from tests.support.scripted_submission import batch, head, plan, unhealthy
from tests.unit.execution.test_limits_guard import Limited

LATER = 11 + ASK_AGAIN_BLOCKS


def far(index=0, **changes):
    return batch(plan(index, deadline=2**40, **changes))


@pytest.fixture
async def world(tmp_path):
    """A submitter on a journal of its own, with one nonce that the chain called final."""
    made = await Limited(tmp_path / "j.sqlite").start()
    await final_by_tag(made)
    yield made
    made.kept.close()


async def final_by_tag(made):
    made.chain.final = head(9)
    await made.submitter.submit([far()], head(10))
    made.chain.mine(made.book[0].newest, 11)
    await made.submitter.follow(head(11), unhealthy)
    made.chain.final = head(12)
    for number in range(12, LATER + 1):
        await made.submitter.follow(head(number), unhealthy)
    assert made.submitter.tracker.book == {}


def taken_back(made, first, last=LATER + 1, *, final=None):
    """Give the chain another branch from a height on, on which nothing of ours was mined."""
    made.chain.blocks |= {number: head(number, fork=1) for number in range(first, last + 1)}
    made.chain.receipts.clear()
    made.chain.count = 0
    if made.chain.final is not None:
        made.chain.final = final or head(12, fork=1)
    return head(last, fork=1)


async def states(made, nonce=0):
    found = await made.kept.open_submissions()
    return {one.nonce: one.state for one in found}.get(nonce, NonceState.FINAL)


def bookings(made):
    engine = made.kept.database.engine
    with engine.connect() as rows:
        return [one.state for one in rows.exec_driver_sql("SELECT state FROM outcomes")]


async def test_it_is_said_at_the_next_head(world, caplog):
    """Not in eight blocks, and not after three minutes: what was earned is gone now."""
    newest = taken_back(world, 11)
    with caplog.at_level(logging.CRITICAL):
        await world.submitter.follow(newest, unhealthy)

    (told,) = world.told("finality")
    assert (told["state"], told["held"], told["reopened"]) == ("violated", True, [0])
    assert told["block_number"] == newest.number
    assert "block 12 was final, and is not the chain's any more" in told["detail"]
    assert ("finality", "open") in world.breakers()
    assert [one.levelname for one in caplog.records] == ["CRITICAL"]
    assert "block 12 was final" in world.submitter.tracker.takebacks.concern()


async def test_what_was_booked_is_marked_and_the_intent_is_open_again(world):
    """The books must not go on saying that it was earned."""
    before = (await states(world), bookings(world))
    await world.submitter.follow(taken_back(world, 11), unhealthy)

    assert before == (NonceState.FINAL, ["final"])
    assert (await states(world), bookings(world)) == (NonceState.BOUND, ["orphaned"])
    assert [one["nonce"] for one in world.told("reopened")] == [0]


async def test_nothing_is_signed_until_a_person_has_explained_it(world):
    """What is signed goes out again; it is neither bid up, nor cancelled, nor joined by others."""
    newest = taken_back(world, 11)
    await world.submitter.follow(newest, unhealthy)
    for number in range(newest.number + 1, newest.number + 7):
        await world.submitter.follow(head(number, fork=1), unhealthy)
        with pytest.raises(NotBroadcast, match="breaker finality is open: block 12 was final"):
            await world.submitter.submit([far(1)], head(number, fork=1))
    held = [one.kind for one in world.book[0].attempts]
    sent = len(world.node.sent)
    await world.submitter.reset("finality")
    await world.submitter.follow(head(newest.number + 7, fork=1), unhealthy)
    world.chain.blocks[newest.number + 7] = head(newest.number + 7, fork=1)

    assert held == [AttemptKind.SEND]
    assert sent == 1 + 7
    assert [one.kind for one in world.book[0].attempts] == [AttemptKind.SEND, AttemptKind.BUMP]
    assert await world.submitter.submit([far(1)], head(newest.number + 7, fork=1)) != []
    assert world.breakers()[-1] == ("finality", "closed")


async def test_what_is_past_its_deadline_is_closed_by_a_cancellation_once_it_is_explained(world):
    """The executor refuses it in any block of the new branch: the nonce must not wait for ever."""
    await world.submitter.submit([batch(plan(1, deadline=head(60).timestamp))], head(LATER))
    newest = taken_back(world, 11, last=70)
    await world.submitter.follow(newest, unhealthy)
    held = [one.kind for one in world.book[1].attempts]
    await world.submitter.reset("finality")
    await world.submitter.follow(head(71, fork=1), unhealthy)

    assert held == [AttemptKind.SEND]
    assert [one.kind for one in world.book[1].attempts] == [AttemptKind.SEND, AttemptKind.CANCEL]


async def test_a_chain_that_has_what_was_final_again_explains_itself(world):
    """A balancer put another node behind the name, and took it away again."""
    newest = taken_back(world, 11)
    receipts = dict(world.chain.receipts)
    await world.submitter.follow(newest, unhealthy)
    world.chain.blocks.clear()
    world.chain.receipts, world.chain.final = receipts, head(13)
    world.chain.mine(world.book[0].newest, 11)
    await world.submitter.follow(head(newest.number + 1), unhealthy)

    assert [one["state"] for one in world.told("finality")] == ["violated", "restored"]
    assert world.breakers()[-2:] == [("finality", "open"), ("finality", "closed")]
    assert await world.submitter.submit([far(1)], head(newest.number + 1)) != []
    assert world.kept is not None
    assert (await states(world)) is NonceState.INCLUDED


async def test_the_hold_outlives_the_process(world):
    """A supervisor's restart explains nothing."""
    newest = taken_back(world, 11)
    await world.submitter.follow(newest, unhealthy)
    world.chain.blocks[None] = newest
    await restart(world, newest)

    with pytest.raises(NotBroadcast, match="breaker finality is open"):
        await world.submitter.submit([far(1)], newest)
    assert [one.kind for one in world.book[0].attempts] == [AttemptKind.SEND]


async def restart(world, at):
    world.submitter = world.restarted()
    await world.submitter.reconcile(at)


async def test_it_is_seen_by_a_process_that_begins_after_it_happened(world):
    """The keeper was down; its journal has for final what is gone."""
    newest = taken_back(world, 11)
    world.chain.blocks[None] = newest
    await restart(world, newest)

    assert [one["state"] for one in world.told("finality")] == ["violated"]
    assert world.told("finality")[0]["reopened"] == [0]
    with pytest.raises(NotBroadcast, match="breaker finality is open"):
        await world.submitter.submit([far(1)], newest)


async def test_it_is_seen_while_nothing_is_in_flight_and_blocks_came_quietly(world):
    """Quiet blocks ask nobody; the one that does not follow the last does."""
    asked, plain = [], world.chain.head

    async def counted(block=None):
        asked.append(block)
        return await plain(block)

    world.chain.head = counted
    for number in range(LATER + 1, LATER + 30):
        await world.submitter.follow(head(number), unhealthy)
    quiet = list(asked)
    await world.submitter.follow(taken_back(world, 11, last=LATER + 30), unhealthy)

    assert quiet == []
    assert [one["state"] for one in world.told("finality")] == ["violated"]


@pytest.mark.parametrize(("first", "said"), [(18, []), (13, ["taken_back"])])
async def test_a_reorg_above_what_was_final_holds_nothing(world, first, said):
    """Every chain has them; one that is deeper than the confirmations is said."""
    world.chain.count, receipts = 1, dict(world.chain.receipts)
    newest = taken_back(world, first, final=head(12))
    world.chain.count, world.chain.receipts = 1, receipts
    await world.submitter.follow(newest, unhealthy)

    assert [one["state"] for one in world.told("finality")] == said
    assert ("finality", "open") not in world.breakers()
    assert bookings(world) == ["final"]


@pytest.fixture
async def by_depth(tmp_path):
    made = await Limited(tmp_path / "j.sqlite").start()
    await made.submitter.submit([far()], head(10))
    made.chain.mine(made.book[0].newest, 11)
    for number in range(11, LATER + 1):
        await made.submitter.follow(head(number), unhealthy)
    yield made
    made.kept.close()


async def test_where_depth_decides_a_deeper_reorg_is_said_and_signing_goes_on(by_depth, caplog):
    """Depth was a guess: the chain itself shows what is gone, and there is nobody to ask."""
    with caplog.at_level(logging.CRITICAL):
        newest = taken_back(by_depth, 11)
        await by_depth.submitter.follow(newest, unhealthy)
    concern = by_depth.submitter.tracker.takebacks.concern()
    taken = await by_depth.submitter.submit([far(1)], newest)

    (told,) = by_depth.told("finality")
    assert (told["state"], told["held"], told["reopened"]) == ("taken_back", False, [0])
    assert "policy.confirmations is 3" in told["detail"]
    assert "finality_taken_back" in caplog.text
    assert told["detail"] == concern
    assert bookings(by_depth) == ["orphaned"]
    assert taken != []


async def test_the_concern_ends_when_as_many_blocks_as_are_final_have_come(by_depth):
    """By then the new branch is as sure as the old one was."""
    newest = taken_back(by_depth, 11)
    await by_depth.submitter.follow(newest, unhealthy)
    seen = []
    for number in range(newest.number + 1, newest.number + 5):
        await by_depth.submitter.follow(head(number, fork=1), unhealthy)
        seen.append(bool(by_depth.submitter.tracker.takebacks.concern()))

    assert seen == [True, True, False, False]


async def test_a_deep_reorg_is_said_although_it_took_nothing_of_ours(by_depth):
    """Whoever follows the chain wants to know how deep it may turn."""
    newest = taken_back(by_depth, LATER - 4)
    by_depth.chain.count = 1
    await by_depth.submitter.follow(newest, unhealthy)
    shallow = len(by_depth.told("finality"))
    await by_depth.submitter.follow(
        replace(head(newest.number, fork=2), parent_hash=head(newest.number - 1, fork=1).hash),
        unhealthy,
    )

    assert [one["reopened"] for one in by_depth.told("finality")] == [[]]
    assert shallow == 1


async def test_an_ordinary_node_needs_no_reset(by_depth):
    """The command says so, and changes nothing."""
    with pytest.raises(ConfigError, match="not open"):
        await by_depth.submitter.reset(Breaker.FINALITY)


async def test_a_reset_lets_the_endpoints_forget_what_was_final():
    """They would contradict it for ever, and every block be refused."""
    node = ScriptedNode(height=9, final=4)
    async with nodes(node), connect([node.http], chain_id=1) as reader:
        chain, pool = Quorum(reader), reader.rpc.pool
        pool.finalized = head_of(node.at(4))
        node.fork(3, "b")
        pool.disagreements.found(FINALIZED, "0", "another block 4", lasting=True)
        with pytest.raises(EndpointsDisagree):
            await chain.head(9)
        looked_at = await chain.canonical_head(9)
        chain.accept_finality()

        assert looked_at.hash == node.at(9)["hash"]
        assert (await chain.head(9)).hash == looked_at.hash
        assert chain.noted_finalized is None
