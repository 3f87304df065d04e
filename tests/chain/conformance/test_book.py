"""Gaps, reorganisations and restarts: a followed market is the one that is read anew."""

import pytest

from tests.chain.conformance.books import advanced, fall, followed, state, unhealthy, window


def act(world, *, upto=None):
    """Send the world's actions, a block each."""
    for transactions in world.actions()[:upto]:
        for one in transactions:
            world.devnet.node.send(one)


async def same_as_new(book, reader, world):
    """Compare a followed book with one that was made from nothing."""
    ours = state(await advanced(book, reader))
    _, new = await followed(reader, world)
    assert ours == state(new)
    return ours


async def test_logs_alone_keep_the_book_exact(world, reader):
    """Block by block: repaid, pledged, borrowed, newly entered."""
    book, first = await followed(reader, world)
    seen = [state(first)]
    for transactions in world.actions():
        for one in transactions:
            world.devnet.node.send(one)
        seen.append(await same_as_new(book, reader, world))
    assert len({len(str(one)) for one in seen}) > 1


async def test_a_gap_is_caught_up(world, reader):
    """Blocks that were not looked at one by one."""
    book, _ = await followed(reader, world)
    act(world)
    world.devnet.pass_time(30 * 24 * 3_600)
    fall(world, 1)
    assert unhealthy(await advanced(book, reader))

    await same_as_new(book, reader, world)


@pytest.mark.parametrize("depth", [1, 3, 7])
async def test_a_reorganisation_is_followed(world, reader, depth):
    """What was done is undone, by empty blocks in its place; the same blocks were followed."""
    node = world.devnet.node
    book, _ = await followed(reader, world)
    for _ in range(2):
        node.rpc("evm_mine")
    for transactions in world.actions():
        for one in transactions:
            node.send(one)
        await advanced(book, reader)
    before = state(await advanced(book, reader))

    node.rpc("anvil_reorg", [depth, []])
    after = await same_as_new(book, reader, world)

    assert after != before


async def test_a_reorganisation_may_bring_other_changes(world, reader):
    """Blocks with one action are replaced by blocks with another."""
    node = world.devnet.node
    book, _ = await followed(reader, world)
    first, second, *_ = world.actions()
    for one in first:
        node.send(one)
    await advanced(book, reader)
    for _ in range(3):
        node.rpc("evm_mine")
        await advanced(book, reader)

    node.rpc("anvil_reorg", [len(first) + 3, []])
    for one in second:
        node.send(one)

    await same_as_new(book, reader, world)


async def test_a_liquidated_account_is_seen_by_the_book(world, reader):
    """Our own event is one more log."""
    book, _ = await followed(reader, world)
    fall(world, 1)
    found = unhealthy(await advanced(book, reader))
    done = 0
    for (_, account), taken in sorted(found.items(), key=lambda one: one[0])[:4]:
        for offer in taken.opportunities(account, window(taken))[0][:1]:
            if offer.partial is not None:
                world.liquidate(offer, offer.partial[1])
                done += 1
    assert done

    await same_as_new(book, reader, world)
