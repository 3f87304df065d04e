"""What is checked before a block's sends, and what may follow them."""

import asyncio
from types import SimpleNamespace

import pytest

from keeper.book.checking import Checking
from keeper.book.parity import Parity
from keeper.domain.decision import SkipReason
from keeper.domain.parity import Difference, ParityNews
from keeper.node import Node
from keeper.observe.stages import Unwatched
from keeper.pipeline import Decided
from keeper.stages.departing import Departures
from tests.flow.test_node import (
    ALICE,
    ListLog,
    RecordingSubmitter,
    ScriptedBook,
    ScriptedHeads,
    a_head,
    a_plan,
)
from tests.flow.test_parity import ASKED, Snapshot, people

NAMES = people(6)


class Screened(Snapshot):
    """A market that says who can be liquidated."""

    unhealthy = ()

    def liquidatable(self):
        return [SimpleNamespace(market=self.market, account=one) for one in self.unhealthy]


class Resyncing:
    """A market that notes who is to be read again."""

    key = "m:1"

    def __init__(self):
        self.again = []

    def resync(self, market, account):
        self.again.append(account)


class Hints:
    """Second looks that count the hints."""

    given = 0

    def hint(self):
        self.given += 1


def checking_of(parity):
    market = Resyncing()
    checking = Checking(
        followed=[SimpleNamespace(market=market)],
        trail=None,
        parity=parity,
        coverage=None,
        looks=Hints(),
        is_deferred=True,
    )
    return checking, market


def compared(parity, checking, snapshot):
    """Do a block's comparison, as far as it precedes the decisions."""
    questions = parity.questions()
    checking.compare(questions, [snapshot], [ASKED] * len(questions))


def screened(unhealthy=(), wrong=()):
    snapshot = Screened(names=NAMES, wrong=set(wrong))
    snapshot.unhealthy = unhealthy
    return snapshot


def is_refused(parity, snapshot, account):
    (guarded,) = parity.guarded([snapshot])
    return [one.reason for one in guarded.opportunities(account, None)[1]] == [SkipReason.PARITY]


@pytest.mark.parametrize("account", NAMES)
def test_who_can_be_liquidated_is_compared_before_anything_is_decided(account):
    """An account that differs is not acted upon in the very block that shows it."""
    parity = Parity()
    checking, market = checking_of(parity)
    compared(parity, checking, screened())
    checking.settle()
    snapshot = screened(unhealthy=(account,), wrong=NAMES)

    compared(parity, checking, snapshot)

    assert is_refused(parity, snapshot, account)
    assert market.again == [account]
    assert set(parity.doubted) == {("m:1", account)}


def test_the_others_are_compared_when_the_transactions_have_left():
    """Nothing is lost by it: each is compared once, read again, and in doubt from then on."""
    parity = Parity()
    checking, market = checking_of(parity)
    compared(parity, checking, screened())
    checking.settle()
    before = parity.checked
    compared(parity, checking, screened(unhealthy=("a0",), wrong={"a0", "a3"}))
    assert parity.checked == before + 1

    checking.settle()
    checking.settle()

    assert parity.checked == before + len(NAMES)
    assert market.again == ["a0", "a3"]
    assert checking.looks.given == 2
    assert set(parity.doubted) == {("m:1", "a0"), ("m:1", "a3")}


def test_who_is_in_doubt_is_compared_before_anything_is_decided():
    """A doubt ends, or goes on, by this block's answer and not by the one before."""
    parity = Parity()
    checking, _ = checking_of(parity)
    compared(parity, checking, screened())
    checking.settle()
    compared(parity, checking, screened(wrong={"a2"}))
    checking.settle()

    compared(parity, checking, screened())

    assert not parity.doubted


def test_a_market_that_does_not_say_who_can_be_liquidated_is_compared_at_once():
    """Anybody there may be acted upon."""
    parity = Parity()
    checking, market = checking_of(parity)
    snapshot = Snapshot(names=NAMES, wrong=set(NAMES))
    compared(parity, checking, snapshot)

    compared(parity, checking, snapshot)

    assert sorted(market.again) == sorted(NAMES)


class Settling(ScriptedBook):
    """A book that notes when it is asked for its deferred checks, and has news then only."""

    def __init__(self, order):
        super().__init__({})
        self._order, self._news = order, []

    def settle(self):
        self._order.append("settled")
        found = Difference(market="m:1", account=ALICE, what="debt", ours="1", theirs="2")
        self._news = [ParityNews(difference=found, agrees=False)]

    def parity_news(self):
        told, self._news = self._news, []
        return told


async def test_the_sends_do_not_wait_for_deferred_checks():
    """They follow what leaves, in the same block, and their news is told with it."""
    order, told = [], []

    class Submitter(RecordingSubmitter):
        async def submit(self, batches, head, *, news=None):
            order.append("sent")
            return await super().submit(batches, head, news=news)

    async def decide(head, snapshots, in_flight, *, restraint):
        batch = SimpleNamespace(plans=(SimpleNamespace(market="m:1", account=ALICE),))
        return Decided(head=head, batches=[batch])

    node = Node(
        heads=ScriptedHeads(1), book=Settling(order), decide=decide, submitter=Submitter(),
        decisions=ListLog(), emit=told.append, drain_seconds=0,
    )  # fmt: skip

    await node.run(blocks=1)

    assert order == ["sent", "settled"]
    assert [one["block_number"] for one in told if one["event"] == "parity"] == [1]


async def test_facts_are_prepared_while_the_simulation_is_awaited():
    """What the margin calls store with the nonces is worked out before the answer is there."""
    asked = []

    class Calls:
        async def prepare(self, head, snapshots, subjects):
            asked.append((head, snapshots, subjects))

    departures, plan = Departures(submitter=RecordingSubmitter()), a_plan()
    departures.begin(["snapshot"], [], Calls(), Unwatched())
    departures.prepare(a_head(1), [plan])
    await asyncio.sleep(0)

    assert asked == [(a_head(1), ["snapshot"], {("m:1", ALICE)})]


async def test_facts_of_the_last_block_are_not_prepared_in_the_next():
    """What is late is not worth having; an error of it concerns nobody."""
    ended = []

    class Calls:
        async def prepare(self, head, snapshots, subjects):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(head.number)

    departures = Departures(submitter=RecordingSubmitter())
    departures.begin([], [], Calls(), Unwatched())
    departures.prepare(a_head(1), [a_plan()])
    await asyncio.sleep(0)
    departures.begin([], [], None, Unwatched())
    await asyncio.sleep(0)

    assert ended == [1]
