"""Progress of the demo on stderr, a line per event."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from keeper.cli.words import ether
from keeper.devnet.demo.places import Spot
from keeper.devnet.demo.report import many, reason_words, short
from keeper.observe.redaction import one_line


def _build_console() -> Console:
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


@dataclass(slots=True)
class Progress:
    """Lines that stay, and on a terminal one line under them that says where things stand."""

    console: Console = field(default_factory=_build_console)
    began: float = field(default_factory=time.monotonic)
    _live: Live | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Show the status line while the context lasts. Without a terminal there is none."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, transient=True, refresh_per_second=4) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def line(self, text: str, style: str = "") -> None:
        """Print a lasting line, with the seconds since the demo started."""
        told = f"{time.monotonic() - self.began:5.1f} s  {one_line(text)}"
        self.console.print(Text(told, style=style))

    def status(self, text: str) -> None:
        """Update the status line."""
        if self._live is not None:
            self._live.update(Text(one_line(text), style="dim"))

    def keeper(self, event: Mapping[str, Any], kinds: Mapping[Spot, str]) -> None:
        """Print one event of the keeper, if it matters to a reader."""
        text, style = _format_event(event, kinds)
        if text:
            self.line(f"block {event.get('block_number', '?')}    {text}", style)


def _format_event(event: Mapping[str, Any], kinds: Mapping[Spot, str]) -> tuple[str, str]:
    kind = event["event"]
    if kind == "attempt":
        count = len(event["accounts"])
        return f"keeper {event['kind']}s {many(count, 'liquidation')} in one transaction", ""
    if kind == "included":
        done = sum(1 for plan in event["plans"] if not plan["failure"])
        netted = ether(event["net_profit_wei"])
        return f"mined: {many(done, 'liquidation')}, {netted} ETH net", "green"
    if kind == "decision" and event["action"] == "skip" and event["reason"] != "in_flight":
        who = event["account"]
        reason = reason_words(event["reason"], event["detail"])
        kind = kinds.get((event["market"], who), "?")
        return f"leaves {short(who)} ({kind}) alone: {reason}", "dim"
    if kind in ("quarantine", "warning", "reopened"):
        return f"{kind}: {event.get('reason', event.get('hash'))}", "yellow"
    return "", ""
