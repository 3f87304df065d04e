"""
``keeper``, with a note of every address that the process sends bytes to.

``python -m tests.support.departures`` is ``python -m keeper``. Each connection and datagram, and
each program that is started, goes as a line into the file that ``DEPARTURES`` names: that a keeper
talks to nobody but its endpoints is seen where its bytes leave.
"""

import os
import sys

from keeper.__main__ import main

NAMED = "DEPARTURES"
ADDRESSED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
STARTED = frozenset({"subprocess.Popen", "os.posix_spawn", "os.exec", "os.system"})


def watch(notes: int) -> None:
    """Write down from now on where this process's bytes go."""

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if (event in ADDRESSED and arguments[1] is not None) or event in STARTED:
            os.write(notes, f"{event} {arguments[1]!r}\n".encode())

    sys.addaudithook(note)


if __name__ == "__main__":
    watch(os.open(os.environ[NAMED], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    sys.exit(main())
