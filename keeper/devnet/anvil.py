"""Start and stop Anvil, the local Ethereum node."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from keeper.devnet.toolchain import anvil_binary
from keeper.domain.errors import EnvironmentFault

HOST: Final = "127.0.0.1"
CHAIN_ID: Final = 31337
BLOCK_GAS_LIMIT: Final = 60_000_000

_KEPT_STATES: Final = 256
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AnvilOptions:
    """Options of Anvil. With ``port`` 0 the system chooses one.

    ``timestamp`` is the genesis time in seconds. ``fork_port`` makes it a fork of another local
    node. ``detached`` lets it outlive the process that started it.
    """

    port: int = 0
    timestamp: int | None = None
    fork_port: int | None = None
    ipc: Path | None = None
    log: Path | None = None
    detached: bool = False
    extra: Sequence[str] = ()


@dataclass(slots=True)
class Anvil:
    """A running Anvil, used as a context manager or stopped by ``stop``."""

    port: int
    pid: int
    ipc: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def http(self) -> str:
        """The JSON-RPC endpoint over HTTP."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws(self) -> str:
        """The JSON-RPC endpoint over a websocket."""
        return f"ws://{HOST}:{self.port}"

    def stop(self) -> None:
        """Stop the process and wait for its end. Does nothing if it has ended already."""
        stop_process(self.pid)
        if self._process is not None:
            self._process.wait(_STOP_SECONDS)
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_anvil(options: AnvilOptions) -> Anvil:
    """Start Anvil and return when it answers.

    Unless ``detached``, the kernel ends it together with its owner. Anvil mines a block per
    transaction by default.

    Raises:
        EnvironmentFault: the port is taken, or Anvil did not start.
    """
    log = options.log or Path(os.devnull)
    with _reserve_port(options.port) as port:
        command = [str(anvil_binary()), *_build_arguments(options, port)]
        process = None if options.detached else _start_owned(command, log)
        pid = _start_detached(command, log) if process is None else process.pid
        anvil = Anvil(port=port, pid=pid, ipc=options.ipc, _process=process)
        try:
            _wait_until_it_answers(pid, port)
        except EnvironmentFault:
            anvil.stop()
            raise
    return anvil


def _start_owned(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process that the kernel ends together with this one."""
    with log.open("ab") as output:
        # The binary is the pinned one of the npm lock, the arguments are our own.
        return subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # prctl only: safe between fork and exec.
            preexec_fn=die_with_owner,  # noqa: PLW1509
        )


def _start_detached(command: Sequence[str], log: Path) -> int:
    """Start a process in its own session, which outlives this one. Returns its id."""
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        files = [
            (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
        ]
        return os.posix_spawn(
            command[0], list(command), os.environ, file_actions=files, setsid=True
        )


def stop_process(pid: int) -> bool:
    """Stop a process by its id, by SIGTERM and then SIGKILL. False if it was not running."""
    if not is_running(pid):
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        if not is_running(pid):
            return True
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return True


def is_running(pid: int) -> bool:
    """Return whether the id is that of a live Anvil (ids are reused by the system)."""
    return _is_alive(pid, "anvil")


def _is_alive(pid: int, name: str = "") -> bool:
    """Return whether a process of that name runs, zombies excluded."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    found, _, rest = status.partition("(")[2].rpartition(")")
    return name in {"", found} and not rest.startswith(" Z")


def _build_arguments(options: AnvilOptions, port: int) -> list[str]:
    arguments = ["--host", HOST, "--port", str(port)]
    arguments += ["--prune-history", str(_KEPT_STATES), "--enable-tx-gas-limit"]
    if options.fork_port is None:
        arguments += ["--chain-id", str(CHAIN_ID), "--gas-limit", str(BLOCK_GAS_LIMIT)]
    else:
        arguments += ["--fork-url", f"http://{HOST}:{options.fork_port}"]
        arguments += ["--no-storage-caching", "--no-rate-limit"]
    if options.timestamp is not None:
        arguments += ["--timestamp", str(options.timestamp)]
    if options.ipc is not None:
        arguments += ["--ipc", str(options.ipc)]
    return [*arguments, *options.extra]


@contextlib.contextmanager
def _reserve_port(wanted: int) -> Iterator[int]:
    """Yield the port, or a free one that stays reserved meanwhile."""
    with socket.socket() as held:
        if wanted == 0:
            held.bind((HOST, 0))
            # From here on the port can be bound explicitly, as Anvil does.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            wanted = int(held.getsockname()[1])
        yield wanted


def die_with_owner() -> None:
    """Let the kernel end this process together with the one that started it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_until_it_answers(pid: int, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if not _is_alive(pid):
            raise EnvironmentFault(
                "Anvil ended at once", hint=f"is port {port} taken? its log says more"
            )
        try:
            with socket.create_connection((HOST, port), timeout=1):
                return
        except OSError:
            time.sleep(0.01)
    raise EnvironmentFault(f"Anvil did not answer within {_START_SECONDS:.0f} s")
