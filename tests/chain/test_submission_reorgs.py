"""F15: blocks that had our transactions are taken back, by one and by sixty-four."""

import pytest

from keeper.domain.errors import NotBroadcast
from tests.chain.submission_world import far, node, place

__all__ = ["node", "place"]

EVENTS = ("included", "final", "reopened")


async def buried(place, depth):
    """Send, have it mined, and put blocks on top: a reorg of ``depth`` takes it back."""
    place.node.rpc("anvil_mine", [hex(64)])
    await place.submitter.submit([far()], await place.reader.head())
    await place.mined()
    for _ in range(min(depth - 1, 3)):
        await place.mined()
    if depth > 4:
        await place.mined(depth - 4)


def without_the_tag(place):
    """Have the node know no finalized block: only the depth of two says what is final."""

    async def refuse(request):
        if request.get("method") == "eth_getBlockByNumber" and request["params"][0] == "finalized":
            error = {"code": -32602, "message": "unknown block tag"}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        return None

    place.proxy.hooks.append(refuse)


@pytest.mark.parametrize("depth", [1, 2, 7, 32, 64])
async def test_f15_a_reorg_reopens_what_it_took_back_and_it_is_mined_again(place, depth):
    """However deep: the finalized block has not buried it, so it is not forgotten."""
    await buried(place, depth)
    place.reorg(depth)
    await place.follow()
    reopened = place.states()
    await place.mined()

    assert reopened == "bound"
    assert place.told(*EVENTS) == ["included", "reopened", "included"]
    hashes = [one["hash"] for one in place.events if one["event"] in EVENTS]
    assert hashes[0] == hashes[1]
    assert await place.reader.transaction_count(place.submitter.signer.address) == 1


@pytest.mark.parametrize("depth", [3, 7, 32])
async def test_f15_where_only_the_depth_tells_a_deeper_reorg_reopens_what_was_final(place, depth):
    """Depth is a guess. What it called final is looked at again, and sent again."""
    without_the_tag(place)
    await buried(place, depth)
    final = place.states()
    place.reorg(depth)
    await place.follow()
    await place.submitter.submit([far(1)], await place.reader.head())
    await place.mined()

    assert final == "final"
    assert place.told(*EVENTS) == ["included", "final", "reopened", "included", "included"]
    assert [place.states(nonce) for nonce in (0, 1)] == ["included", "included"]


async def test_f15_two_reorgs_in_a_row_without_a_new_block(place):
    """The second finds nothing that the first had not taken back, and breaks nothing."""
    await buried(place, 2)
    for _ in range(2):
        place.reorg(2)
        await place.follow()
    await place.mined()
    place.reorg(3)
    await place.follow()
    await place.mined()

    assert place.told(*EVENTS) == ["included", "reopened"] * 2 + ["included"]
    assert await place.reader.transaction_count(place.submitter.signer.address) == 1


async def test_f15_a_reorg_that_nobody_watched_is_seen_by_the_next_process(place):
    """The keeper was down; its journal has a block that is no more."""
    await buried(place, 7)
    place.reorg(7)
    await place.restarted()
    await place.mined()

    assert place.told(*EVENTS) == ["included", "reopened", "included"]
    assert place.states() == "included"


async def test_f15_another_attempt_is_mined_after_the_reorg_and_the_books_are_restated(place):
    """The first bytes were booked; the dearer ones are what the chain has in the end."""
    await place.submitter.submit([far()], await place.reader.head())
    first = place.submitter.tracker.book[0].newest
    await place.mined()
    place.reorg(1)
    await place.follow()
    await place.submitter.bump(0)
    second = place.submitter.tracker.book[0].newest
    await place.mined()

    told = [(one["event"], one["hash"]) for one in place.events if one["event"] in EVENTS]
    assert told == [
        ("included", first.hash),
        ("reopened", first.hash),
        ("included", second.hash),
    ]


async def test_f15_the_same_transaction_in_another_block_is_booked_anew(place):
    """Mined again before anybody looked: taken back and booked in one look, in its new block."""
    await place.submitter.submit([far()], await place.reader.head())
    raw = place.submitter.tracker.book[0].newest.raw
    await place.mined()
    place.node.rpc("anvil_reorg", [1, [["0x" + raw.hex(), 0]]])
    await place.follow()

    blocks = [(one["event"], one["block_hash"]) for one in place.events if one["event"] in EVENTS]
    assert [name for name, _ in blocks] == ["included", "reopened", "included"]
    assert blocks[0][1] == blocks[1][1] != blocks[2][1]


async def test_c10_a_reorg_below_the_finalized_block_is_said_held_and_explained(place):
    """116 blocks are taken back, and with them what was final: at the very next head."""
    place.node.rpc("anvil_mine", [hex(64)])
    await place.submitter.submit([far()], await place.reader.head())
    for blocks in (1, 70, 10):
        await place.mined(blocks)
    final, events = place.states(), len(place.events)
    place.reorg(116)
    await place.follow()
    said = [one["event"] for one in place.events[events:]]
    with pytest.raises(NotBroadcast, match="was final, and is not the chain's any more"):
        await place.submitter.submit([far(1)], await place.reader.head())
    reopened = place.states()
    await place.submitter.reset("finality")
    await place.mined()
    await place.submitter.submit([far(1)], await place.reader.head())
    await place.mined()

    assert (final, reopened) == ("final", "bound")
    assert said == ["reopened", "finality"]
    assert [place.states(nonce) for nonce in (0, 1)] == ["included", "included"]
    assert place.told("final", "included") == ["included", "final", "included", "included"]
