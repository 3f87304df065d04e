import asyncio
import contextlib
import json
import os
import stat
import struct
import tempfile
from pathlib import Path

import pytest

from keeper.domain.errors import EnvironmentFault
from keeper.execution import control
from keeper.execution.control import (
    MOST_WAITING,
    _send_command,
    ask,
    is_listening,
    listening,
    socket_path,
)
from keeper.execution.paper import PaperSubmitter
from tests.support.clients import is_ended
from tests.support.scripted_submission import (
    MARKET,
    World,
    account,
    batch,
    head,
    healthy,
    plan,
    unhealthy,
)


@pytest.mark.io
async def test_commands_reach_the_running_node_and_are_recorded(tmp_path):
    """Who changed what must be in the journal, with the outcome."""
    world, kept = World(), []
    await world.submitter.submit([batch()], head(10))
    path = socket_path(tmp_path / "j")

    async def record(*row):
        kept.append(row)

    async with listening(path, world.submitter, record):
        mode = stat.S_IMODE(path.stat().st_mode)
        paused = await _send_command(path, "pause", "")
        cancelled = await _send_command(path, "cancel", "0")
        unknown = await _send_command(path, "cancel", "9")
        nonsense = await _send_command(path, "withdraw", "")

    assert mode == 0o600
    assert (paused["ok"], world.submitter.held) == (True, "sending is paused by the operator")
    assert cancelled["result"] == world.book[0].newest.hash
    assert (unknown["ok"], unknown["error"]) == (False, "nonce 9 is not waiting")
    assert nonsense["ok"] is False
    assert kept[:2] == [("pause", "", "asked"), ("pause", "", "paused")]
    assert kept[-1] == ("cancel", "9", "failed: nonce 9 is not waiting")
    assert not path.exists()


@pytest.mark.io
def test_without_a_running_node_the_command_says_so(tmp_path):
    """Nothing is changed behind the back of the one process that signs."""
    with pytest.raises(EnvironmentFault, match="no node is running"):
        ask(tmp_path / "j", "bump", "0")


async def test_a_dry_run_books_an_account_once_per_episode():
    """On the real chain nobody acted, so it would be booked again at every block."""
    booked, events = [], []

    class Ledger:
        async def add(self, plans, head):
            booked.extend(plans)

    paper = PaperSubmitter(ledger=Ledger(), emit=events.append, forget_after_blocks=5)
    await paper.submit([batch(plan(0))], head(10))
    await paper.follow(head(11), unhealthy)
    kept = paper.in_flight()
    await paper.follow(head(12), healthy)

    assert kept == {(MARKET, account(0))}
    assert paper.in_flight() == frozenset()
    assert [one["net_profit_wei"] for one in events] == [str(plan().net_profit)]
    assert booked == [plan(0)]


@pytest.mark.io
@pytest.mark.parametrize("name", ["keeper.sqlite", "k" * 200])
async def test_a_socket_is_beside_the_journal_however_long_its_path_is(tmp_path, name):
    """A guessable place that others may write to would let a stranger take the commands."""
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    path = socket_path(folder / name)

    async def record(*_):
        pass

    async with listening(path, World().submitter, record):
        listens = await asyncio.to_thread(is_listening, folder / name)
        answer = await _send_command(path, "pause", "")

    assert path.parent == folder
    assert listens
    assert answer["ok"]
    assert not path.exists()


STRANGER = """
import json, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("up", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(json.dumps({"ok": True, "result": "paused"}).encode() + b"\\n")
    connection.close()
"""


@pytest.mark.io
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_c4_a_strangers_socket_gets_no_command():
    """A "paused" from somebody who is not the keeper would leave it running."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # noqa: PTH101, S103
        journal = Path(folder) / "j"
        stranger = await asyncio.create_subprocess_exec(
            *("/usr/bin/env", "python3", "-c", STRANGER, str(socket_path(journal))),
            user="nobody",
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
        )
        try:
            assert await stranger.stdout.readline() == b"up\n"
            with pytest.raises(EnvironmentFault, match="is user"):
                await _send_command(socket_path(journal), "pause", "")
            assert not await asyncio.to_thread(is_listening, journal)
        finally:
            stranger.kill()
            await stranger.communicate()


@pytest.mark.io
async def test_a_line_of_brackets_is_one_that_is_not_understood(tmp_path):
    """Four thousand of them exhausted the parser's stack."""

    async def record(*_):
        pass

    path = socket_path(tmp_path / "j")
    async with listening(path, World().submitter, record):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"[" * 4_000 + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()

    assert (answer["ok"], answer["code"]) == (False, "config")


async def _nothing(*_):
    pass


BAD_LINES = {
    "empty": b"\n",
    "no object": b'"pause"\n',
    "list": b"[1]\n",
    "number": b"9" * 4_000 + b"\n",
    "nested object": b'{"a":' * 700 + b"\n",
    "not text": b'{"action": "\xff"}\n',
    "huge nonce": b'{"action": "bump", "argument": "' + b"9" * 3_000 + b'"}\n',
    "odd digits": '{"action": "cancel", "argument": "²"}\n'.encode(),
    "nonce beyond the file": b'{"action": "cancel", "argument": "99999999999999999999"}\n',
    "object for a name": b'{"action": {"pause": 1}}\n',
    "half a letter": b'{"action": "reset", "argument": "\\ud800"}\n',
}


@pytest.mark.io
@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
async def test_c7_a_bad_line_gets_an_answer_and_no_traceback(tmp_path, line, caplog):
    """Whatever is said, the socket answers the next one."""
    path = socket_path(tmp_path / "j")
    async with listening(path, World().submitter, _nothing):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        answer = json.loads(await reader.readline())
        writer.close()
        paused = await _send_command(path, "pause", "")

    assert answer["ok"] is False
    assert paused["ok"] is True
    assert caplog.records == []


@pytest.mark.io
@pytest.mark.parametrize("said", [b"", b'{"action": "pa', b"x" * 5_000_000])
async def test_c7_many_clients_that_say_no_line_keep_no_command_out(tmp_path, said, caplog):
    """An operator has to get through: the first of them give way."""
    path = socket_path(tmp_path / "j")
    async with listening(path, World().submitter, _nothing):
        held = []
        for _ in range(60):
            reader, writer = await asyncio.open_unix_connection(path)
            with contextlib.suppress(ConnectionError):
                writer.write(said)
                await asyncio.sleep(0)
            held.append((reader, writer))
        await asyncio.sleep(0.05)
        paused = await _send_command(path, "pause", "")
        ended = sum([await is_ended(reader) for reader, _ in held])
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.05)

    assert paused["ok"] is True
    assert ended >= 60 - MOST_WAITING
    assert caplog.records == []


@pytest.mark.io
@pytest.mark.parametrize("side", ["keeper", "command"])
async def test_c4_the_word_of_another_user_counts_on_neither_side(tmp_path, side, monkeypatch):
    """The system says whose the other end is; where both are the same user, one is made another."""
    kept = []

    async def record(*row):
        kept.append(row)

    path = socket_path(tmp_path / "j")
    real = control.refuse_stranger

    def refuse(connection):
        is_keeper = connection.getsockname() != ""
        user = 7 if is_keeper == (side == "keeper") else os.geteuid()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(struct, "unpack", lambda *_: (1, user, 1))
            real(connection)

    monkeypatch.setattr(control, "refuse_stranger", refuse)
    async with listening(path, World().submitter, record):
        with pytest.raises(EnvironmentFault):
            await _send_command(path, "pause", "")

    assert kept == []
