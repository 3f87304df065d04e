"""Endpoint health as events, checks and metrics."""

import logging
from collections.abc import Callable
from typing import Final

from keeper.chain.faults import Faults, describe
from keeper.chain.pool import QUORUM, News, Pool, StateChange
from keeper.chain.standing import State
from keeper.observe.events import Event
from keeper.observe.health import ENDPOINT_PATIENCE, Check
from keeper.observe.metrics import Metrics
from keeper.observe.vitals import Vitals

log = logging.getLogger(__name__)

_DISAGREEMENTS: Final = ("head", "nonce", "receipt", "finalized", "send", "fees")


def tell_endpoints(pool: Pool, emit: Callable[[Event], None], *, signing: bool) -> None:
    """Emit events of endpoint changes from now on, and warn when signing with one endpoint."""

    def told(news: News) -> None:
        number = 0 if pool.current is None else pool.current.number
        emit(news_event(news) | {"block_number": number})

    pool.told = told
    if signing and len(pool) < QUORUM:
        hint = "a second endpoint would show when this one errs: chain.endpoints"
        log.warning("degraded: no quorum endpoints=%d hint=%s", len(pool), hint)


def news_event(news: News) -> Event:
    """Build the event of an endpoint's state, or of a disagreement between endpoints.

    ``endpoint`` is its position in the settings, from 0, never its address.
    """
    if isinstance(news, StateChange):
        return {
            "event": "endpoint",
            "endpoint": news.endpoint,
            "state": str(news.state),
            "last": news.clings,
            "reason": news.reason,
        }
    return {
        "event": "disagreement",
        "state": "over" if news.over else "found",
        "what": news.what,
        "detail": news.detail,
    }


def endpoint_check(vitals: Vitals, pool: Pool) -> Check:
    """Build the check that an endpoint of the right chain answers."""

    def check() -> str:
        fit = pool.alive()
        if not fit:
            return "no endpoint is fit: " + "; ".join(
                f"{at} is {one.state} ({one.reason})" for at, one in enumerate(pool.standings)
            )
        since = vitals.failing_since
        if since is None or vitals.clock() - since < ENDPOINT_PATIENCE:
            return ""
        return f"no endpoint has answered for {vitals.clock() - since:.0f} s"

    return check


def answers_check(faults: Faults) -> Check:
    """Build the check that some endpoint answers each method that is needed."""
    return lambda: describe(faults.unanswered())


def agreement_check(pool: Pool) -> Check:
    """Build the check that endpoints neither disagree nor contradict final blocks."""

    def check() -> str:
        return "; ".join(pool.disagreements.reasons())

    return check


def measure(metrics: Metrics, pool: Pool) -> None:
    """Set the endpoints' metrics to their present state."""
    for at, standing in enumerate(pool.standings):
        for state in State:
            metrics.endpoint_state.labels(str(at), str(state)).set(state is standing.state)
        metrics.endpoint_lag.labels(str(at)).set(standing.lag)
        head, age = pool.sightings[at].head, pool.head_age(at)
        if head is not None and age is not None:
            metrics.head_number.labels(str(at)).set(head.number)
            metrics.endpoint_head_age.labels(str(at)).set(age)
    for what in _DISAGREEMENTS:
        metrics.disagreements[what] = pool.disagreements.counts[what]
