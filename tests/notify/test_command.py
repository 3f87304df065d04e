"""`keeper notify` over real servers and a real outbox."""

import asyncio
import json
import threading

import pytest

from keeper.cli import root
from keeper.domain.telling import Item, Message, Severity
from keeper.storage import database, outbox
from tests.notify.receivers import listening
from tests.support.notices import notice

SETTINGS = """\
[chain]
id = 1
endpoints = ["http://127.0.0.1:1"]

[[market]]
protocol = "aave_v3"
addresses_provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
from_block = 0

[journal]
path = "j.sqlite"

[notify]
timeout_seconds = 20
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def serving():
    """Two servers in a thread of their own: one that takes, one that refuses."""
    ready, done, found = threading.Event(), threading.Event(), []

    async def serve():
        async with listening() as well, listening(*["401"] * 99) as refusing:
            found.extend([well, refusing])
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    ready.wait()
    yield found
    done.set()
    thread.join()


def channels(folder, *urls):
    text = "".join(
        f'\n[[notify.channel]]\nname = "c{at}"\nkind = "webhook"\n'
        f'url = "{url}/T0KEN"\nsecret = "s"\n'
        for at, url in enumerate(urls)
    )
    (folder / "keeper.toml").write_text(SETTINGS + text)


def test_a_test_message_shows_which_channels_work(folder, serving, capsys):
    """Before the night in which it matters; the address is not shown."""
    well, refusing = serving
    channels(folder, well.url, refusing.url)

    assert root.run(["notify", "test"]) == 3
    assert capsys.readouterr().out.splitlines() == ["ok    c0", "fail  c1: answered 401"]
    assert "nothing has happened" in json.loads(well.taken[0][1])["text"]
    assert root.run(["notify", "test", "--channel", "c0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["channels"] == [{"channel": "c0", "ok": True, "reason": ""}]


def test_a_channel_that_there_is_not_is_named_with_those_there_are(folder, capsys):
    """A mistyped name must not look like a success."""
    channels(folder, "http://127.0.0.1:1")

    assert root.run(["notify", "test", "--channel", "c9"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "hint: channels: c0"


def test_what_was_given_up_is_listed_and_revived(folder, capsys):
    """After the operator has mended the channel."""
    file = database.opened(folder / "j.sqlite")
    file.write_now(outbox.enqueue, [notice()], 100)
    file.write_now(outbox.route, {1: ["c0"]}, 100)
    message = Message(
        key="k",
        severity=Severity.INFO,
        title="[bold]t",
        text="x",
        html="x",
        count=1,
        items=(Item(key="k"),),
    )
    file.write_now(outbox.compose, "c0", message, [1], 101)
    file.write_now(outbox.given_up, 1, "answered 410", 102)
    file.close()

    assert root.run(["notify", "list"]) == 0
    assert "[bold]t" in (shown := capsys.readouterr().out)
    assert "answered 410" in shown
    assert root.run(["notify", "retry"]) == 0
    assert capsys.readouterr().out == "1 messages will be tried again\n"
    assert root.run(["notify", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["messages"][0]["state"] == "waiting"


def test_the_settings_check_finds_what_is_wrong_with_channels_and_subscriptions(folder, capsys):
    """All of it at once, and no token in it."""
    (folder / "s.toml").write_text('[[subscription]]\nchannels = ["nobody"]\n')
    (folder / "m.toml").write_text('[[subscription]]\nchannels = ["a"]\nmarkets = ["avee"]\n')
    text = '[[notify.channel]]\nname = "a"\nkind = "apprise"\nurl = "pigeon://T0KEN"\n'
    wanted = SETTINGS.replace("[notify]", '[notify]\nsubscriptions = "s.toml"')
    (folder / "keeper.toml").write_text(wanted + text)

    assert root.run(["config", "check"]) == 2
    shown = capsys.readouterr().out
    assert "notify.channel[0].url" in shown
    assert "'nobody' is not a channel" in shown
    assert "T0KEN" not in shown
    assert root.run(["config", "show"]) == 0
    assert "notify.channel.0.url = ***" in capsys.readouterr().out
    (folder / "keeper.toml").write_text((wanted + text).replace('"s.toml"', '"m.toml"'))
    assert root.run(["config", "check"]) == 2
    assert "'avee' begins the key of no configured market" in capsys.readouterr().out


def test_who_is_told_of_what_can_be_asked(folder, capsys):
    """Subscriptions are easy to get wrong."""
    channels(folder, "http://127.0.0.1:1")

    assert root.run(["notify", "subscriptions"]) == 0
    assert capsys.readouterr().out.startswith("c0: call, urgent, liquidatable; every account")
