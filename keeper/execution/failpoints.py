"""
Failpoints that kill the process, for tests of restarts.

==== ==========================================================================================
K0   a head was read, nothing decided
K1   decided, nothing signed
K2   a nonce is taken (in memory), nothing signed
K3   signed, nothing recorded
K4   recorded, nothing sent
K5   the bytes have left, no answer is noted
K6   the answer is noted
K7   the bytes of a nonce went out again, at a later head
K8   a receipt of ours was found, nothing booked
K9   booked, and a later block was built upon it
K10  the block that has it is final, nothing noted of that
K11  the receipt, and the profit in its logs, are booked
K12  the booking was emitted
K13  noted as final, and no longer followed
==== ==========================================================================================

Armed by ``KEEPER_FAILPOINT=K4:3`` (SIGKILL when K4 is passed for the third time, the count is 1
where there is none) or ``K4:3:term`` (SIGTERM), and only on a developer's own chain. Otherwise
``reached`` does nothing.
"""

import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keeper.domain.errors import ConfigError

log = logging.getLogger(__name__)

VARIABLE: Final = "KEEPER_FAILPOINT"
POINTS: Final = frozenset(f"K{number}" for number in range(14))
LOCAL_CHAINS: Final = frozenset({1337, 31_337})

_SIGNALS: Final = {"kill": signal.SIGKILL, "term": signal.SIGTERM}


@dataclass(slots=True)
class Failpoint:
    """Failpoint at which the process ends itself by a signal after a number of passes."""

    point: str
    passes: int
    signal: signal.Signals

    def reached(self, point: str) -> None:
        """Count a pass of the point, and end the process at the last one."""
        if point != self.point:
            return
        self.passes -= 1
        if self.passes == 0:
            os.kill(os.getpid(), self.signal)


armed: list[Failpoint] = []


def reached(point: str) -> None:
    """Pass a failpoint. The process ends here if a test armed it."""
    for one in armed:
        one.reached(point)


def arm(chain_id: int, environ: Mapping[str, str] | None = None) -> None:
    """Arm the failpoint that the environment names. On a non-local chain it is ignored and logged.

    Raises:
        ConfigError: it names no failpoint.
    """
    armed.clear()
    wanted = (os.environ if environ is None else environ).get(VARIABLE, "")
    if not wanted:
        return
    if chain_id not in LOCAL_CHAINS:
        log.warning("failpoint_ignored chain=%d reason=%s", chain_id, "not a local chain")
        return
    armed.append(_parse_failpoint(wanted))
    log.warning("failpoint_armed point=%s", wanted)


def _parse_failpoint(text: str) -> Failpoint:
    point, _, rest = text.partition(":")
    count, _, how = rest.partition(":")
    passes = int(count) if count.isascii() and count.isdecimal() else int(not count)
    if point not in POINTS or passes < 1 or (how or "kill") not in _SIGNALS:
        raise ConfigError(
            f"{VARIABLE} is not a point to fail at",
            hint="K0 to K13, then how often it is passed, then kill or term: K4:3:kill",
        )
    return Failpoint(point=point, passes=passes, signal=_SIGNALS[how or "kill"])
