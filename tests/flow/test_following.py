"""Looking after one transaction that makes trouble: the others, and the blocks, go on."""

import asyncio
import logging

import pytest

from keeper.chain.records import SeenTransaction
from keeper.domain.errors import ChainError, ForeignKeyUse, NotBroadcast, RpcMalformed, RpcRefused
from keeper.domain.submission import NonceState
from keeper.domain.units import GWEI
from keeper.execution import observation
from keeper.execution.observation import UNREAD_BLOCKS
from keeper.pipeline import Decided
from tests.flow.test_node import (
    ALICE,
    RecordingSubmitter,
    ScriptedBook,
    ScriptedHeads,
    a_batch,
    a_head,
    a_node,
)
from tests.support.scripted_submission import (
    MARKET,
    ScriptedChain,
    World,
    account,
    batch,
    block_hash,
    head,
    plan,
    unhealthy,
)


class SeeingChain(ScriptedChain):
    """A chain of which some receipts cannot be read; it knows transactions, unless ``blind``."""

    def __init__(self):
        super().__init__()
        self.trouble, self.blind = {}, False

    async def receipt(self, transaction):
        trouble = self.trouble.get(transaction)
        if isinstance(trouble, Exception):
            raise trouble
        if trouble is not None:
            await asyncio.sleep(3_600)
        return await super().receipt(transaction)

    async def transaction(self, transaction):
        if self.blind:
            raise RpcRefused("no such method")
        mined = self.receipts.get(transaction)
        if mined is None:
            return None
        return SeenTransaction(
            hash=transaction,
            sender=self.sender,
            nonce=0,
            block_number=mined.block_number,
            block_hash=mined.block_hash,
        )

    async def block_logs(self, wanted, block_hash):
        return []


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(observation, "RECEIPT_SECONDS", 0.05)
    made = World()
    made.chain = SeeingChain()
    made.submitter = made.restarted()
    made.chain.sender = made.submitter.signer.address
    return made


TROUBLES = {
    "refused": RpcRefused("no", number=-32601, text="not available"),
    "malformed": RpcMalformed("the receipt's block is not a quantity"),
    "hanging": "for ever",
}


async def two_mined(world, trouble):
    """Have two transactions mined, of which the first one's receipt cannot be read."""
    await world.submitter.submit([batch(plan(0)), batch(plan(1))], head(10))
    first, second = (world.book[nonce].newest for nonce in (0, 1))
    world.chain.trouble[first.hash] = trouble
    for attempt in (first, second):
        world.chain.mine(attempt, 11)
    await world.submitter.follow(head(11), unhealthy)
    return first


@pytest.mark.parametrize("how", TROUBLES)
async def test_one_receipt_that_cannot_be_read_holds_up_no_other(world, how):
    """The other one is booked, and new transactions are sent: a block has both of ours."""
    await two_mined(world, TROUBLES[how])

    assert [one["nonce"] for one in world.told("included")] == [1]
    assert await world.submitter.submit([batch(plan(2))], head(11)) != []
    assert world.submitter.in_flight() == {(MARKET, account(0)), (MARKET, account(2))}


@pytest.mark.parametrize("how", TROUBLES)
async def test_a_receipt_that_becomes_readable_is_booked_as_it_is(world, how):
    """A moment's trouble costs nothing but the moment."""
    first = await two_mined(world, TROUBLES[how])
    del world.chain.trouble[first.hash]
    await world.submitter.follow(head(12), unhealthy)

    booked = world.journal.kept[0].inclusion
    assert (booked.success, booked.gas_used, booked.effective_gas_price) == (
        True,
        400_000,
        11 * GWEI,
    )


@pytest.mark.parametrize("how", TROUBLES)
async def test_a_receipt_that_stays_unreadable_is_done_without(world, how):
    """Price from the bytes, the end from the logs, gas at its limit: never less than it was."""
    await two_mined(world, TROUBLES[how])
    for number in range(12, 12 + UNREAD_BLOCKS):
        await world.submitter.follow(head(number), unhealthy)

    booked = world.journal.kept[0].inclusion
    assert (booked.success, booked.gas_used) == (False, 1_000_000)
    assert booked.effective_gas_price == 10 * GWEI + 2 * GWEI
    assert world.submitter.in_flight() == frozenset()


async def test_nonces_that_a_block_has_take_no_room_in_flight(world):
    """Sixteen receipts that cannot be read would otherwise end the sending."""
    world.submitter = world.restarted(max_in_flight=2)
    world.chain.sender = world.submitter.signer.address
    await two_mined(world, TROUBLES["refused"])
    world.chain.trouble |= dict.fromkeys([one.newest.hash for one in world.book.values()], "stuck")

    assert await world.submitter.submit([batch(plan(2)), batch(plan(3))], head(11)) != []
    with pytest.raises(NotBroadcast, match="2 transactions are in flight"):
        await world.submitter.submit([batch(plan(4))], head(11))


async def test_a_nonce_that_nobody_can_explain_holds_signing_and_is_not_taken_for_foreign(world):
    """An error is no proof of somebody else's hand, however long it lasts; nor of ours."""
    world.chain.blind = True
    first = await two_mined(world, TROUBLES["refused"])
    for number in range(12, 30):
        await world.submitter.follow(head(number), unhealthy)
    with pytest.raises(NotBroadcast, match="nonce 0 was used, and its receipt cannot be read"):
        await world.submitter.submit([batch(plan(2))], head(29))
    world.chain.trouble.clear()
    await world.submitter.follow(head(30), unhealthy)

    assert await world.submitter.submit([batch(plan(2))], head(30)) != []
    assert world.journal.kept[0].inclusion.hash == first.hash


async def test_a_start_waits_for_a_receipt_that_cannot_be_read_and_then_ends(world):
    """Nothing may be signed before every used nonce is explained."""
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    world.chain.trouble[world.book[0].newest.hash] = TROUBLES["malformed"]
    world.chain.blind = True
    world.submitter = world.restarted(explain_seconds=0.0)

    with pytest.raises(ChainError, match="receipt cannot be read"):
        await world.submitter.reconcile(head(12))


@pytest.mark.parametrize("name", ["success", "gas_used", "gas_price", "logs"])
async def test_a_receipt_that_leaves_something_out_is_booked_at_once(world, name):
    """What it leaves out follows from elsewhere."""
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11, **{name: None})

    await world.submitter.follow(head(11), unhealthy)

    booked = world.journal.kept[0].inclusion
    assert booked.block_hash == block_hash(11)
    assert booked.gas_used == (1_000_000 if name == "gas_used" else 400_000)
    assert booked.effective_gas_price == (12 if name == "gas_price" else 11) * GWEI


async def test_a_block_that_cannot_be_read_after_a_reorg_is_looked_at_again(world):
    """What it has taken back must not stay booked because one read failed."""
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    await world.submitter.follow(head(11), unhealthy)
    plain, failing = world.chain.head, [True]

    async def sometimes(block=None):
        if block == 11 and failing[0]:
            raise RpcRefused("no")
        return await plain(block)

    world.chain.head = sometimes
    world.chain.blocks |= {11: head(11, fork=1), 12: head(12, fork=1)}
    world.chain.receipts.clear()
    with pytest.raises(RpcRefused):  # whether anything was taken back cannot be told
        await world.submitter.follow(head(13, fork=1), unhealthy)
    before = world.book[0].state
    failing[0] = False
    world.chain.count = 0
    await world.submitter.follow(head(14, fork=1), unhealthy)

    assert before is NonceState.INCLUDED
    assert world.book[0].state is NonceState.BOUND


async def test_reading_what_was_sent_does_not_hold_a_send(world):
    """The lock is for what changes a nonce, and not for what is waited for."""
    await world.submitter.submit([batch(plan(0))], head(10))
    counting, plain = asyncio.Event(), world.chain.transaction_count

    async def slow(address, block="latest"):
        if not counting.is_set():
            counting.set()
            await asyncio.sleep(3_600)
        return await plain(address, block)

    world.chain.transaction_count = slow
    looking = asyncio.create_task(world.submitter.follow(head(11), unhealthy))
    await counting.wait()
    async with asyncio.timeout(5):
        taken = await world.submitter.submit([batch(plan(1))], head(11))
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking

    assert [one.plans[0].account for one in taken] == [account(1)]


class HangingSubmitter(RecordingSubmitter):
    """Something is in flight, and looking after it does not end."""

    def __init__(self, **options):
        super().__init__(**options)
        self.flights = frozenset({("m:1", "0xb")})
        self.hangs = True

    def in_flight(self):
        return self.flights

    async def follow(self, head, still_unhealthy):
        self.followed.append((head.number, still_unhealthy("m:1", ALICE)))
        if self.hangs:
            await asyncio.sleep(3_600)


class PacedHeads:
    """Each head comes when the one before was submitted upon."""

    def __init__(self, submitter, last):
        self.submitter, self.last = submitter, last

    async def heads(self):
        for number in range(1, self.last + 1):
            yield a_head(number)
            while len(self.submitter.submitted) < number:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
        await asyncio.Event().wait()


async def test_looking_after_a_transaction_that_hangs_holds_up_no_block(caplog):
    """Blocks are read, decided, sent and told about, while one look waits."""
    submitter = HangingSubmitter()

    async def sends(head, snapshots, in_flight, *, restraint):
        return Decided(head=head, batches=[a_batch()])

    node, events = a_node(
        PacedHeads(submitter, 3), ScriptedBook({}), submitter, sends, follow_seconds=0.01,
        drain_seconds=0,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(60):
            await node.run(3)

    assert [one["block_number"] for one in events if one["event"] == "block"] == [1, 2, 3]
    assert [number for number, _ in submitter.submitted] == [1, 2, 3]
    assert submitter.followed == [(1, True)]
    assert caplog.text.count("follow_slow") == 1


async def test_a_chain_error_of_following_does_not_skip_the_block():
    """The node refuses one method: the others' blocks are worked on to the end."""
    submitter = RecordingSubmitter(
        flights=[frozenset({("m:1", "0xb")})] * 9, follow_error=RpcRefused("no receipts")
    )
    node, events = a_node(ScriptedHeads(1, 2), ScriptedBook({}), submitter, drain_seconds=0)

    await node.run(2)

    assert [one["block_number"] for one in events if one["event"] == "block"] == [1, 2]


async def test_another_use_of_the_key_that_is_found_beside_a_block_ends_the_keeper():
    """It must not wait for somebody to ask."""

    class Slow(HangingSubmitter):
        async def follow(self, head, still_unhealthy):
            await asyncio.sleep(0.03)
            raise ForeignKeyUse("somebody else")

    node, _ = a_node(
        ScriptedHeads(1), ScriptedBook({}), Slow(), follow_seconds=0.001, drain_seconds=0
    )
    with pytest.raises(ForeignKeyUse):
        async with asyncio.timeout(10):
            await node.run(9)


async def test_a_block_that_cannot_be_decided_is_told_all_the_same():
    """Whoever is called about an account does not pay for a venue that does not answer."""
    told = []

    class Calls:
        async def restraint(self, head, snapshots):
            raise RpcRefused("not now")

        async def told(self, head, snapshots):
            told.append(head.number)

    node, events = a_node(ScriptedHeads(1, 2), ScriptedBook({}), calls=Calls())
    running = asyncio.create_task(node.run(1))
    async with asyncio.timeout(10):
        while len(told) < 2:  # noqa: ASYNC110 - the node says nothing of a block it skipped
            await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert told == [1, 2]
    assert [one for one in events if one["event"] == "block"] == []
