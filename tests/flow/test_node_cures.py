"""The node and the stage of cures: who is cured is not liquidated, and trouble stays there."""

import pytest

from keeper.domain.errors import JournalError, RpcMalformed
from keeper.domain.restraint import Restraint
from keeper.pipeline import Decided
from tests.flow.test_node import (
    ALICE,
    RecordingSubmitter,
    ScriptedBook,
    ScriptedHeads,
    a_batch,
    a_node,
    an_account,
)


class ScriptedCures:
    def __init__(self, made=(), *, needs=False, error=None):
        self._made, self._needs, self._error = list(made), needs, error
        self.standings = []

    async def batches(self, head, snapshots, in_flight, standing_of):
        self.standings.append(standing_of(("m:1", ALICE)))
        if self._error:
            raise self._error
        return self._made

    def still_needs(self, health):
        return self._needs


async def test_who_is_cured_is_not_liquidated_in_the_same_block():
    """The cure goes first; the pipeline takes the account for one that is looked after."""
    seen, cure = [], a_batch()

    async def decides(head, snapshots, in_flight, **_):
        seen.append(in_flight)
        return Decided(head=head)

    submitter = RecordingSubmitter()
    cures = ScriptedCures([cure])
    node, _ = a_node(
        ScriptedHeads(1),
        ScriptedBook({}),
        submitter,
        decides,
        cures=cures,
        standing_of=lambda _: ("urgent", 7),
    )

    await node.run(blocks=1)

    assert seen == [frozenset({("m:1", ALICE)})]
    assert submitter.submitted == [(1, [cure])]
    assert cures.standings == [("urgent", 7)]


@pytest.mark.parametrize("error", [RpcMalformed("no vault"), JournalError("no disk")])
async def test_a_cure_that_cannot_be_made_costs_no_liquidation(error):
    """The block is decided and sent all the same."""
    batch = a_batch()

    async def decides(head, snapshots, in_flight, **_):
        return Decided(head=head, batches=[batch])

    submitter = RecordingSubmitter()
    node, events = a_node(
        ScriptedHeads(1), ScriptedBook({}), submitter, decides, cures=ScriptedCures(error=error)
    )

    await node.run(blocks=1)

    assert submitter.submitted == [(1, [batch])]
    assert [one["event"] for one in events] == ["block"]


@pytest.mark.parametrize("needs", [True, False])
async def test_a_cure_on_its_way_is_kept_while_it_is_one(needs):
    """The account is not liquidatable: whether its cure is still wanted is the stage's to say."""
    flying = frozenset({("m:1", ALICE)})
    submitter = RecordingSubmitter(flights=[flying, flying])
    book = ScriptedBook({1: [an_account(liquidatable=False)]})
    cures = ScriptedCures(needs=needs)
    node, _ = a_node(ScriptedHeads(1), book, submitter, cures=cures, drain_seconds=0)

    await node.run(blocks=1)

    assert submitter.followed[0] == (1, needs)


class ScriptedClears:
    def __init__(self, made=(), *, error=None):
        self._made, self._error, self.asked = list(made), error, []

    async def batches(self, head, snapshots, decisions, restraint):
        self.asked.append(decisions if decisions is None else [one.reason for one in decisions])
        if self._error:
            raise self._error
        return self._made


class ScriptedCalls:
    """Grants a subsidy, and writes down what is set aside and taken back."""

    def __init__(self, subject):
        self.subject, self.set_aside, self.taken_back = subject, [], []

    async def restraint(self, head, snapshots):
        return Restraint(subsidies={self.subject: 500})

    def basis(self, head):
        return None

    async def acting(self, head, snapshots, subjects, losses):
        self.set_aside.append(dict(losses))

    async def released(self, subjects, head):
        self.taken_back += subjects

    async def told(self, head, snapshots):
        pass


def clearing_node(clears, submitter, **more):
    (plan,) = a_batch().plans
    calls = ScriptedCalls((plan.market, plan.account))
    node, events = a_node(
        ScriptedHeads(1), ScriptedBook({}), submitter, clears=clears, calls=calls, **more
    )
    return node, events, calls


async def test_what_the_vault_clears_is_sent_and_its_subsidy_set_aside():
    """It is asked for after the pipeline; the grant is booked before anything is sent."""
    batch, submitter = a_batch(), RecordingSubmitter()
    clears = ScriptedClears([batch])
    node, _, calls = clearing_node(clears, submitter)

    await node.run(blocks=1)

    assert clears.asked == [["dust"]]
    assert submitter.submitted == [(1, [batch])]
    assert calls.set_aside == [{calls.subject: 500}]
    assert calls.taken_back == []


async def test_clearing_that_fails_costs_no_decision():
    """The block is told and recorded all the same, and nothing is set aside."""
    submitter = RecordingSubmitter()
    node, events, calls = clearing_node(ScriptedClears(error=RpcMalformed("no vault")), submitter)

    await node.run(blocks=1)

    assert submitter.submitted == []
    assert calls.set_aside == [{}]
    assert [one["event"] for one in events] == ["decision", "block"]
