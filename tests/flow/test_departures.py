"""Portions of a head's transactions on their way out: order, losses, news, failures."""

from dataclasses import dataclass, field

import pytest

from keeper.domain.decision import Liquidate, SkipReason
from keeper.domain.errors import JournalError, NotBroadcast, OutcomeUnknown
from keeper.domain.plan import News
from keeper.observe.stages import Stage
from keeper.stages.departing import Departures
from tests.flow.scripted_market import HEAD, MARKET, Desk, ScriptedSnapshot, account, pair


@dataclass
class Sender:
    """A submitter that notes what it was given; ``answers`` are what it does, in turn."""

    answers: list = field(default_factory=list)
    given: list = field(default_factory=list)

    def in_flight(self):
        return frozenset()

    async def submit(self, batches, head, *, news=None):
        self.given.append(([who_of(batch) for batch in batches], news))
        answer = self.answers.pop(0) if self.answers else list
        if isinstance(answer, Exception):
            raise answer
        return answer(batches)

    async def follow(self, head, still_unhealthy):
        pass


@dataclass
class Calls:
    """Margin calls that note what was set aside and taken back."""

    fails_at: int = 10**6
    acted: list = field(default_factory=list)
    released_: list = field(default_factory=list)

    async def acting(self, head, snapshots, subjects, losses):
        if len(self.acted) + 1 == self.fails_at:
            raise JournalError("disk full")
        self.acted.append((subjects, dict(losses)))
        return News(block_hash=head.hash, document=str(len(self.acted)))

    async def released(self, subjects, head):
        self.released_ += subjects


@dataclass
class Watch:
    """Notes the stages."""

    stages: list = field(default_factory=list)

    def passed(self, stage, head):
        self.stages.append(stage)


def who_of(batch):
    return [plan.account for plan in batch.plans]


async def a_batch(number):
    result = await Desk().decide(ScriptedSnapshot((pair(number),)))
    return result.batches[0]


async def begun(sender, waiting=(), calls=None):
    departures, watch = Departures(submitter=sender), Watch()
    departures.begin([], list(waiting), calls, watch)
    return departures, watch


async def test_what_waits_leaves_with_the_first_portion_and_before_it():
    """Cures come first, and once."""
    sender = Sender()
    cure, first, second = [await a_batch(number) for number in (1, 2, 3)]
    departures, watch = await begun(sender, [cure])

    assert await departures.leave(HEAD, [first], {})
    assert await departures.leave(HEAD, [second], {})

    assert [given for given, _ in sender.given] == [
        [[account(1)], [account(2)]],
        [[account(3)]],
    ]
    assert departures.not_handed([cure, first, second]) == []
    assert watch.stages == [Stage.DECIDED, Stage.SUBMITTED]


async def test_each_portion_has_its_own_news():
    """What the block says of an account is kept with the nonce that acts on it."""
    sender, calls = Sender(), Calls()
    first, second = [await a_batch(number) for number in (2, 3)]
    departures, _ = await begun(sender, calls=calls)

    await departures.leave(HEAD, [first], {})
    await departures.leave(HEAD, [second], {})

    assert [news.document for _, news in sender.given] == ["1", "2"]
    assert [subjects for subjects, _ in calls.acted] == [
        {(MARKET, account(2))},
        {(MARKET, account(3))},
    ]


@pytest.mark.parametrize("error", [NotBroadcast("too much in flight"), JournalError("full")])
async def test_what_did_not_leave_is_a_skip_and_its_losses_are_taken_back(error):
    """The first portion stands; the second is told why, and no third follows."""
    sender, calls = Sender(answers=[list, error]), Calls()
    first, second = [await a_batch(number) for number in (2, 3)]
    departures, _ = await begun(sender, calls=calls)
    loss = {(MARKET, account(3)): 7}

    assert await departures.leave(HEAD, [first], {})
    assert not await departures.leave(HEAD, [second], loss)

    plans = [Liquidate(plan=batch.plans[0]) for batch in (first, second)]
    stands, skip = departures.decisions(plans)
    assert stands == plans[0]
    assert (skip.account, skip.reason) == (account(3), SkipReason.NOT_SENT)
    assert str(error) in skip.detail
    assert calls.released_ == [(MARKET, account(3))]
    assert (departures.unkept is error) == isinstance(error, JournalError)


async def test_what_may_have_left_is_no_skip_and_ends_the_planning():
    """Nobody knows: the account counts as acted upon."""
    sender, calls = Sender(answers=[OutcomeUnknown("no answer")]), Calls()
    batch = await a_batch(2)
    departures, _ = await begun(sender, calls=calls)

    assert not await departures.leave(HEAD, [batch], {(MARKET, account(2)): 7})

    plan = Liquidate(plan=batch.plans[0])
    assert departures.is_unclear
    assert departures.decisions([plan]) == [plan]
    assert calls.released_ == []


async def test_a_journal_that_fails_before_anything_left_decides_nothing():
    """As ever: nothing of the head is handed over."""
    sender, calls = Sender(), Calls(fails_at=1)
    departures, _ = await begun(sender, calls=calls)

    with pytest.raises(JournalError):
        await departures.leave(HEAD, [await a_batch(2)], {})

    assert sender.given == []


async def test_a_journal_that_fails_between_portions_keeps_what_has_left():
    """The first portion's plans stay decided, the second ones are not sent."""
    sender, calls = Sender(), Calls(fails_at=2)
    first, second = [await a_batch(number) for number in (2, 3)]
    departures, _ = await begun(sender, calls=calls)

    assert await departures.leave(HEAD, [first], {})
    assert not await departures.leave(HEAD, [second], {})

    plans = [Liquidate(plan=batch.plans[0]) for batch in (first, second)]
    stands, skip = departures.decisions(plans)
    assert (stands, skip.reason) == (plans[0], SkipReason.NOT_SENT)
    assert isinstance(departures.unkept, JournalError)
    assert departures.not_handed([first, second]) == []
    assert len(sender.given) == 1


async def test_a_head_begins_anew():
    """Nothing of the last head is taken for this one's."""
    sender = Sender(answers=[NotBroadcast("no"), list])
    batch = await a_batch(2)
    departures, _ = await begun(sender)
    await departures.leave(HEAD, [batch], {})

    departures.begin([], [], None, Watch())

    assert departures.not_handed([batch]) == [batch]
    plan = Liquidate(plan=batch.plans[0])
    assert departures.decisions([plan]) == [plan]
