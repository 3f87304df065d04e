"""Asks a process that has everything imported (``forking.py``) for keepers, and about them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE = 120.0
ROOT = Path(__file__).resolve().parents[2]


class Zygote:
    """The one who asks: starts keepers, waits for them, ends with ``close``."""

    def __init__(self) -> None:
        environ = {name: value for name, value in os.environ.items() if "KEEPER" not in name}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forking"],
            cwd=ROOT,
            env=environ | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, folder: Path, environ: dict[str, str], *arguments: str) -> int:
        """Start ``keeper`` in a folder; stdout and stderr go to files there; returns its id."""
        return int(self._ask(do="start", folder=str(folder), environ=environ, argv=arguments))

    def poll(self, pid: int) -> int | None:
        """Return the exit code, a signal's as a negative number; None while it runs."""
        answer = self._ask(do="poll", pid=pid)
        return None if answer is None else int(answer)

    def end(self, pid: int, number: int = signal.SIGKILL, seconds: float = PATIENCE) -> int:
        """Send a signal and return the exit code."""
        self._ask(do="signal", pid=pid, number=int(number))
        deadline = time.monotonic() + seconds
        while (code := self.poll(pid)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {pid} did not end")
            time.sleep(0.01)
        return code

    def close(self) -> None:
        """End it, and whatever it started."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self, **question: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())
