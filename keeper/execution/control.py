"""Control socket of the running node. Each command is recorded."""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from keeper.domain.breaker import Breaker
from keeper.domain.errors import EnvironmentFault, KeeperError
from keeper.execution.submitter import NodeSubmitter

LONGEST_NAME: Final = 64
PEER: Final = "3i"
"""The form of SO_PEERCRED's answer: process, user, group."""
MAX_LINE: Final = 4_096
TIMEOUT_SECONDS: Final = 30
LINE_SECONDS: Final = 5
"""How long a client may take for its line."""
MOST_WAITING: Final = 16
"""Clients at a time that have not sent their line."""
MOST_DIGITS: Final = 18
"""Digits of a nonce: as many as the journal can hold."""
NUMBERED: Final = frozenset({"bump", "cancel"})
"""Commands whose argument is a nonce."""

Record = Callable[[str, str, str], Awaitable[None]]
"""Records action, argument and result."""

Actions = Mapping[str, Callable[[str], Awaitable[str]]]
"""Further commands by name: each takes an argument and returns a result as text."""


def socket_path(journal: Path) -> Path:
    """Return the path of the control socket, beside the journal.

    It is derived from a hash of the journal's name where that name is too long for a socket's path.
    """
    real = journal.resolve()
    name = real.name + ".sock"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f"keeper-{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.sock"
    return real.with_name(name)


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield a short path to a socket, whatever the length of its folder's path.

    The system limits a socket's path to 107 bytes. The path uses a descriptor of the folder, so
    that the socket never lies where other users may write.

    Raises:
        OSError: the folder cannot be opened.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def refuse_stranger(connection: socket.socket) -> None:
    """Raise EnvironmentFault if the peer is neither this user nor root."""
    size = struct.calcsize(PEER)
    _, user, _ = struct.unpack(
        PEER, connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    if user not in (os.geteuid(), 0):
        raise EnvironmentFault(
            f"the control socket is user {user}'s, not this user's",
            hint="remove it, and keep the journal in a folder that only you may write to",
        )


@contextlib.asynccontextmanager
async def listening(
    path: Path, submitter: NodeSubmitter | None, record: Record, more: Actions | None = None
) -> AsyncIterator[None]:
    """Listen on a unix socket of mode 0600 while the context lasts.

    ``more`` are further commands. They are the only ones without a submitter. The caller holds the
    journal's lock, so an existing socket belongs to a dead process.

    Raises:
        EnvironmentFault: the socket cannot be created.
    """
    actions = {**(_build_actions(submitter) if submitter is not None else {}), **(more or {})}

    waiting = dict[asyncio.StreamWriter, None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                refuse_stranger(writer.get_extra_info("socket"))
                line = await _fetch_line(reader, writer, waiting)
                answer = await _run_command(line, actions, record)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, ValueError, EnvironmentFault):
            pass  # the client's own fault, or it has gone
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=_bind_socket(path), limit=MAX_LINE)
    try:
        yield
    finally:
        server.close()  # not waited for: an operator's idle connection must not hold up the end
        for writer in waiting:
            writer.transport.abort()
        _remove(path)


def ask(journal: Path, action: str, argument: str = "") -> dict[str, object]:
    """Send a command to the running node and return its answer.

    Raises:
        EnvironmentFault: no node runs on this journal, or it did not answer.
    """
    return asyncio.run(_send_command(socket_path(journal), action, argument))


def is_listening(journal: Path) -> bool:
    """Return whether a process answers on this journal's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(TIMEOUT_SECONDS)
        try:
            with reachable(socket_path(journal)) as path:
                probe.connect(path)
            refuse_stranger(probe)
        except (OSError, EnvironmentFault):
            return False
    return True


async def _send_command(path: Path, action: str, argument: str) -> dict[str, object]:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            with reachable(path) as short:
                reader, writer = await asyncio.open_unix_connection(short, limit=MAX_LINE)
            try:
                refuse_stranger(writer.get_extra_info("socket"))
                writer.write(json.dumps({"action": action, "argument": argument}).encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
                await writer.wait_closed()
        answer = json.loads(line)
    except (OSError, TimeoutError, ValueError, RecursionError):
        raise EnvironmentFault(
            "no node is running on this journal",
            hint="start `keeper run`, and use the same settings file here",
        ) from None
    return dict(answer)


async def _fetch_line(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    waiting: dict[asyncio.StreamWriter, None],
) -> bytes:
    """Read a client's line. Beyond ``MOST_WAITING`` silent clients the oldest is disconnected."""
    if len(waiting) >= MOST_WAITING:
        oldest = next(iter(waiting))
        del waiting[oldest]
        oldest.transport.abort()
    waiting[writer] = None
    try:
        async with asyncio.timeout(LINE_SECONDS):
            return await reader.readline()
    finally:
        waiting.pop(writer, None)


async def _run_command(line: bytes, actions: Actions, record: Record) -> dict[str, object]:
    """Run one command and build its answer, which never holds an exception's details."""
    try:
        wanted = json.loads(line)
        action, argument = str(wanted["action"]), str(wanted.get("argument", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"ok": False, "code": "config", "error": "the command is not understood"}
    if action not in actions or (action in NUMBERED and not _is_nonce(argument)):
        return {"ok": False, "code": "config", "error": f"there is no command {action[:32]!r}"}
    try:
        await record(action, argument, "asked")
        result = await actions[action](argument)
        await record(action, argument, result)
    except KeeperError as error:
        with contextlib.suppress(KeeperError):
            await record(action, argument, f"failed: {error}")
        return {"ok": False, "code": error.code, "error": str(error), "hint": error.hint}
    except ValueError:  # letters that no file can hold
        return {"ok": False, "code": "config", "error": "the command is not understood"}
    return {"ok": True, "action": action, "result": result}


def _is_nonce(argument: str) -> bool:
    return argument.isdecimal() and len(argument) <= MOST_DIGITS


def _build_actions(submitter: NodeSubmitter) -> Actions:
    """Build the commands on transactions."""

    async def bump(argument: str) -> str:
        return await submitter.bump(int(argument))

    async def cancel(argument: str) -> str:
        return await submitter.cancel(int(argument))

    async def pause(_: str) -> str:
        await submitter.pause()
        return "paused"

    async def resume(_: str) -> str:
        return await reset(Breaker.PAUSED)

    async def reset(argument: str) -> str:
        await submitter.reset(argument)
        return submitter.guard.refusal() or "running"

    return {"bump": bump, "cancel": cancel, "pause": pause, "resume": resume, "reset": reset}


def _bind_socket(path: Path) -> socket.socket:
    """Bind a socket of mode 0600 to a path. No other task runs meanwhile.

    Raises:
        EnvironmentFault: it cannot be created, or another user's file lies there.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        _remove(path)
        with reachable(path) as short:
            made.bind(short)
    except OSError as error:
        made.close()
        raise EnvironmentFault(
            f"cannot listen on {path}: {error.strerror}",
            hint="keep the journal in a folder that only you may write to",
        ) from None
    finally:
        os.umask(before)
    return made


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
