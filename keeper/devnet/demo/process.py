"""Real keeper as a subprocess, with its events as they come and its end ensured."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keeper.devnet.anvil import die_with_owner
from keeper.domain.errors import EnvironmentFault
from keeper.observe.redaction import one_line

Event = dict[str, Any]

_ROOT: Final = Path(__file__).resolve().parents[3]
_STOP_SECONDS: Final = 20
_SHOWN_LINES: Final = 12


@dataclass(slots=True)
class KeeperProcess:
    """``keeper run --json``: events go to ``keeper.jsonl``, stderr to ``keeper.log``."""

    events_file: Path
    log: Path
    _process: subprocess.Popen[bytes]
    _read: int = 0

    @classmethod
    def start(cls, config: Path, *, outlive: bool = False) -> "KeeperProcess":
        """Start it with a settings file. Unless it may ``outlive`` us, the kernel ends it too."""
        events, log = config.with_name("keeper.jsonl"), config.with_name("keeper.log")
        command = [sys.executable, "-m", "keeper", "run", "--json", "--config", str(config)]
        # The settings are the file's: nothing of the caller's own keeper may leak in.
        environ = {key: value for key, value in os.environ.items() if not key.startswith("KEEPER_")}
        with events.open("wb") as output, log.open("wb") as errors:
            # Our own interpreter and module, in a session of its own: Ctrl-C is ours to pass on.
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=_ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                # prctl only: safe between fork and exec.
                preexec_fn=None if outlive else die_with_owner,  # noqa: PLW1509
            )
        return cls(events, log, process)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def events(self) -> list[Event]:
        """Return its events since the last call.

        Raises:
            EnvironmentFault: it has ended by itself. ``hint`` holds its last lines.
        """
        code = self._process.poll()
        if code is not None:
            raise EnvironmentFault(f"the keeper ended with code {code}", hint=self.last_words())
        return self.rest()

    def rest(self) -> list[Event]:
        """Return its events since the last call, running or not."""
        with self.events_file.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]

    def stop(self) -> int:
        """End it by SIGTERM, as a supervisor would, and return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        return int(self._process.returncode)

    def last_words(self) -> str:
        """Return the end of its stderr on one line."""
        lines = self.log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
        return one_line(" | ".join(lines))
