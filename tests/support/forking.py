"""
A process that has everything imported, and forks a keeper where one is asked for.

Importing takes longer than everything else that a keeper does before its first block; hundreds
of starts need it once. What is forked is a process of its own, with streams, environment, folder
and exit code of its own, ended and killed like any other; from there on it runs ``keeper`` as
``python -m keeper`` does. ``forked.py`` asks for it, over a socket whose number is the argument:
``python -m tests.support.forking 5 keeper``, or ``libraries`` for one that has only those.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import sys
from pathlib import Path
from typing import Any

from keeper.cli.lazy import COMMANDS
from keeper.devnet.anvil import die_with_owner

ON_DEMAND = ("keeper.protocols.aave_v3.adapter", "keeper.quotes.uniswap_v3.adapter")
"""What commands import while they run."""

LIBRARIES = (
    *("aiohttp", "apprise", "coincurve", "eth_abi.abi", "eth_account", "eth_utils.crypto", "numpy"),
    *("prometheus_client", "pydantic", "rich.progress", "sqlalchemy", "tenacity", "typer", "web3"),
)
"""What others wrote and the keeper imports: most of the time that importing takes."""

LONGEST_MESSAGE = 1 << 18
STREAMS = 3


class Parent:
    """Forks what it is asked for and tells each asker how its keeper ended."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self._ready = selectors.DefaultSelector()
        self._ready.register(asked, selectors.EVENT_READ)

    def serve(self) -> dict[str, Any] | None:
        """Return what to become: in a fork. None, when nobody is left to ask."""
        while True:
            for key, _ in self._ready.select():
                if key.fileobj is not self._asked:
                    self._tell(key)
                    continue
                message, files, _, _ = socket.recv_fds(self._asked, LONGEST_MESSAGE, STREAMS + 1)
                if not message:
                    return None
                if self._forked(files):
                    return dict(json.loads(message))

    def _forked(self, files: list[int]) -> bool:
        """Return whether this is the fork; in the parent, tell the asker its number."""
        *streams, line = files
        pid = os.fork()
        if pid == 0:
            die_with_owner()
            self._leave(streams, line)
            return True
        for one in streams:
            os.close(one)
        asker, handle = socket.socket(fileno=line), os.pidfd_open(pid)
        socket.send_fds(asker, [str(pid).encode()], [handle])
        self._ready.register(handle, selectors.EVENT_READ, (pid, asker))
        return False

    def _leave(self, streams: list[int], line: int) -> None:
        """Take the streams that were given, and let go of all that is the parent's."""
        for key in list(self._ready.get_map().values()):
            if key.fileobj is not self._asked:
                os.close(key.fd)
                key.data[1].close()
        self._ready.close()
        self._asked.close()
        os.close(line)
        for place, descriptor in enumerate(streams):
            os.dup2(descriptor, place)
            os.close(descriptor)

    def _tell(self, key: selectors.SelectorKey) -> None:
        pid, asker = key.data
        self._ready.unregister(key.fd)
        os.close(key.fd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with asker, contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            asker.sendall(str(code).encode())


def _preload(what: str) -> None:
    commands = (spec.target.partition(":")[0] for spec in COMMANDS.values())
    for name in LIBRARIES if what == "libraries" else (*commands, *ON_DEMAND):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a fork's first collection would copy all of it


def _become(asked: dict[str, Any]) -> None:
    """Turn the fork into ``python -m`` of a module with these arguments; never returns."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.argv = [asked["module"], *asked["arguments"]]
    sys.path[0] = str(Path.cwd())
    runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


def _main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        _preload(sys.argv[2])
        wanted = Parent(asked).serve()
    if wanted is not None:
        _become(wanted)


if __name__ == "__main__":
    _main()
