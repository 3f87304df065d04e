"""What a plan says is what the protocol's event says, wherever in the window it lands."""

import pytest

from keeper.domain.opportunity import Outcome, Window
from keeper.domain.units import UINT256_MAX
from tests.chain.conformance.books import advanced, fall, followed, unhealthy, window
from tests.support.undoing import undo

ACCOUNTS = 12
"""So many accounts are proven for each fall: the worst, the best, and others in between."""


def amounts(offer):
    """Return the amounts that are tried: everything, the ends of a part, and between."""
    yield UINT256_MAX
    if offer.partial is not None:
        low, high = offer.partial
        yield from (low, (low + high) // 2, high)


def some(found):
    """Return a few of many, spread over all of them."""
    step = max(1, len(found) // ACCOUNTS)
    return found[::step]


def landed(world, offer, amount, moment):
    """Do it at a timestamp, and undo it."""
    node = world.devnet.node
    kept = node.rpc("evm_snapshot")
    node.rpc("evm_setNextBlockTimestamp", [moment])
    done = world.liquidate(offer, amount)
    undo(node, kept)
    return done


def again(taken, offer, moment):
    """Return the same offer for a plan that can land no earlier than ``moment``."""
    later = Window(earliest=moment, deadline=window(taken).deadline)
    pair = (offer.spend_token, offer.receive_token)
    found, refusals = taken.opportunities(offer.account, later)
    same = [one for one in found if (one.spend_token, one.receive_token) == pair]
    assert len(same) == 1, refusals
    return same[0]


def proven(world, taken, offer, amount, moment):
    """Compare an outcome with the event; the exact figures are those of the landing time."""
    outcome = offer.outcome(amount)
    exact = again(taken, offer, moment).outcome(amount)
    done = landed(world, offer, amount, moment)
    assert isinstance(exact, Outcome)
    assert (done.spent, done.received, done.bad_debt) == (
        exact.spend,
        exact.receive,
        exact.bad_debt,
    )
    assert done.spent <= outcome.spend_at_most
    assert done.received >= outcome.receive_at_least
    if amount != UINT256_MAX:
        assert outcome.spend_at_most <= amount
    drawn = {key.token: units for key, units in outcome.drawn}
    assert moment != window(taken).earliest or drawn.get(offer.receive_token, 0) >= done.received


@pytest.mark.parametrize("step", [0, 1, 2], ids=("slightly", "clearly", "under_water"))
async def test_plans_equal_the_events(world, reader, step):
    """Every kind of amount, at the window's ends and in its middle, to the wei."""
    book, _ = await followed(reader, world)
    world.devnet.pass_time(60 * 24 * 3_600)
    fall(world, step)
    found = sorted(unhealthy(await advanced(book, reader)).items(), key=lambda one: one[0])
    tried, parts = 0, 0
    for (_, account), taken in some(found):
        span = window(taken)
        moments = (span.earliest, (span.earliest + span.deadline) // 2, span.deadline)
        offers, refusals = taken.opportunities(account, span)
        assert offers or refusals
        for offer in offers:
            for turn, amount in enumerate(amounts(offer)):
                if not isinstance(offer.outcome(amount), Outcome):
                    assert amount == UINT256_MAX
                    continue
                proven(world, taken, offer, amount, moments[(tried + turn) % len(moments)])
                tried += 1
                parts += amount != UINT256_MAX
    assert tried >= 4 * len(moments)
    assert parts >= tried // 2


async def test_offers_say_what_they_must(world, reader):
    """The bonus bound holds, parts are in order, nothing is drawn that is not there."""
    book, _ = await followed(reader, world)
    fall(world, 1)
    found = unhealthy(await advanced(book, reader))
    assert found
    for (market, account), taken in found.items():
        for offer in taken.opportunities(account, window(taken))[0]:
            assert (offer.market, offer.account) == (market, account)
            assert offer.gas > 0
            for amount in amounts(offer):
                bounded(taken, offer, amount)


def bounded(taken, offer, amount):
    outcome = offer.outcome(amount)
    if not isinstance(outcome, Outcome):
        return
    assert 0 < outcome.spend <= outcome.spend_at_most
    assert 0 < outcome.receive_at_least <= outcome.receive
    assert {key for key, _ in outcome.drawn} <= set(taken.liquidity)
    received, spent = taken.prices.get(offer.receive_token), taken.prices[offer.spend_token]
    if received is not None:
        worth = received.price * outcome.receive // 10**received.decimals
        cost = -(-spent.price * outcome.spend // 10**spent.decimals)
        assert worth - cost <= offer.bonus_at_most


async def test_nobody_healthy_gets_an_offer(world, reader):
    """Each refusal has its words."""
    _, snapshots = await followed(reader, world)
    for taken in snapshots:
        for health in taken.accounts():
            if not health.liquidatable and not health.unpriced:
                found, refusals = taken.opportunities(health.account, window(taken))
                assert not found
                assert all(refusal.detail for refusal in refusals)
