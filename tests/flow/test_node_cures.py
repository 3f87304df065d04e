"""The node and the stage of cures: who is cured is not liquidated, and trouble stays there."""

import pytest

from keeper.domain.errors import JournalError, RpcMalformed
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
    node, _ = a_node(ScriptedHeads(1), book, submitter, cures=ScriptedCures(needs=needs))

    await node.run(blocks=1)

    assert submitter.followed[0] == (1, needs)
