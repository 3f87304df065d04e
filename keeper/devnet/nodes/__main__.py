"""
``scripts/nodes``: a keeper in a crash, before nodes that misbehave in one method each.

A recorded run gives the methods that the keeper calls. Each of them is then refused, null,
empty, late and so on through a crash on a local chain, with one endpoint and with a good second
one. A cell fails where a plan that pays was not sent and neither ``/readyz`` nor ``doctor`` names
the method.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence

from keeper.devnet.nodes import process
from keeper.devnet.nodes.campaign import Campaign, Order, Verdict
from keeper.devnet.nodes.crash import Examine
from keeper.domain.errors import KeeperError
from keeper.observe.logging import configure

_WORDS = 160
_TERMINATED = 128 + signal.SIGTERM


def line_of(verdict: Verdict) -> str:
    """Format a cell's line."""
    seen, late = verdict.seen, verdict.extra_milliseconds
    parts = [
        f"{'ok  ' if verdict.passed else 'FAIL'} {verdict.cell.name}:",
        f"{min(seen.blocks, seen.mined)} of {seen.mined} blocks,",
        f"{verdict.sent} of {verdict.paying} plans sent,",
        f"{verdict.extra_requests:+} requests,",
        "never sent" if late is None else f"{late:+} ms",
    ]
    if not verdict.met:
        parts.append("- never met")
    if verdict.beside:
        parts.append(f"- in one crash with {verdict.beside} more")
    if seen.exit_code is not None:
        parts.append(f"- ended with {seen.exit_code}")
    reason = verdict.reason or "; ".join(f"{key}: {why}" for key, why in seen.reasons.items())
    if not verdict.agreed:
        parts.append(f"- doctor says that it {'acts' if seen.acts else 'does not act'}")
    if verdict.sent < verdict.paying:
        parts.append(f"- says: {reason[:_WORDS] or 'nothing'}")
        if verdict.blocks_until_said is not None:
            parts.append(f"- after {verdict.blocks_until_said} blocks")
        parts.append(f"- doctor: {verdict.diagnosis[:_WORDS] or 'nothing'}")
    return " ".join(parts)


def document_of(verdict: Verdict) -> dict[str, object]:
    """Build a cell's JSON document."""
    seen = verdict.seen
    return {
        "cell": verdict.cell.name,
        "passed": verdict.passed,
        "blocks": seen.blocks,
        "blocks_mined": seen.mined,
        "sent": verdict.sent,
        "paying": verdict.paying,
        "spoilt_answers": verdict.met,
        "cells_beside": verdict.beside,
        "extra_requests": verdict.extra_requests,
        "extra_milliseconds": verdict.extra_milliseconds,
        "exit_code": seen.exit_code,
        "reason": verdict.reason,
        "blocks_until_said": verdict.blocks_until_said,
        "doctor": verdict.diagnosis,
        "doctor_acts": seen.acts,
        "reasons": seen.reasons,
        "log": list(seen.last_lines),
        "seconds": round(seen.seconds, 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. The exit code is 1 if a cell fails."""
    parser = argparse.ArgumentParser(prog="scripts/nodes", description=__doc__)
    parser.add_argument(
        "--cell",
        default="",
        metavar="METHOD:BEHAVIOUR",
        help="only these cells; METHOD:refused + METHOD:BEHAVIOUR is a second way",
    )
    parser.add_argument("--short", action="store_true", help="a few cells of different kinds")
    parser.add_argument("--slots", type=int, default=7, help="local chains at once")
    parser.add_argument("--doctor", action="store_true", help="ask doctor of every endpoint")
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each cell")
    given = parser.parse_args(arguments)
    configure(level="error", form="text")
    process.prepare()

    def tell(verdict: Verdict) -> None:
        line = json.dumps(document_of(verdict)) if given.json else line_of(verdict)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    began = time.monotonic()
    examine = Examine.ALWAYS if given.doctor else Examine.FAILURES
    order = Order(slots=given.slots, only=given.cell, short=given.short, examine=examine)
    try:
        verdicts = asyncio.run(_run_until_ended(Campaign(order, tell)))
    except KeeperError as error:
        sys.stderr.write(f"error[{error.code}]: {error}\n")
        return error.exit_code
    except asyncio.CancelledError:
        return _TERMINATED
    failed = sum(not verdict.passed for verdict in verdicts)
    sys.stderr.write(f"{len(verdicts)} cells, {failed} failed, {time.monotonic() - began:.0f} s\n")
    return int(bool(failed))


async def _run_until_ended(campaign: Campaign) -> list[Verdict]:
    """Run a campaign. A termination signal stops its chains and keepers first."""
    loop, running = asyncio.get_running_loop(), asyncio.ensure_future(campaign.run())
    loop.add_signal_handler(signal.SIGTERM, running.cancel)
    return await running


if __name__ == "__main__":
    sys.exit(main())
