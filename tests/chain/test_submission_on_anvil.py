"""The submitter against a real node: nonces sent, replaced, mined, cancelled, final."""

from keeper.domain.submission import AttemptKind
from tests.chain.submission_world import far, node, place

__all__ = ["node", "place"]


async def test_two_nonces_are_sent_replaced_mined_and_final(place):
    """The node with the mempools' own replacement rule takes every step of ours."""
    submitter, reader, events = place.submitter, place.reader, place.events
    await submitter.submit([far(0), far(1)], await reader.head())
    await submitter.bump(0)
    await place.mined()
    landed = [one for one in events if one["event"] == "included"]
    await place.mined(2)
    assert place.told("final") == []  # the depth is reached, the node's word is not
    await place.mined(80)

    assert [one["result"] for one in events if one["event"] == "attempt"] == ["accepted"] * 3
    assert [(one["nonce"], one["kind"]) for one in landed] == [(0, "bump"), (1, "send")]
    assert [one["nonce"] for one in events if one["event"] == "final"] == [0, 1]
    assert await reader.transaction_count(submitter.signer.address) == 2
    assert submitter.tracker.book == {}


async def test_a_cured_account_costs_a_transfer_of_nothing(place):
    """21,000 gas instead of a liquidation that the executor would undo."""
    await place.submitter.submit([far()], await place.reader.head())
    await place.follow(healthy=True)
    await place.mined()

    (included,) = [one for one in place.events if one["event"] == "included"]
    assert (included["kind"], included["gas_used"]) == (str(AttemptKind.CANCEL), "21000")
    assert place.submitter.in_flight() == frozenset()
