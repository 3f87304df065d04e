"""Rivals in the pending block: outbid up to the policy's share, left alone beyond it."""

from dataclasses import replace

import pytest

from keeper.chain.pending_block import PendingTransaction
from keeper.domain.errors import RpcUnavailable
from keeper.domain.submission import AttemptKind
from keeper.domain.units import GWEI
from keeper.execution.rivals import Rivals, affordable_cost
from tests.support.scripted_submission import World, account, batch, head, plan

RIVAL = "0x" + "66" * 20


class Race:
    """A keeper with one transaction that waits, and what a node shows beside it."""

    def __init__(self, share_bps=2_500):
        self.world, self.shown, self.bumped = World(), [], []
        signer = self.world.submitter.signer
        self.rivals = Rivals(
            sender=signer.address,
            share_bps=share_bps,
            bound=self.world.submitter.tracker.bound,
            fetch=self.fetch,
            bump=self.bump,
        )

    async def fetch(self):
        if isinstance(self.shown, Exception):
            raise self.shown
        return self.shown

    async def bump(self, nonce, tip):
        self.bumped.append((nonce, tip))
        await self.world.submitter.bump(nonce, tip=tip)

    async def sent(self):
        await self.world.submitter.submit([batch(plan(0))], head(10))
        return self

    @property
    def bound(self):
        return self.world.book[0]


def shown(tip, who=0, sender=RIVAL):
    data = b"\x01" * 4 + bytes(12) + bytes.fromhex(account(who)[2:])
    return PendingTransaction(sender=sender, data=data, tip=tip)


async def test_a_rival_that_tips_more_is_outbid_in_the_same_block():
    """No head comes in between; whatever the market tips, the bid is above the rival's."""
    race = await Race().sent()
    race.shown = [shown(GWEI), shown(5 * GWEI)]

    await race.rivals.look()
    await race.rivals.look()

    assert race.bumped == [(0, 5 * GWEI * 9 // 8)]
    newest = race.bound.newest
    assert newest.fees.priority_fee == 5 * GWEI * 9 // 8
    assert race.world.node.sent[-1] == newest.raw


@pytest.mark.parametrize(
    "other",
    [shown(50 * GWEI, who=7), shown(5 * GWEI, sender=""), shown(GWEI)],
    ids=["another account", "our own", "a lower tip"],
)
async def test_who_is_no_rival_is_not_answered(other):
    """Another account, our own transaction, or one that comes after ours anyway."""
    race = await Race().sent()
    own = race.world.submitter.signer.address.lower()
    race.shown = [other if other.sender else replace(other, sender=own)]

    await race.rivals.look()

    assert race.bumped == []


async def test_beyond_the_share_a_rival_is_left_to_win(caplog):
    """What a stranger shows must not make us pay the profit away; it is told once."""
    race = await Race(share_bps=100).sent()
    most = affordable_cost(race.bound, 100) // race.bound.batch.plans[0].gas
    first = race.bound.attempts[0].fees.priority_fee
    race.shown = [shown(first + most)]

    await race.rivals.look()
    await race.rivals.look()

    assert affordable_cost(race.bound, 100) == race.bound.batch.plans[0].net_profit // 100
    assert race.bumped == []
    assert caplog.text.count("rival_not_outbid") == 1


async def test_what_waits_before_the_contested_one_is_raised_with_it():
    """A nonce is not mined before the ones below it, whatever it tips itself."""
    race = Race()
    await race.world.submitter.submit([batch(plan(index)) for index in range(3)], head(10))
    race.shown = [shown(5 * GWEI, who=1)]

    await race.rivals.look()

    wanted = 5 * GWEI * 9 // 8
    assert race.bumped == [(0, wanted), (1, wanted)]
    tips = [one.newest.fees.priority_fee for one in race.world.submitter.tracker.bound()]
    assert tips[:2] == [wanted, wanted]
    assert tips[2] < wanted


async def test_a_node_that_shows_nothing_or_fails_costs_nothing():
    """And where nothing waits nobody is asked."""
    race = Race()
    race.shown = RuntimeError("asked for nothing")
    await race.rivals.look()
    await race.sent()

    race.shown = None
    await race.rivals.look()
    race.shown = RpcUnavailable("gone")
    await race.rivals.look()

    assert race.bumped == []


async def test_nothing_is_bid_up_on_a_block_that_is_not_to_be_acted_on():
    """A node whose chain is old, or took back what was final, is no ground for a higher bid."""
    race = await Race().sent()
    race.shown = [shown(5 * GWEI)]
    race.world.submitter.tracker.untimely = lambda _: "too old"

    await race.rivals.look()

    assert [one.kind for one in race.bound.attempts] == [AttemptKind.SEND]
