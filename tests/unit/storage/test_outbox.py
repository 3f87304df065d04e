import json
from dataclasses import replace
from decimal import Decimal

import pytest

from keeper.config.subscriptions import Subscription, Subscriptions
from keeper.domain.notice import NoticeKind
from keeper.domain.telling import Backlog, Item, Message, MessageState, Severity
from keeper.notify.routing import channels_of
from keeper.storage import database, outbox
from keeper.storage.deliveries import Call, account_history, calls_of
from keeper.storage.notices import notice_document, notice_from
from keeper.storage.outbox_store import OutboxStore
from keeper.storage.record import entries_between
from tests.support.notices import ACCOUNT, MARKET, advice, notice

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


def test_an_advice_comes_back_with_its_exact_prices():
    """And what an earlier version stored, without them, is read as not known."""
    (price,) = advice().prices
    exact = replace(price, is_floor=True, ratio=(2**200, 3))
    told = notice(
        liquidatable=True,
        advice=advice(prices=(exact,), untreated=2**70, block_number=7, timestamp=1_700_000_000),
    )
    raw = json.loads(notice_document(notice(advice=advice())))
    del raw["liquidatable"], raw["advice"]["block_number"], raw["advice"]["timestamp"]
    for one in raw["advice"]["prices"]:
        del one["is_floor"], one["ratio"]

    assert notice_from(notice_document(told)) == told
    assert notice_from(json.dumps(raw)) == notice(advice=advice())


def recorded(file):
    return [json.loads(one.body) for one in file.write_now(lambda c: list(entries_between(c, 1)))]


@pytest.mark.slow
def test_what_a_channel_took_goes_on_record_in_the_same_commit(file):
    """Whether somebody could have read a call is what a dispute is about."""
    routed(file, notice(key="a"), notice(key="b", account="0xb"))
    composed(file)
    (message,) = file.write_now(outbox.listed, 9)
    file.write_now(outbox.failed, message.id, "no answer", 110)

    assert recorded(file) == []

    file.write_now(outbox.sent, message.id, 163)

    (body,) = recorded(file)
    assert (body["channel"], body["result"], body["at"]) == ("ops", "sent", "163")
    assert body["notices"] == [{"key": "a", "waited": "63"}, {"key": "b", "waited": "63"}]


@pytest.mark.slow
def test_what_is_given_up_goes_on_record_too(file):
    """It is not delivered, and must not look as if it were still on its way."""
    routed(file, notice(key="a"))
    composed(file)
    file.write_now(outbox.given_up, file.write_now(outbox.listed, 9)[0].id, "answered 400", 200)

    (body,) = recorded(file)
    assert (body["result"], body["reason"]) == ("dead", "answered 400")


@pytest.mark.slow
def test_a_call_is_due_until_a_channel_took_it(file):
    """Each way by itself: one may wait while another has it, or has given up."""
    who = [(MARKET, ACCOUNT, 1)]
    file.write_now(outbox.enqueue, [notice()], 100)

    assert file.write_now(calls_of, who)[MARKET, ACCOUNT] == Call(
        tier="call", due_at=100, is_routed=False
    )

    ((at, _),) = file.write_now(outbox.unrouted, 9)
    file.write_now(outbox.route, {at: ["ops", "mail", "bot"]}, 101)
    for key, channel in enumerate(("ops", "mail")):
        composed(file, replace(MESSAGE, key=str(key)), channel)
    ops, mail = sorted(file.write_now(outbox.listed, 9), key=lambda one: one.id)
    file.write_now(outbox.sent, ops.id, 120)
    file.write_now(outbox.given_up, mail.id, "refused", 130)
    found = file.write_now(calls_of, who)[MARKET, ACCOUNT]

    assert [(one.channel, str(one.state), one.at) for one in found.deliveries] == [
        ("ops", "sent", 120),
        ("mail", "dead", 130),
        ("bot", "waiting", None),
    ]
    assert [one.channel for one in found.taken] == ["ops"]
    assert file.write_now(calls_of, [(MARKET, ACCOUNT, 2)]) == {}


@pytest.mark.slow
def test_an_accounts_history_has_the_digests_that_told_of_it_and_nobody_elses_part(file):
    """A digest of ten thousand is one entry; of it a story needs one line."""
    others = [notice(key=f"1/m/0x{n}/1/called/call", account=f"0x{n}") for n in range(3)]
    mine = notice(key=f"1/{MARKET}/{ACCOUNT}/1/called/call")
    routed(file, *others, mine)
    composed(file)
    file.write_now(outbox.sent, file.write_now(outbox.listed, 9)[0].id, 163)

    (entry,) = file.write_now(account_history, ACCOUNT)

    assert entry.account is None
    assert [one["key"] for one in json.loads(entry.body)["notices"]] == [mine.key]
    assert file.write_now(account_history, "0xdead") == []


@pytest.mark.slow
def test_the_same_news_is_kept_once(file):
    """A restart or a reorganisation tells it again under the same key."""
    assert file.write_now(outbox.enqueue, [notice(), notice()], 100) == 1
    assert file.write_now(outbox.enqueue, [notice(detail="again"), notice(key="other")], 200) == 1

    assert [one.key for _, one in file.write_now(outbox.unrouted, 10)] == [notice().key, "other"]


@pytest.mark.slow
def test_ten_thousand_notices_are_kept_in_one_go(file):
    """More keys than one statement of SQLite takes."""
    many = [notice(key=f"k{at}") for at in range(10_000)]

    assert file.write_now(outbox.enqueue, many, 100) == 10_000
    assert file.write_now(outbox.enqueue, many, 100) == 0


@pytest.mark.slow
def test_what_was_routed_is_not_routed_again(file):
    """Also when no channel wants it."""
    file.write_now(outbox.enqueue, [notice(), notice(key="nobody's")], 100)
    (first, _), (second, _) = file.write_now(outbox.unrouted, 10)
    file.write_now(outbox.route, {first: ["ops", "ops", "mail"], second: []}, 101)

    assert file.write_now(outbox.unrouted, 10) == []
    assert [one.notice for one in file.write_now(outbox.waiting, "ops", 0, 99)] == [notice()]
    assert [one.notice for one in file.write_now(outbox.waiting, "mail", 0, 99)] == [notice()]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_backlog_counts_everything_that_is_still_to_be_told(file):
    """Unrouted notices, routed ones without a message, and messages that wait."""
    file.write_now(outbox.enqueue, [notice(key="unrouted")], 50)
    assert file.write_now(outbox.backlog) == Backlog(waiting=1, oldest=50, dead=0)

    routed(file, notice())
    assert file.write_now(outbox.backlog) == Backlog(waiting=2, oldest=50, dead=0)

    composed(file)
    assert file.write_now(outbox.backlog) == Backlog(waiting=1, oldest=102, dead=0)


@pytest.mark.io
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


@pytest.mark.slow
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
