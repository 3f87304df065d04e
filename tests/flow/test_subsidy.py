"""The day's subsidy on a real database file: what was lost stays lost, over a restart too."""

from dataclasses import replace

import pytest

from keeper.domain.submission import Attempt, AttemptKind, Fees, Submission
from keeper.margin.restraint import subsidy_left
from keeper.margin.settings import DAY, GUARDIAN
from keeper.storage import submissions
from tests.flow.test_margin_calls import World, a_head
from tests.support.scripted_submission import EXECUTOR, batch, plan
from tests.unit.margin.story import MARKET, START, USD, someone

ME, OTHER = (MARKET, someone(1)), (MARKET, someone(2))
BUDGET = GUARDIAN.subsidy.per_day_usd_e8


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path / "keeper.sqlite", GUARDIAN)
    await made.reopened()
    yield made
    made.database.close()


def left(world, now=START):
    """Return what is left of the budget: what is set aside of it is in the stage's state."""
    return subsidy_left(world.calls.settings, world.calls.state, now)


async def set_aside(world, head, losses):
    """Keep what may be lost at a block, as the node does before it sends anything."""
    await world.calls.acting(head, [world.snapshot], [], losses)


async def signed(world, nonce, *subjects):
    """Put on file, as the submitter does, that these were signed at the newest block."""
    attempt = Attempt(
        nonce=nonce,
        kind=AttemptKind.SEND,
        hash=f"0x{nonce:064x}",
        raw=b"\x01",
        fees=Fees(max_fee=1, priority_fee=1),
        gas_limit=1,
        to=EXECUTOR,
        calldata=b"",
        block_number=world.number,
    )
    plans = [replace(plan(), market=market, account=account) for market, account in subjects]
    one = Submission(nonce=nonce, batch=batch(*plans), attempts=(attempt,))
    await world.database.write(submissions.record, [one], 1, 0)


@pytest.mark.slow
async def test_what_was_sent_stays_set_aside_over_a_restart_and_what_was_not_comes_back(world):
    """A process that dies between setting aside and signing has spent nothing."""
    await world.block(2_000)
    await set_aside(world, a_head(world.number), {ME: 20 * USD, OTHER: 30 * USD})
    assert left(world) == BUDGET - 50 * USD
    await signed(world, 0, ME)

    await world.reopened()
    assert left(world) == BUDGET - 20 * USD
    await world.reopened()
    assert left(world) == BUDGET - 20 * USD


@pytest.mark.slow
async def test_it_is_the_same_before_the_news_of_the_block_is_kept(world):
    """Who is acted on is kept first: the process may die with the rest of its block unknown."""
    await world.block(2_000)
    world.number += 1
    await set_aside(world, a_head(world.number), {ME: 20 * USD, OTHER: 30 * USD})
    await signed(world, 0, ME)

    await world.reopened()
    assert left(world) == BUDGET - 20 * USD


@pytest.mark.slow
async def test_what_was_set_aside_in_earlier_blocks_is_not_doubted(world):
    """Its transaction may be of a bundle of blocks ago; what was not sent was taken back then."""
    await world.block(2_000)
    await set_aside(world, a_head(world.number), {ME: 20 * USD})
    await world.block(2_000)
    await world.reopened()

    assert left(world) == BUDGET - 20 * USD


async def test_a_second_loss_on_an_account_does_not_make_the_first_forgotten(world):
    """An account that is cleared in two parts costs the day both; the day after, neither."""
    for nonce in range(2):
        await world.block(2_000)
        await set_aside(world, a_head(world.number), {ME: 20 * USD})
        await signed(world, nonce, OTHER if nonce else ME)
    assert left(world) == BUDGET - 40 * USD

    await world.calls.released([ME], a_head(world.number))
    assert left(world) == BUDGET - 20 * USD
    assert left(world, START + 2 * DAY) == BUDGET


@pytest.mark.slow
async def test_blocks_of_one_timestamp_are_blocks_of_their_own(world):
    """Chains with several blocks a second: what an earlier one sent is neither doubted nor lost."""
    await world.block(2_000)
    first = a_head(world.number)
    await set_aside(world, first, {ME: 20 * USD})
    await world.block(2_000)
    same = replace(a_head(world.number), timestamp=first.timestamp)
    await set_aside(world, same, {ME: 20 * USD, OTHER: 10 * USD})
    assert left(world) == BUDGET - 50 * USD

    await world.calls.released([OTHER], same)
    await signed(world, 0, ME)
    await world.reopened()
    assert left(world) == BUDGET - 40 * USD


@pytest.mark.slow
async def test_what_a_block_sets_aside_twice_counts_once(world):
    """The same block may be decided about again."""
    await world.block(2_000)
    for most in (20, 15):
        await set_aside(world, a_head(world.number), {ME: most * USD})

    assert left(world) == BUDGET - 15 * USD
