"""What systemd is told of a service that runs under it (``Type=notify``, ``WatchdogSec``)."""

import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from typing import Final, Self

from keeper.domain.head import Head

log = logging.getLogger(__name__)

VARIABLE: Final = "NOTIFY_SOCKET"
_ABSTRACT: Final = "@"


class Supervisor:
    """
    Tells systemd by its datagrams, or nobody; never waits and never fails.

    The watchdog is fed by blocks that were worked on to the end and by nothing else: a loop that
    hangs, and one that spins without getting on, are both ended from outside.

    Source: sd_notify(3).
    """

    def __init__(self, address: str = "") -> None:
        self._address = "\0" + address[1:] if address.startswith(_ABSTRACT) else address
        self._failed = False

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the supervisor that started this process; one that hears nothing without it."""
        return cls(environ.get(VARIABLE, ""))

    def ready(self) -> None:
        """Say that the start is over: blocks are followed from now on."""
        self._tell("READY=1")

    def got_on(self, head: Head) -> None:
        """Say that a block was worked on to the end."""
        self._tell(f"WATCHDOG=1\nSTATUS=block {head.number}")

    def stopping(self) -> None:
        """Say that it ends because it was asked to, or must."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        try:
            with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as datagrams:
                datagrams.settimeout(0)
                datagrams.sendto(state.encode(), self._address)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("supervisor_not_told reason=%s", error.strerror)
            self._failed = True
