"""Sends that every endpoint refuses for good: split, or released by proof, and never by a guess."""

from dataclasses import replace

import pytest

from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.domain.errors import NotBroadcast, RpcRefused, RpcUnavailable
from keeper.domain.submission import AttemptKind, AttemptState, NonceState
from keeper.execution.send_caps import SendCaps
from keeper.storage.journal import Journal
from tests.support.scripted_node import Refusal, ScriptedNode, Silence, nodes, until
from tests.support.scripted_submission import (
    MARKET,
    ScriptedChain,
    World,
    account,
    batch,
    head,
    plan,
    unhealthy,
)
from tests.unit.execution.test_send_caps import halves, plans

TOO_MUCH = "transaction gas limit exceeds 3500000"
LOST = RpcUnavailable("no answer")


def refused(text):
    return RpcRefused(text, number=-32000, text=text)


class KnowingChain(ScriptedChain):
    """A chain whose endpoints say whether they have a transaction."""

    known: bool | None = False

    async def is_known(self, transaction):
        if isinstance(self.known, Exception):
            raise self.known
        return self.known


class Picky(World):
    """A node that takes transactions up to ``most`` gas."""

    def __init__(self, **changes):
        super().__init__(**changes)
        self.chain = KnowingChain()
        self.submitter = self.restarted(**changes)

    def restarted(self, **changes):
        changes.setdefault("caps", SendCaps(split=halves))
        return super().restarted(**changes)

    def kinds(self, nonce):
        return [(one.kind, one.state) for one in self.book[nonce].attempts]

    def accounts(self):
        return sorted(who for _, who in self.submitter.in_flight())


def accounts(count):
    return sorted(account(at) for at in range(count))


async def test_what_is_too_much_for_every_node_is_sent_in_parts_at_once():
    """Twelve accounts would wait for the deadline of bytes that nobody has."""
    world = Picky()
    world.node.answers = [refused(TOO_MUCH)]
    taken = await world.submitter.submit([plans(12)], head(10))

    assert [len(one.plans) for one in taken] == [3, 3, 3, 3]
    assert world.accounts() == accounts(12)
    assert [one.batch.gas_limit for one in list(world.book.values())[1:]] == [3_000_000] * 4
    assert world.kinds(0) == [
        (AttemptKind.SEND, AttemptState.RELEASED),
        (AttemptKind.CANCEL, AttemptState.SENT),
    ]
    assert world.book[0].accounts == ()


async def test_every_byte_of_it_is_recorded_before_it_leaves():
    """The cancellation and the parts, too."""
    world = Picky()
    world.node.answers = [refused(TOO_MUCH)]
    await world.submitter.submit([plans(6)], head(10))

    recorded = [raw for kind, raw in world.diary if kind == "record"]
    for at, (kind, raw) in enumerate(world.diary):
        if kind == "send":
            assert ("record", raw) in world.diary[:at]
    assert len(recorded) == len(set(recorded)) == 1 + 1 + 2


async def test_what_is_learnt_counts_for_the_next_block_before_anything_is_sent():
    """A refusal costs a cancellation; it is paid once."""
    world = Picky()
    world.node.answers = [refused(TOO_MUCH)]
    await world.submitter.submit([plans(4)], head(10))
    sent = len(world.node.sent)
    later = [replace(one, account=account(20 + at)) for at, one in enumerate(plans(4).plans)]
    await world.submitter.submit([replace(plans(4), plans=tuple(later))], head(11))

    assert len(world.node.sent) == sent + 2
    assert [one.kind for one in world.book[4].attempts] == [AttemptKind.SEND]


async def test_the_others_of_a_block_go_as_they_are():
    """One of three transactions is refused; the nonces above it are in the pools already."""
    world = Picky()
    world.node.answers = [None, refused(TOO_MUCH), None]
    small = [batch(plan(20)), plans(4), batch(plan(21))]
    taken = await world.submitter.submit(small, head(10))

    assert len(taken) == 4
    assert [one.accounts == () for one in world.book.values()] == [
        False,
        True,
        False,
        False,
        False,
    ]


UNPROVEN = {
    "an endpoint has it": lambda world: setattr(world.chain, "known", True),
    "an endpoint does not say": lambda world: setattr(world.chain, "known", None),
    "the endpoints cannot be asked": lambda world: setattr(world.chain, "known", LOST),
}


@pytest.mark.parametrize("why", UNPROVEN)
async def test_without_proof_nothing_is_released(why):
    """Bytes that somebody may have keep their nonce and their accounts."""
    world = Picky()
    UNPROVEN[why](world)
    world.node.answers = [refused(TOO_MUCH)]
    taken = await world.submitter.submit([plans(4)], head(10))

    assert len(taken) == 1
    assert world.accounts() == accounts(4)
    assert [kind for kind, _ in world.kinds(0)] == [AttemptKind.SEND]


async def test_what_was_unclear_once_is_never_released():
    """The node that did not answer may have taken the bytes that it refuses now."""
    world = Picky()
    world.node.answers = [LOST, *[refused(TOO_MUCH)] * 20]
    await world.submitter.submit([plans(4)], head(10))
    for number in range(11, 20):
        await world.submitter.follow(head(number), unhealthy)

    assert world.accounts() == accounts(4)
    assert [kind for kind, _ in world.kinds(0)] == [AttemptKind.SEND]


async def test_what_an_earlier_process_may_have_sent_is_never_released():
    """It was killed between the send and the answer: nobody knows what that was."""
    world = Picky()
    await world.submitter.submit([plans(4)], head(10))
    world.submitter = world.restarted()
    world.node.answers = [refused(TOO_MUCH)] * 20
    await world.submitter.reconcile(head(11))
    for number in range(12, 20):
        await world.submitter.follow(head(number), unhealthy)

    assert world.accounts() == accounts(4)
    assert [kind for kind, _ in world.kinds(0)] == [AttemptKind.SEND]


async def test_a_proof_that_comes_later_releases_later():
    """The endpoint that did not say it was away for a block."""
    world = Picky()
    world.chain.known = None
    world.node.answers = [refused(TOO_MUCH)]
    await world.submitter.submit([plans(4)], head(10))
    world.chain.known = False
    world.node.answers = []
    await world.submitter.follow(head(11), unhealthy)

    assert world.accounts() == []
    assert await world.submitter.submit([plans(4)], head(11)) != []
    assert world.accounts() == accounts(4)


async def test_a_type_that_no_node_knows_halts_signing_and_frees_everybody():
    """Nothing of ours would be taken: the reason is told, and tried again after a while."""
    world = Picky()
    world.node.answers = [refused("transaction type not supported")] * 3
    with pytest.raises(NotBroadcast, match="every endpoint refuses our transactions for good"):
        await world.submitter.submit([plans(2), batch(plan(5))], head(10))
    with pytest.raises(NotBroadcast, match="transaction type not supported"):
        await world.submitter.submit([batch(plan(6))], head(11))

    assert world.accounts() == []
    assert "transaction type not supported" in world.submitter.hindrance
    assert len(world.book) == 2


async def test_a_bump_that_is_refused_for_good_leaves_what_was_taken_and_is_not_repeated():
    """Geth's fee cap: the first bytes are in its pool, and a dearer bid is none."""
    world = Picky()
    await world.submitter.submit([batch()], head(10))
    first = world.book[0].newest.raw
    cap = refused("tx fee (0.02 ether) exceeds the configured cap (0.01 ether)")
    world.node.answers = [cap]
    await world.submitter.follow(head(12), unhealthy)
    for number in range(13, 20):
        world.node.answers = [cap]
        await world.submitter.follow(head(number), unhealthy)

    assert [kind for kind, _ in world.kinds(0)] == [AttemptKind.SEND, AttemptKind.BUMP]
    assert world.node.sent.count(first) == 1 + 8
    assert world.accounts() == accounts(1)


@pytest.mark.io
async def test_a_released_account_may_be_bound_again_and_a_restart_knows_it(tmp_path):
    """The real journal: an intent that is open would refuse the next one."""
    world = Picky()
    sender = world.submitter.signer.address
    world.journal = Journal.open(tmp_path / "j.sqlite", chain_id=31337, sender=sender)
    world.submitter = world.restarted()
    world.node.answers = [refused(TOO_MUCH)]
    await world.submitter.submit([plans(4)], head(10))
    world.submitter = world.restarted()
    await world.submitter.reconcile(head(11))
    found = await world.journal.open_submissions()
    world.journal.close()

    assert [len(one.accounts) for one in found] == [0, 2, 2]
    assert found[0].is_released
    assert world.accounts() == accounts(4)


async def test_a_refused_transaction_that_is_mined_after_all_is_booked_as_ours(tmp_path):
    """A node lied about refusing it; the nonce is explained, and what it did counts."""
    world = Picky()
    world.node.answers = [refused(TOO_MUCH)]
    await world.submitter.submit([plans(2)], head(10))
    world.chain.mine(world.book[0].attempts[0], 11)
    await world.submitter.follow(head(11), unhealthy)

    assert world.journal.kept[0].state is NonceState.INCLUDED
    assert world.journal.kept[0].inclusion.hash == world.book[0].attempts[0].hash


async def test_an_account_that_is_refused_alone_is_found_and_left_alone():
    """By halves: the eleven others are sent at the same head."""
    world = Picky()

    async def picky(raw):
        world.diary.append(("send", raw))
        sent = next(
            attempt for one in world.book.values() for attempt in one.attempts
            if attempt.raw == raw
        )  # fmt: skip
        owner = world.book[sent.nonce]
        if sent.kind is AttemptKind.SEND and (MARKET, account(2)) in owner.accounts:
            raise refused("intrinsic gas too low")
        return "0x"

    world.node.send_raw = picky
    taken = await world.submitter.submit([plans(4)], head(10))

    assert world.accounts() == [account(0), account(1), account(3)]
    assert sorted(len(one.plans) for one in taken) == [1, 2]


HASH = "0x" + "12" * 32


async def known_over(*handlers):
    made = [ScriptedNode() for _ in handlers]
    for node, handler in zip(made, handlers, strict=True):
        node.handlers["eth_getTransactionByHash"] = handler
    async with nodes(*made), connect([one.http for one in made], chain_id=1) as reader:
        await until(lambda: all(one.asked["eth_chainId"] for one in made))
        return await Quorum(reader).is_known(HASH)


def refuse(_):
    raise Refusal("no such method", -32601)


def silent(_):
    raise Silence


@pytest.mark.io
@pytest.mark.parametrize(
    ("handlers", "known"),
    [
        ([lambda _: None], False),
        ([lambda _: None, lambda _: None], False),
        ([lambda _: {"hash": HASH}], True),
        ([lambda _: None, lambda _: {"hash": HASH}], True),
        ([lambda _: None, refuse], None),
        ([lambda _: None, silent], None),
    ],
)
async def test_all_endpoints_have_to_say_that_they_do_not_have_it(handlers, known):
    """One that is silent proves nothing."""
    assert await known_over(*handlers) is known


@pytest.mark.io
async def test_an_only_endpoint_that_does_not_say_leaves_it_open():
    """There is nobody else to ask."""
    with pytest.raises(RpcRefused):
        await known_over(refuse)
