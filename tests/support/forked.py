"""
Keepers as processes of their own, without the seconds that an interpreter takes to import one.

``started`` is ``subprocess.Popen``, ``completed`` is ``subprocess.run``, for ``python -m keeper``:
by a fork of ``forking.py``. What an interpreter reads from its environment is as it is in that
process: a test of such a thing, or of importing, starts ``python -m keeper`` itself.
"""

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TextIO

from tests.support.canaries import mark_variables, refuse_leaks

ROOT = Path(__file__).resolve().parents[2]
SHORT = 64
"""Bytes in which a number fits."""


class Forked:
    """A keeper's process: as much of ``subprocess.Popen`` as tests use."""

    def __init__(
        self, arguments: Sequence[str], line: socket.socket, stdout: TextIO | None
    ) -> None:
        self.returncode: int | None = None
        self.stdout = stdout
        self._arguments = arguments
        self._line = line
        pid, handles, _, _ = socket.recv_fds(line, SHORT, 1)
        self.pid = _number(pid)
        (self._handle,) = handles

    def poll(self) -> int | None:
        """Return the exit code, a signal's as a negative number; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; ``subprocess.TimeoutExpired`` if there is none by then."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # its code is on the way
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._line], [], [], seconds)[0]:
            self.returncode = _number(self._line.recv(SHORT))
            self._line.close()
            os.close(self._handle)
        return self.returncode


def _number(told: bytes) -> int:
    if not told:
        raise ChildProcessError("the process that forks keepers has ended; its stderr says why")
    return int(told)


def started(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    module: str = "keeper",
    imported: str = "keeper",
) -> Forked:
    """
    Start ``keeper``, or another module, with these arguments.

    Streams are files or descriptors; ``stdout`` may be ``PIPE``, and ``stderr`` then ``STDOUT``.
    All of the keeper is ``imported``, or only the ``libraries``: then it imports itself, in its
    own order.
    """
    mark_variables(env)
    asked = {
        "module": module,
        "arguments": list(arguments),
        "folder": str(cwd),
        "environ": dict(env),
    }
    reading: TextIO | None = None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.ExitStack() as given:
        given.enter_context(theirs)
        nothing = given.enter_context(Path(os.devnull).open("rb"))
        if stdout == subprocess.PIPE:
            out, stdout = os.pipe()
            reading = os.fdopen(out)
            given.callback(os.close, stdout)
        streams = (nothing, stdout, stdout if stderr == subprocess.STDOUT else stderr)
        files = [one if isinstance(one, int) else one.fileno() for one in (*streams, theirs)]
        socket.send_fds(_parent(imported), [json.dumps(asked).encode()], files)
    return Forked(arguments, ours, reading)


def completed(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    module: str = "keeper",
    imported: str = "keeper",
) -> subprocess.CompletedProcess[str]:
    """Run what ``started`` starts to its end, and return what it printed."""
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    with ThreadPoolExecutor(2) as readers, os.fdopen(out) as told, os.fdopen(err) as complained:
        process = started(
            arguments,
            cwd=cwd,
            env=env,
            stdout=to_out,
            stderr=to_err,
            module=module,
            imported=imported,
        )
        os.close(to_out)
        os.close(to_err)
        texts = [readers.submit(one.read) for one in (told, complained)]
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        out_text, err_text = (one.result() for one in texts)
    for text in (out_text, err_text):
        refuse_leaks(text, "what a process printed")
    return subprocess.CompletedProcess(arguments, code, out_text, err_text)


@functools.cache
def _parent(imported: str) -> socket.socket:
    """Return the line to the process that forks: one for each process that runs tests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forking", str(theirs.fileno()), imported],
            cwd=ROOT,
            env=kept | {"OPENBLAS_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours
