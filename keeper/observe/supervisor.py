"""Notifications to systemd from a service of ``Type=notify`` with ``WatchdogSec``."""

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
    """Sends datagrams to systemd if it started the process. Never blocks, never fails.

    Only completely processed blocks feed the watchdog. systemd therefore ends both a loop that
    hangs and one that spins without progress. Source: sd_notify(3).
    """

    def __init__(self, address: str = "") -> None:
        self._address = "\0" + address[1:] if address.startswith(_ABSTRACT) else address
        self._failed = False

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the notifier of this process, inactive without systemd."""
        return cls(environ.get(VARIABLE, ""))

    def ready(self) -> None:
        """Notify that the start is complete and blocks are followed."""
        self._send_state("READY=1")

    def got_on(self, head: Head) -> None:
        """Notify that a block is completely processed."""
        self._send_state(f"WATCHDOG=1\nSTATUS=block {head.number}")

    def stopping(self) -> None:
        """Notify that the process is ending."""
        self._send_state("STOPPING=1")

    def _send_state(self, state: str) -> None:
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
