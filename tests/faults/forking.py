"""
A process that has everything imported, and forks a keeper where one is asked for.

Importing takes longer than everything else that a keeper does before its first block; a
thousand starts need it once. What is forked is a process of its own, killed like any other.
Run as ``python -m tests.faults.forking``; it takes JSON lines on stdin and answers each with one.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from keeper.cli.root import run
from keeper.devnet.anvil import die_with_owner

PRELOADED = (
    "keeper.app",
    "keeper.cli.run",
    "keeper.protocols.aave_v3.adapter",
    "keeper.quotes.uniswap_v3.adapter",
)
"""What ``keeper run`` imports on its way, on demand."""


def _serve() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    codes: dict[int, int] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "start":
            answer: int | None = os.fork()
            if answer == 0:
                die_with_owner()
                _become(asked)
        elif asked["do"] == "signal":
            answer = 0
            if asked["pid"] not in codes:
                os.kill(asked["pid"], asked["number"])
        else:
            answer = _code(asked["pid"], codes)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _code(pid: int, codes: dict[int, int]) -> int | None:
    if pid not in codes:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found == pid:
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes.get(pid)


def _become(asked: dict[str, Any]) -> None:
    """Turn the fork into ``keeper`` with these arguments; never returns."""
    folder = Path(asked["folder"])
    os.chdir(folder)
    os.environ.update(asked["environ"])
    out = os.open(folder / "out.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    err = os.open(folder / "err.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, place)
    code = 70
    try:
        code = run(asked["argv"])
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
