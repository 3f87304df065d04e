"""Metrics counted from the node's events."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keeper.domain.units import USD_E8
from keeper.observe.events import Event
from keeper.observe.metrics import Metrics, ether, gwei

log = logging.getLogger(__name__)

TX_STATES = ("submitted", "succeeded", "reverted", "cancelled", "reopened", "final")

FINALITY_STATES = ("violated", "taken_back", "restored")


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counters of events.

    Unknown events are ignored. An event that cannot be parsed is a warning, so that no transaction
    is held up by a metric.
    """

    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    _sent: dict[object, float] = field(default_factory=dict)
    _gas: dict[object, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for state in TX_STATES:
            self.metrics.tx.labels(state)
        for state in FINALITY_STATES:
            self.metrics.finality.labels(state)

    def told(self, event: Event) -> None:
        """Count one event."""
        known: Mapping[str, Callable[[Event], None]] = {
            "decision": self._count_decision,
            "attempt": self._count_attempt,
            "included": self._count_inclusion,
            "reopened": self._count_reopening,
            "final": self._count_final,
            "breaker": self._set_breaker,
            "finality": self._count_finality,
            "notification": self._count_notification,
            "rebuilt": self._count_rebuild,
        }
        count = known.get(str(event.get("event")))
        if count is None:
            return
        try:
            count(event)
        except (LookupError, TypeError, ValueError) as error:
            log.warning("event_not_counted event=%s reason=%r", event.get("event"), error)

    def _count_rebuild(self, event: Event) -> None:
        self.metrics.rebuilds.labels(str(event["market"])).inc()

    def _count_decision(self, event: Event) -> None:
        self.metrics.decisions.labels(str(event["action"]), str(event["reason"])).inc()

    def _count_attempt(self, event: Event) -> None:
        kind = str(event["kind"])
        self.metrics.attempts.labels(kind, str(event["result"])).inc()
        if kind == "send":
            self.metrics.tx.labels("submitted").inc()
            self._sent.setdefault(event["nonce"], self.clock())
        elif kind == "bump":
            self.metrics.bumps.inc()

    def _count_inclusion(self, event: Event) -> None:
        cancelled = event["kind"] == "cancel"
        state = "cancelled" if cancelled else "succeeded" if event["success"] else "reverted"
        self.metrics.tx.labels(state).inc()
        self.metrics.gas_price.set(gwei(int(str(event["gas_price_wei"]))))
        since = self._sent.pop(event["nonce"], None)
        if since is not None:
            self.metrics.confirm.observe(self.clock() - since)
        plans = event["plans"]
        for plan in plans if isinstance(plans, list) else []:
            self.metrics.plans.labels("failed" if plan["failure"] else "succeeded").inc()
        self._count_profit(event, 1)

    def _count_reopening(self, event: Event) -> None:
        self.metrics.tx.labels("reopened").inc()
        self._count_profit(event, -1)

    def _count_final(self, event: Event) -> None:
        self.metrics.tx.labels("final").inc()
        self._sent.pop(event["nonce"], None)
        self._gas.pop(event["nonce"], None)

    def _set_breaker(self, event: Event) -> None:
        self.metrics.breaker.labels(str(event["name"])).set(event["state"] == "open")

    def _count_finality(self, event: Event) -> None:
        self.metrics.finality.labels(str(event["state"])).inc()

    def _count_notification(self, event: Event) -> None:
        self.metrics.told.labels(str(event["channel"]), str(event["result"])).inc()

    def _count_gas(self, event: Event) -> None:
        """Count a nonce's cost once, since a counter cannot subtract after a reorg."""
        cost, nonce = int(str(event["gas_cost_wei"])), event["nonce"]
        counted = self._gas.get(nonce, 0)
        if cost > counted:
            self.metrics.gas_spent.inc(ether(cost - counted))
            self._gas[nonce] = cost

    def _count_profit(self, event: Event, sign: int) -> None:
        self._count_gas(event)
        usd = event.get("net_profit_usd_e8")
        if usd is not None:
            self.metrics.profit_usd.inc(sign * int(str(usd)) / USD_E8)
        self.metrics.profit.inc(sign * ether(int(str(event["net_profit_wei"]))))
