from dataclasses import replace
from decimal import Decimal

import pytest

from keeper.config.subscriptions import Subscription, Subscriptions
from keeper.domain.notice import NoticeKind
from keeper.domain.telling import Backlog, Item, Message, MessageState, Severity
from keeper.notify.routing import channels_of
from keeper.storage import database, outbox
from keeper.storage.notices import notice_document, notice_from
from keeper.storage.outbox_store import OutboxStore
from tests.support.notices import ACCOUNT, advice, notice

MESSAGE = Message(
    key="m1",
    severity=Severity.WARNING,
    title="t",
    text="one\ntwo",
    html="<p>one</p>",
    count=1,
    items=(Item(key="k", fields={"tier": "call", "deadline": None}),),
)


@pytest.fixture
def file(tmp_path):
    opened = database.opened(tmp_path / "keeper.sqlite")
    yield opened
    opened.close()


def routed(file, *told, channel="ops"):
    """Enqueue notices and route them all to one channel."""
    file.write_now(outbox.enqueue, told, 100)
    found = file.write_now(outbox.unrouted, 10_000)
    file.write_now(outbox.route, {at: [channel] for at, _ in found}, 101)
    return file.write_now(outbox.waiting, channel, 0, 99)


def composed(file, message=MESSAGE, channel="ops"):
    """Make a message of everything that waits for the channel."""
    told = [one.delivery for one in file.write_now(outbox.waiting, channel, 0, 99)]
    file.write_now(outbox.compose, channel, message, told, 102)


def test_a_notice_comes_back_as_it_went_in():
    """Amounts beyond 64 bits included, and what is not known stays unknown."""
    told = notice(advice=advice(), deadline=2**70, guarded_health_factor=2**200, detail="grüß\n")

    assert notice_from(notice_document(told)) == told
    assert notice_from(notice_document(notice(market=None, account=None, episode=None))) == notice(
        market=None, account=None, episode=None
    )


def test_the_same_news_is_kept_once(file):
    """A restart or a reorganisation tells it again under the same key."""
    assert file.write_now(outbox.enqueue, [notice(), notice()], 100) == 1
    assert file.write_now(outbox.enqueue, [notice(detail="again"), notice(key="other")], 200) == 1

    assert [one.key for _, one in file.write_now(outbox.unrouted, 10)] == [notice().key, "other"]


def test_ten_thousand_notices_are_kept_in_one_go(file):
    """More keys than one statement of SQLite takes."""
    many = [notice(key=f"k{at}") for at in range(10_000)]

    assert file.write_now(outbox.enqueue, many, 100) == 10_000
    assert file.write_now(outbox.enqueue, many, 100) == 0


def test_what_was_routed_is_not_routed_again(file):
    """Also when no channel wants it."""
    file.write_now(outbox.enqueue, [notice(), notice(key="nobody's")], 100)
    (first, _), (second, _) = file.write_now(outbox.unrouted, 10)
    file.write_now(outbox.route, {first: ["ops", "ops", "mail"], second: []}, 101)

    assert file.write_now(outbox.unrouted, 10) == []
    assert [one.notice for one in file.write_now(outbox.waiting, "ops", 0, 99)] == [notice()]
    assert [one.notice for one in file.write_now(outbox.waiting, "mail", 0, 99)] == [notice()]


def test_a_message_waits_until_it_is_due_and_keeps_its_words(file):
    """A retry tells the same under the same key."""
    routed(file, notice())
    composed(file)
    first = file.write_now(outbox.next_message, "ops")
    file.write_now(outbox.failed, first.id, "429", 130)

    assert first.message == MESSAGE
    assert file.write_now(outbox.waiting, "ops", 0, 99) == []
    assert first.due_at == 102
    assert file.write_now(outbox.next_message, "ops") == replace(
        first, attempts=1, last_error="429", due_at=130
    )


def test_what_was_sent_or_given_up_is_not_sent_again(file):
    """What was given up stays to be looked at, and can be revived."""
    routed(file, notice())
    composed(file)
    routed(file, notice(key="second"))
    composed(file, replace(MESSAGE, key="m2"))
    file.write_now(outbox.sent, 1, 103)
    file.write_now(outbox.given_up, 2, "refused", 104)

    assert file.write_now(outbox.next_message, "ops") is None
    assert file.write_now(outbox.backlog) == Backlog(waiting=0, oldest=None, dead=1)
    assert file.write_now(outbox.sent_since, "ops", 102) == 1
    assert [one.state for one in file.write_now(outbox.listed, 10)] == [
        MessageState.DEAD,
        MessageState.SENT,
    ]
    assert file.write_now(outbox.revive, 105) == 1
    assert file.write_now(outbox.next_message, "ops").id == 2


def test_the_backlog_counts_everything_that_is_still_to_be_told(file):
    """Unrouted notices, routed ones without a message, and messages that wait."""
    file.write_now(outbox.enqueue, [notice(key="unrouted")], 50)
    assert file.write_now(outbox.backlog) == Backlog(waiting=1, oldest=50, dead=0)

    routed(file, notice())
    assert file.write_now(outbox.backlog) == Backlog(waiting=2, oldest=50, dead=0)

    composed(file)
    assert file.write_now(outbox.backlog) == Backlog(waiting=1, oldest=102, dead=0)


def test_the_story_of_an_account_has_who_was_told_what(file):
    """`keeper explain` tells it."""
    routed(file, notice())
    composed(file)
    file.write_now(outbox.sent, 1, 103)
    file.write_now(outbox.enqueue, [notice(key="later"), notice(key="else", account="0x1")], 200)

    assert file.write_now(outbox.told_of, ACCOUNT) == [
        (notice(), "ops: sent"),
        (notice(key="later"), ""),
    ]


@pytest.mark.parametrize(("before", "told"), [(150_000, ["bot"]), (11_000, [])])
@pytest.mark.parametrize("after", [None, 50_000])
async def test_how_it_ended_is_told_to_whoever_was_told_of_it(file, before, told, after):
    """Nothing is owed after a liquidation: an unknown debt is above 100,000, a rest below it."""
    name = "1/m:1/0xa/7"
    call = notice(key=f"{name}/called/urgent", debt_usd_e8=before * 10**8)
    owed = None if after is None else after * 10**8
    end = notice(key=f"{name}/closed", kind=NoticeKind.LIQUIDATED, debt_usd_e8=owed)
    other = notice(key="1/m:1/0xa/70/called/urgent", debt_usd_e8=10**18)
    store = OutboxStore(file)
    wanted = Subscriptions(
        subscription=(Subscription(channels=("bot",), debt_above_usd=Decimal(100_000)),)
    )
    await store.enqueue([call, other], 1)
    await store.route(lambda one: channels_of(one, wanted), 2)
    await store.enqueue([end], 3)
    await store.route(lambda one: channels_of(one, wanted), 4)

    waiting = [one.notice.key for one in await store.waiting("bot")]
    assert [key for key in waiting if key == end.key] == [end.key] * len(told)
