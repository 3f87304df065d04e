"""Messages through real servers that fail, hang or are busy at first."""

import asyncio
import hashlib
import hmac
import json
import time
from functools import partial

import pytest
from pydantic import SecretStr

from keeper.composition.notifying import notifying
from keeper.config import Channel, Notify
from keeper.domain.errors import ForeignKeyUse
from keeper.domain.head import Head
from keeper.domain.notice import NoticeKind
from keeper.notify.alarms import Alarms
from keeper.notify.channels.alertmanager import alerts
from keeper.notify.rendering import message_of
from keeper.storage import database, outbox
from tests.notify.receivers import listening, receiving_mail
from tests.support.notices import ACCOUNT, MARKET, advice, notice

SECRET = "a long secret that nobody else knows"
HEAD = Head(
    number=9,
    hash="0x" + "09" * 32,
    parent_hash="0x" + "08" * 32,
    timestamp=1_700_000_108,
    base_fee=1,
    gas_limit=30_000_000,
    gas_used=0,
)


@pytest.fixture
def file(tmp_path):
    opened = database.opened(tmp_path / "keeper.sqlite")
    yield opened
    opened.close()


def settings(*channels, **changed):
    quick = {
        "group_seconds": 0,
        "timeout_seconds": 1,
        "first_retry_seconds": 1,
        "longest_retry_seconds": 1,
    }
    return Notify(channel=channels, **{**quick, **changed})


def channel(kind, url, name=None):
    secret = SecretStr(SECRET) if kind == "webhook" else None
    return Channel(name=name or kind, kind=kind, url=SecretStr(url), secret=secret)


async def told(file, *notices):
    await file.write(outbox.enqueue, notices, int(time.time()))


async def settled(file, *, within=200.0):
    """Wait until nothing waits in the outbox."""
    async with asyncio.timeout(within):
        while True:
            left = await file.write(outbox.backlog)
            if not left.waiting:
                return left
            await asyncio.sleep(0.05)


async def until(condition, *, within=200.0):
    """Wait for what another task brings about."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - a server of its own sets no event of ours
            await asyncio.sleep(0.02)


def telling(file, wanted, events=None):
    emit = [].append if events is None else events.append
    return notifying(wanted, file, emit, Alarms(lambda: HEAD))


@pytest.mark.parametrize(
    "moods",
    [(), ("500",), ("429", "429"), ("hang",), ("reset", "503")],
    ids="-".join,
)
async def test_a_webhook_gets_each_message_once_signed_whatever_happened_first(file, moods):
    """Its receiver checks signature and time, and knows a repetition by its key."""
    async with (
        listening(*moods) as receiver,
        telling(file, settings(channel("webhook", f"{receiver.url}/hook?token=t"))),
    ):
        await told(file, notice(advice=advice()))
        await settled(file)

    ((headers, body),) = receiver.taken
    stamp = headers["X-Keeper-Timestamp"]
    expected = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["X-Keeper-Signature"] == f"v1={expected}"
    assert abs(int(stamp) - time.time()) < 60
    document = json.loads(body)
    assert headers["Idempotency-Key"] == document["key"]
    assert document["notices"][0]["account"] == ACCOUNT
    assert document["notices"][0]["health_factor_wad"] == str(notice().health_factor)
    assert receiver.tried == len(moods) + 1


@pytest.mark.parametrize("moods", [(), ("451",), ("hang",)], ids="-".join)
async def test_a_mail_arrives_once_through_a_real_smtp_server(file, moods):
    """As text and as HTML, with what to do in it."""
    async with (
        receiving_mail(*moods) as postbox,
        telling(file, settings(channel("apprise", postbox.url), timeout_seconds=60)),
    ):
        await told(file, notice(advice=advice(), detail="<b>fell</b>"))
        await settled(file)

    (mail,) = postbox.mails
    assert mail["Subject"] == "0x0000…00A1 is in tier call, health 1.0800"
    assert mail["To"] == "holder@example.org"
    html = mail.get_body(("html",)).get_content()
    assert "repay 12.5 USDC" in html
    assert "&lt;b&gt;fell&lt;/b&gt;" in html
    assert postbox.tried == len(moods) + 1


async def test_an_alertmanager_has_one_alert_a_tier_and_all_end_with_the_episode(file):
    """Its labels say which alert is meant, so a closing notice has those of every tier."""
    async with (
        listening("500") as receiver,
        telling(file, settings(channel("alertmanager", receiver.url))),
    ):
        await told(file, notice())
        await settled(file)
        await told(file, notice(key="cured", kind=NoticeKind.CURED))
        await settled(file)

    opened, closed = [json.loads(body) for _, body in receiver.taken]
    labels = {
        "alertname": "KeeperMarginCall",
        "severity": "warning",
        "market": MARKET,
        "account": ACCOUNT,
    }
    assert [one["labels"] for one in opened] == [{**labels, "tier": "call"}]
    assert opened[0]["endsAt"] > opened[0]["startsAt"]
    assert {**labels, "tier": "call"} in [one["labels"] for one in closed]
    assert all(one["endsAt"] == one["startsAt"] for one in closed)


def test_a_second_digest_is_an_alert_of_its_own():
    """With the labels of the first it would be the first, told already, for a day."""
    first = message_of("duty", [notice(key="1"), notice(key="2")])
    second = message_of("duty", [notice(key="3"), notice(key="4")])

    (one,), (two,) = alerts(first, 1), alerts(second, 2)

    assert one["labels"]["key"] == first.key != two["labels"]["key"]
    assert alerts(first, 3)[0]["labels"] == one["labels"]


async def test_ten_thousand_accounts_in_one_block_are_one_message_a_channel(file):
    """A page for each would hide the one that matters."""
    async with receiving_mail() as postbox, listening() as hook, listening() as alerts:
        ways = [
            channel("webhook", hook.url),
            channel("alertmanager", alerts.url),
            channel("apprise", postbox.url),
        ]
        async with telling(file, settings(*ways, group_seconds=1)):
            many = (notice(key=f"k{at}", account=f"0x{at:040x}") for at in range(10_000))
            await told(file, *many)
            await settled(file)

    (_, body), *further = hook.taken
    assert further == []
    assert json.loads(body)["count"] == 10_000
    assert len(alerts.taken) == len(postbox.mails) == 1
    assert "10,000 accounts" in postbox.mails[0]["Subject"]


async def test_a_channel_that_hangs_holds_up_no_other(file):
    """Each has its own line."""
    async with listening(*["hang"] * 50) as stuck, listening() as well:
        ways = [channel("webhook", stuck.url, "stuck"), channel("webhook", well.url, "well")]
        async with telling(file, settings(*ways)):
            for at in range(3):
                await told(file, notice(key=f"k{at}"))
                await until(lambda: len(well.taken) > at)  # noqa: B023 - awaited here

    assert stuck.taken == []
    assert len(well.taken) == 3


async def test_a_refused_message_is_given_up_and_the_others_hear_of_it(file):
    """A dead letter that nobody knows of is a lost one."""
    events = []
    async with listening(*["400"] * 50) as refusing, listening() as well:
        ways = [channel("webhook", refusing.url, "bad"), channel("webhook", well.url, "good")]
        async with telling(file, settings(*ways), events):
            await told(file, notice())
            await until(lambda: len(well.taken) == 2)
            left = await settled(file)

    alarm = json.loads(well.taken[1][1])
    assert alarm["severity"] == "critical"
    assert alarm["text"].startswith("1 notice was not delivered through bad: answered 400")
    assert left.dead == 1
    assert refusing.tried == 1
    assert {"bad": "dead", "good": "sent"}.items() <= {
        one["channel"]: one["result"] for one in events
    }.items()


async def test_a_channel_that_keeps_failing_is_told_of_by_the_others(file):
    """Once, not with every attempt."""
    async with listening(*["500"] * 50) as failing, listening() as well:
        ways = [channel("webhook", failing.url, "bad"), channel("webhook", well.url, "good")]
        async with telling(file, settings(*ways, alarm_after_failures=2)):
            await told(file, notice())
            await until(lambda: failing.tried >= 4 and len(well.taken) == 2)

    assert len(well.taken) == 2
    assert "failed 2 times in a row: answered 500" in json.loads(well.taken[1][1])["text"]


async def test_what_a_keeper_could_not_tell_the_next_one_tells_under_the_same_key(file):
    """Killed after the other side took it and before that was noted, it is told again."""
    async with listening() as receiver:
        way = settings(channel("webhook", receiver.url))
        await told(file, notice())
        async with telling(file, way):
            await settled(file)
        again = "UPDATE messages SET state = 'waiting', ended_at = NULL"
        await file.write(lambda connection: connection.exec_driver_sql(again))
        async with telling(file, way):
            await settled(file)

    first, second = (headers["Idempotency-Key"] for headers, _ in receiver.taken)
    assert first == second


async def test_an_ending_keeper_tells_what_it_can(file):
    """A call that came with the last block is not left for the next start."""
    async with (
        listening() as receiver,
        telling(file, settings(channel("webhook", receiver.url), group_seconds=600)),
    ):
        await told(file, notice())

    assert len(receiver.taken) == 1


async def test_no_address_and_no_secret_is_told_or_kept(file, tmp_path, caplog):
    """Addresses of channels hold tokens; what a server answers is not repeated."""
    events = []
    async with listening("400", "500") as receiver:
        ways = [
            channel("webhook", f"{receiver.url}/T0KEN/hook", "one"),
            channel("apprise", f"json://{receiver.url[7:]}/T0KEN", "two"),
        ]
        async with telling(file, settings(*ways), events):
            await told(file, notice())
            await settled(file)
    kept = b"".join(one.read_bytes() for one in tmp_path.iterdir())

    assert receiver.tried >= 3
    for word in ("T0KEN", SECRET, "secret.example", receiver.url[7:]):
        assert word not in caplog.text
        assert word not in json.dumps(events)
        assert word.encode() not in kept


async def test_without_a_channel_notices_are_kept_for_nobody(file):
    """A channel that is added later is not told of last year."""
    async with telling(file, settings()):
        await told(file, notice())
        await settled(file)
    async with (
        listening() as receiver,
        telling(file, settings(channel("webhook", receiver.url))),
    ):
        await told(file, notice(key="new"))
        await settled(file)

    assert len(receiver.taken) == 1


async def test_the_rate_is_kept_and_the_rest_becomes_a_digest(file):
    """Ten messages a minute are read, a hundred are not."""
    async with listening() as receiver:
        wanted = settings(channel("webhook", receiver.url), max_per_minute=2)
        clock = Clock()
        begin = partial(notifying, wanted, file, [].append, Alarms(lambda: HEAD))
        async with begin(clock=clock):
            for at in range(2):
                await told(file, notice(key=f"k{at}"))
                await settled(file)
            await told(file, *(notice(key=f"late{at}") for at in range(3)))
            await asyncio.sleep(2)
            before = len(receiver.taken)
            clock.ahead = 120
            await settled(file)

    assert before == 2
    assert [json.loads(body)["count"] for _, body in receiver.taken] == [1, 1, 3]


async def test_what_stops_the_keeper_and_what_holds_it_is_told(file):
    """Its operator is asleep; the log is read in the morning."""
    alarms = Alarms(lambda: HEAD)
    held = {"event": "breaker", "name": "reverts", "state": "open", "detail": "five in a row"}
    split = {"event": "disagreement", "what": "nonce", "state": "found", "detail": "7 and 9"}
    async with listening() as receiver:
        wanted = settings(channel("webhook", receiver.url))

        async def runs():
            async with notifying(wanted, file, [].append, alarms):
                emit = alarms.tapped([].append)
                for event in (held, split, {**held, "state": "closed"}, {"event": "block"}):
                    emit(event)
                await until(lambda: len(receiver.taken) == 2)
                raise ForeignKeyUse("nonce 3 was used by somebody else")

        with pytest.raises(ForeignKeyUse):
            await runs()

    titles = [json.loads(body)["title"] for _, body in receiver.taken]
    assert titles == [
        "Alarm of the keeper: the limit reverts holds new transactions: five in a row",
        "Alarm of the keeper: endpoints disagree, nothing is signed: 7 and 9",
        "Alarm of the keeper: the keeper stopped: nonce 3 was used by somebody else",
    ]


class Clock:
    """The wall's clock, and a jump."""

    ahead = 0

    def __call__(self):
        return time.time() + self.ahead
