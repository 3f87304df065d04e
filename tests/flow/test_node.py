"""The node over scripted ports: what it does when a block, a market or a send goes wrong."""

import asyncio
import contextlib
from dataclasses import replace
from types import SimpleNamespace

import pytest

from keeper.domain.account import AccountHealth
from keeper.domain.decision import Liquidate, Skip, SkipReason
from keeper.domain.errors import (
    ForeignKeyUse,
    JournalError,
    KeeperError,
    NotBroadcast,
    OutcomeUnknown,
    RpcUnavailable,
    SnapshotReorged,
)
from keeper.domain.head import Head
from keeper.domain.restraint import FREE
from keeper.node import Node
from keeper.pipeline import Decided

ALICE = "0x00000000000000000000000000000000000A11cE"


def a_head(number):
    return Head(
        number=number,
        hash=f"0x{number:064x}",
        parent_hash=f"0x{number - 1:064x}",
        timestamp=12 * number,
        base_fee=1,
        gas_limit=30_000_000,
        gas_used=0,
    )


def an_account(*, liquidatable=True):
    return AccountHealth(
        market="m:1",
        account=ALICE,
        health_factor=1,
        collateral_base=1,
        debt_base=1,
        liquidatable=liquidatable,
    )


class ScriptedHeads:
    def __init__(self, *numbers):
        self._numbers = numbers

    async def heads(self):
        for number in self._numbers:
            yield a_head(number)
            for _ in range(200):  # turns of the loop, so that no pause of the machine counts
                await asyncio.sleep(0)
        await asyncio.Event().wait()


class ScriptedBook:
    def __init__(self, by_block, quarantined=None):
        self._by_block = by_block
        self.quarantined = quarantined or {}

    async def advance(self, head):
        answer = self._by_block.get(head.number, [an_account()])
        if isinstance(answer, Exception):
            raise answer
        by_account = {one.account: one for one in answer}
        return [
            SimpleNamespace(
                market="m:1",
                head=head,
                warnings=(),
                accounts=lambda: answer,
                account=by_account.get,
            )
        ]


class RecordingSubmitter:
    def __init__(self, error=None, flights=(), takes=None, follow_error=None):
        self.submitted, self.followed, self._error = [], [], error
        self._follow_error = follow_error
        self._takes, self.news = takes, []
        self._flights = list(flights)

    def in_flight(self):
        return self._flights[0] if self._flights else frozenset()

    async def submit(self, batches, head, *, news=None):
        if self._error:
            raise self._error
        self.submitted.append((head.number, batches))
        self.news.append(news)
        return batches[: self._takes]

    async def follow(self, head, still_unhealthy):
        self.followed.append((head.number, still_unhealthy("m:1", ALICE)))
        if self._follow_error:
            raise self._follow_error
        self._flights = self._flights[1:]


class ListLog(list):
    async def record(self, head, decisions, health, given=None):
        self.append((head.number, [one.reason for one in decisions if isinstance(one, Skip)]))


def a_plan():
    funding = SimpleNamespace(name="flash")
    route = SimpleNamespace(pools=())
    return SimpleNamespace(
        market="m:1", account=ALICE, net_profit=5, health_factor=1, spend_token="0xd", spend=1,
        receive_token="0xc", receive=2, route=route, funding=funding, gross_profit=1, bad_debt=0,
    )  # fmt: skip


def a_batch():
    return SimpleNamespace(plans=(a_plan(),))


def a_node(heads, book, submitter=None, decide=None, **more):
    events = []

    async def skips(head, snapshots, in_flight, *, restraint):
        return Decided(
            head=head, decisions=[Skip(market="m:1", account=ALICE, reason=SkipReason.DUST)]
        )

    node = Node(
        heads=heads,
        book=book,
        decide=decide or skips,
        submitter=submitter or RecordingSubmitter(),
        decisions=ListLog(),
        emit=events.append,
        **more,
    )
    return node, events


async def test_a_reorged_block_costs_one_block_and_not_the_keeper():
    """The block is skipped, the next one acted on, and only handled blocks are counted."""
    node, events = a_node(ScriptedHeads(1, 2, 3), ScriptedBook({1: SnapshotReorged("gone")}))

    await node.run(blocks=2)

    assert [one["block_number"] for one in events if one["event"] == "block"] == [2, 3]


async def test_a_reason_is_told_once_and_recorded_every_time():
    """Permanent dust must not fill the operator's screen."""
    node, events = a_node(ScriptedHeads(1, 2, 3), ScriptedBook({}))

    await node.run(blocks=3)

    assert [one["reason"] for one in events if one["event"] == "decision"] == ["dust"]
    assert [number for number, _ in node.decisions] == [1, 2, 3]


async def test_a_plan_that_never_left_is_told_as_a_skip():
    """The record must not say that something was sent which was not."""

    async def plans(head, snapshots, in_flight, *, restraint):
        return Decided(head=head, decisions=[Liquidate(plan=a_plan())], batches=[a_batch()])

    node, events = a_node(
        ScriptedHeads(1), ScriptedBook({}), RecordingSubmitter(NotBroadcast("no fee fits")), plans
    )

    await node.run(blocks=1)

    told = [one for one in events if one["event"] == "decision"]
    assert [(one["action"], one["reason"]) for one in told] == [("skip", "not_sent")]


async def test_what_is_refused_block_after_block_does_not_hide_what_was_included():
    """A plan that no fee fits stays: a reorg of what was sent before must be seen anyway."""

    async def plans(head, snapshots, in_flight, *, restraint):
        return Decided(head=head, decisions=[Liquidate(plan=a_plan())], batches=[a_batch()])

    submitter = RecordingSubmitter(NotBroadcast("no fee fits"))
    node, _ = a_node(ScriptedHeads(1, 2), ScriptedBook({}), submitter, plans)

    await node.run(blocks=2)

    assert [number for number, _ in submitter.followed] == [1, 2]


async def test_a_batch_that_was_not_taken_is_told_as_a_skip():
    """Of two batches one may be too expensive by now; only the other was sent."""

    async def plans(head, snapshots, in_flight, *, restraint):
        return Decided(head=head, decisions=[Liquidate(plan=a_plan())], batches=[a_batch()])

    node, events = a_node(ScriptedHeads(1), ScriptedBook({}), RecordingSubmitter(takes=0), plans)

    await node.run(blocks=1)

    told = [one for one in events if one["event"] == "decision"]
    assert [(one["action"], one["reason"]) for one in told] == [("skip", "not_sent")]


async def test_an_account_that_cannot_be_read_is_not_taken_for_cured():
    """A market in quarantine must not have its transactions cancelled."""
    flights = [frozenset({("m:1", ALICE)})]
    unpriced = replace(an_account(liquidatable=False), unpriced="source reverts")
    submitters = [RecordingSubmitter(flights=flights) for _ in range(2)]
    books = [ScriptedBook({1: [unpriced]}), ScriptedBook({1: []})]

    for submitter, book in zip(submitters, books, strict=True):
        await a_node(ScriptedHeads(1), book, submitter)[0].run(blocks=1)

    assert [one.followed for one in submitters] == [[(1, True)], [(1, False)]]


async def test_no_journal_no_signing_and_a_bounded_run_says_so():
    """Nothing may be signed that cannot be recorded; what was decided is told all the same."""

    async def plans(head, snapshots, in_flight, *, restraint):
        return Decided(head=head, decisions=[Liquidate(plan=a_plan())], batches=[a_batch()])

    node, events = a_node(
        ScriptedHeads(1), ScriptedBook({}), RecordingSubmitter(JournalError("disk full")), plans
    )

    with pytest.raises(JournalError, match="disk full"):
        await node.run(blocks=1)
    assert [(one["event"], one.get("reason")) for one in events] == [
        ("decision", "not_sent"),
        ("block", None),
    ]


async def test_a_journal_that_fails_does_not_end_the_watching():
    """G30: signing is off, and health is read and told at the next block as ever."""
    flights = [frozenset({("m:1", ALICE)})] * 9
    broken = RecordingSubmitter(flights=flights, follow_error=JournalError("disk full"))
    node, events = a_node(ScriptedHeads(1, 2, 3), ScriptedBook({}), broken, drain_seconds=0)

    with pytest.raises(JournalError, match="disk full"):
        await node.run(blocks=3)

    assert [one["block_number"] for one in events if one["event"] == "block"] == [1, 2, 3]


async def test_a_bounded_run_sees_through_what_it_sent():
    """`--once` ends when the receipt is there, not when the bytes have left."""
    submitter = RecordingSubmitter(flights=[frozenset({("m:1", ALICE)})] * 2)
    node, _ = a_node(ScriptedHeads(1, 2, 3, 4), ScriptedBook({}), submitter)

    await node.run(blocks=1)

    assert [number for number, _ in submitter.followed] == [1, 2]


async def test_a_quarantined_market_is_told_once():
    """One market that cannot be read is an event, not a flood and not an end."""
    node, events = a_node(ScriptedHeads(1, 2), ScriptedBook({}, {"m:2": "oracle reverts"}))

    await node.run(blocks=2)

    told = [one for one in events if one["event"] == "quarantine"]
    assert [(one["market"], one["reason"]) for one in told] == [("m:2", "oracle reverts")]


@pytest.mark.parametrize("error", [NotBroadcast("signer"), OutcomeUnknown("perhaps")])
async def test_a_follow_that_could_not_send_costs_nothing_else(error):
    """The nonces stay bound, the next head tries again, and the others are decided on."""
    flights = [frozenset({("m:1", ALICE)})]
    node, events = a_node(
        ScriptedHeads(1), ScriptedBook({}), RecordingSubmitter(flights=flights, follow_error=error),
        drain_seconds=0,
    )  # fmt: skip

    await node.run(blocks=1)

    assert [one["event"] for one in events] == ["decision", "block"]


async def test_a_key_that_others_use_ends_the_node():
    """Nothing is decided after it; a supervisor and the exit code say the rest."""
    flights = [frozenset({("m:1", ALICE)})]
    stolen = RecordingSubmitter(flights=flights, follow_error=ForeignKeyUse("stolen"))
    node, events = a_node(ScriptedHeads(1), ScriptedBook({}), stolen)

    with pytest.raises(KeeperError) as caught:
        await node.run()

    assert caught.value.exit_code == 5
    assert events == []


async def test_a_send_without_a_clear_outcome_is_not_told_as_a_skip():
    """It may be mined: the record must not say that it was not sent."""

    async def plans(head, snapshots, in_flight, *, restraint):
        return Decided(head=head, decisions=[Liquidate(plan=a_plan())], batches=[a_batch()])

    node, events = a_node(
        ScriptedHeads(1), ScriptedBook({}), RecordingSubmitter(OutcomeUnknown("lost")), plans
    )

    await node.run(blocks=1)

    assert [one["action"] for one in events if one["event"] == "decision"] == ["liquidate"]


async def test_what_is_in_flight_is_looked_after_while_no_block_comes():
    """A pool that dropped it on a quiet chain would never make a block with it."""
    submitter = RecordingSubmitter(flights=[frozenset({("m:1", ALICE)})] * 3)
    node, _ = a_node(
        ScriptedHeads(1), ScriptedBook({}), submitter, quiet_seconds=0.01, drain_seconds=5
    )

    await node.run(blocks=1)

    assert [number for number, _ in submitter.followed] == [1, 1, 1]


class ScriptedCalls:
    """Margin calls that say what the test wants, or fail."""

    def __init__(self, *, fails=None):
        self.fails, self.said = fails or {}, []

    async def _say(self, name):
        self.said.append(name)
        if name in self.fails:
            raise self.fails[name]

    async def restraint(self, head, snapshots):
        await self._say("restraint")
        return FREE

    def basis(self, head):
        return None

    async def acting(self, head, snapshots, subjects, losses):
        await self._say("acting")
        return f"of {head.number}: {sorted(subjects)}"

    async def told(self, head, snapshots):
        await self._say("told")


async def test_the_policy_is_asked_before_and_people_are_told_after_what_was_sent():
    """Nothing that acting does not need stands before it."""
    calls, order = ScriptedCalls(), []

    async def plans(head, snapshots, in_flight, *, restraint):
        order.append(list(calls.said))
        return Decided(head=head, decisions=[Liquidate(plan=a_plan())], batches=[a_batch()])

    submitter = RecordingSubmitter()
    node, _ = a_node(ScriptedHeads(1), ScriptedBook({}), submitter, plans, calls=calls)
    await node.run(blocks=1)

    assert order == [["restraint"]]
    assert calls.said == ["restraint", "acting", "told"]
    assert len(submitter.submitted) == 1
    assert submitter.news == [f"of 1: {[('m:1', ALICE)]}"]


@pytest.mark.parametrize("where", ["restraint", "acting"])
async def test_a_policy_that_cannot_be_kept_lets_nobody_act(where):
    """A grace that is not on the disk is none after a crash: nothing is sent, the rest goes on."""
    calls = ScriptedCalls(fails={where: JournalError("disk full")})

    async def plans(head, snapshots, in_flight, *, restraint):
        return Decided(head=head, decisions=[Liquidate(plan=a_plan())], batches=[a_batch()])

    submitter = RecordingSubmitter()
    node, events = a_node(ScriptedHeads(1, 2), ScriptedBook({}), submitter, plans, calls=calls)

    with pytest.raises(JournalError, match="disk full"):
        await node.run(blocks=2)

    assert submitter.submitted == []
    assert [one["block_number"] for one in events if one["event"] == "block"] == [1, 2]


@pytest.mark.parametrize("error", [RpcUnavailable("no answer"), JournalError("disk full")])
async def test_calls_that_are_late_cost_nothing_else(error):
    """The block is told and recorded; the next one brings the calls."""
    calls = ScriptedCalls(fails={"told": error})
    node, events = a_node(ScriptedHeads(1, 2), ScriptedBook({}), calls=calls)

    with contextlib.suppress(JournalError):
        await node.run(blocks=2)

    assert [one["block_number"] for one in events if one["event"] == "block"] == [1, 2]
    assert [number for number, _ in node.decisions] == [1, 2]
