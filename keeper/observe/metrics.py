"""Prometheus metrics with conventional names, units and labels.

No label holds an account, a transaction or an endpoint's address. Amounts are floats in gwei or
ether for display. Exact profits are in the journal.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from keeper.domain.units import GWEI, USD_E8, WAD, MarketKey

FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Buckets in seconds, from a local node's answer to a time-out."""
SLOW: Final = (1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600)
"""Buckets in seconds, from one block to many."""
DEPTHS: Final = (1, 2, 3, 5, 8, 16, 32, 64, 128)
"""Buckets in blocks."""


class Metrics:
    """Every metric of one node, in a registry of its own.

    ``requests`` counts JSON-RPC requests by method, read on collection.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests: dict[str, int] = {}
        self.journal_failures = 0
        self.disagreements: dict[str, int] = {}
        self.book_failures = 0
        ProcessCollector(registry=self.registry)
        self.registry.register(_CountCollector(self))
        self._create_chain_metrics()
        self._create_work_metrics()
        self._create_margin_metrics()
        self._create_money_metrics()

    def text(self) -> bytes:
        """Render all metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)

    def set_uncovered(self, worths: Mapping[MarketKey, int | None]) -> None:
        """Set each market's uncovered debt from 1e-8 dollars. NaN without a price."""
        for market, worth in worths.items():
            self.uncovered.labels(market).set(math.nan if worth is None else worth / USD_E8)

    def count_looks(self, counts: Mapping[str, int]) -> None:
        """Bring the counter of second looks up to these counts."""
        for result, count in counts.items():
            self.second_looks.labels(result).inc(count - self._looks_counted.get(result, 0))
            self._looks_counted[result] = count

    def _create_chain_metrics(self) -> None:
        self.build = self._create_gauge(
            "build_info", "What runs; always 1", "version", "chain_id", "mode"
        )
        self.head_number = self._create_gauge(
            "head_block_number", "Number of the newest block heard of", "endpoint"
        )
        self.endpoint_state = self._create_gauge(
            "rpc_endpoint_state", "1 for the state that an endpoint is in", "endpoint", "state"
        )
        self.endpoint_lag = self._create_gauge(
            "rpc_endpoint_lag_blocks", "Blocks that an endpoint is behind the others", "endpoint"
        )
        self.endpoint_head_age = self._create_gauge(
            "rpc_endpoint_head_age_seconds", "Since an endpoint's newest block", "endpoint"
        )
        self.head_age = self._create_gauge(
            "head_age_seconds", "Time since the chain was heard to grow"
        )
        self.head_time = self._create_gauge(
            "head_timestamp_seconds", "The newest block's own timestamp"
        )
        self.reorgs = self._create_histogram(
            "reorg_depth_blocks", "Blocks that a reorg took back", DEPTHS
        )
        self.rpc_seconds = self._create_histogram(
            "rpc_request_duration_seconds",
            "From a message to a node to its answer; several methods in one are a batch",
            FAST,
            "endpoint",
            "method",
        )
        self.rpc_errors = self._create_counter(
            "rpc_errors",
            "Requests that failed, by the keeper's error code; a call that reverts is one, too",
            "endpoint",
            "method",
            "class",
        )

    def _create_work_metrics(self) -> None:
        self.positions = self._create_gauge(
            "positions", "Accounts with debt, by how near to liquidation", "market", "band"
        )
        self.quarantined = self._create_gauge(
            "market_quarantined", "1 for a market that cannot be read", "market"
        )
        self.doubted = self._create_gauge(
            "parity_doubted_accounts", "Accounts that differ from the contracts' own answer"
        )
        self.uncovered = self._create_gauge(
            "book_uncovered_debt_usd",
            "Debt by the contracts' totals that no account of the book owes, in dollars",
            "market",
        )
        self.rebuilds = self._create_counter(
            "book_rebuilds", "Times that a market's accounts had to be read anew", "market"
        )
        self.covered_block = self._create_gauge(
            "book_covered_block_number", "The newest block that was looked at twice and explained"
        )
        self.unexplained = self._create_gauge(
            "book_unexplained_stretches", "Stretches of blocks whose changes no log explains"
        )
        self.second_looks = self._create_counter(
            "book_second_looks", "Searches for logs that were left out", "result"
        )
        self._looks_counted: dict[str, int] = {}
        self.kept_block = self._create_gauge(
            "book_kept_block_number", "The newest block that a restart goes on from"
        )
        self.scan = self._create_histogram(
            "scan_duration_seconds", "Time to read a block's markets", FAST
        )
        self.to_decision = self._create_histogram(
            "block_to_decision_seconds", "From hearing of a block to its decisions", FAST
        )
        self.to_submit = self._create_histogram(
            "block_to_submit_seconds", "From hearing of a block to its transactions' leaving", FAST
        )
        self.decisions = self._create_counter(
            "decisions",
            "Decisions as told: a skip once until its reason changes",
            "outcome",
            "reason",
        )
        self.blocks = self._create_counter(
            "blocks", "Blocks taken up, by what became of them", "result"
        )
        self.progress = self._create_gauge(
            "last_progress_timestamp_seconds", "When a stage was last passed", "stage"
        )
        self.lag = self._create_histogram(
            "eventloop_lag_seconds", "By how much a timer of the process came late", FAST
        )
        self.tasks = self._create_gauge(
            "eventloop_tasks", "Tasks of the process that have not ended"
        )

    def _create_margin_metrics(self) -> None:
        self.margin_accounts = self._create_gauge(
            "margin_accounts", "Accounts in an episode of margin calls, by tier", "tier"
        )
        self.oracle_age = self._create_gauge(
            "oracle_age_seconds", "How long before the newest block a feed had answered", "feed"
        )
        self.oracle_rejections = self._create_counter(
            "oracle_rejections", "Prices that were not trusted, once a block", "feed", "reason"
        )

    def _create_money_metrics(self) -> None:
        self.tx = self._create_counter("tx", "Nonces, by the state they came into", "state")
        self.attempts = self._create_counter(
            "tx_attempts", "Signed bytes that left", "kind", "result"
        )
        self.bumps = self._create_counter("tx_fee_bumps", "Transactions replaced by dearer ones")
        self.inflight = self._create_gauge("tx_inflight", "Nonces that no block consumed yet")
        self.confirm = self._create_histogram(
            "tx_confirm_duration_seconds", "From the first send of a nonce to its receipt", SLOW
        )
        self.plans = self._create_counter("plans", "Liquidations in mined transactions", "result")
        self.gas_spent = self._create_counter(
            "gas_spent_ether", "Gas paid since the start, each nonce once, at its dearest"
        )
        self.profit_usd = self._create_gauge(
            "profit_usd", "Profit less gas since the start, in dollars of the decision, less reorgs"
        )
        self.profit = self._create_gauge(
            "profit_ether", "Profit less gas since the start, at the plans' prices, less reorgs"
        )
        self.gas_price = self._create_gauge(
            "tx_gas_price_gwei", "What a gas cost in the newest receipt"
        )
        self.nonce = self._create_gauge("nonce", "The next nonce, by whom one asks", "kind")
        self.balance = self._create_gauge("wallet_balance_ether", "What the key's account holds")
        self.told = self._create_counter(
            "notifications", "Messages handed to channels", "channel", "result"
        )
        self.outbox_waiting = self._create_gauge(
            "outbox_waiting", "Notices and messages still to be told"
        )
        self.outbox_oldest = self._create_gauge(
            "outbox_oldest_seconds", "How long the oldest of them has waited"
        )
        self.outbox_dead = self._create_gauge("outbox_dead", "Messages that were given up")
        self.breaker = self._create_gauge(
            "breaker_open", "1 for a switch that holds sending", "name"
        )
        self.finality = self._create_counter(
            "finality_events", "Times that blocks were taken back that counted as final", "state"
        )
        self.held = self._create_gauge("signing_held", "1 while nothing, or not all, may be sent")

    def _create_counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"keeper_{name}", text, labels, registry=self.registry)

    def _create_gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"keeper_{name}", text, labels, registry=self.registry)

    def _create_histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"keeper_{name}", text, labels, registry=self.registry, buckets=buckets)


class _CountCollector(Collector):
    """Collector of counts that are maintained elsewhere."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield the present counts."""
        asked = CounterMetricFamily(
            "keeper_rpc_requests", "JSON-RPC requests, each of a batch", labels=["method"]
        )
        for method, count in sorted(self._metrics.requests.items()):
            asked.add_metric([method], count)
        yield asked
        differ = CounterMetricFamily(
            "keeper_rpc_disagreements", "Contradictions between endpoints", labels=["what"]
        )
        for what, count in sorted(self._metrics.disagreements.items()):
            differ.add_metric([what], count)
        yield differ
        failures = self._metrics.journal_failures
        yield CounterMetricFamily(
            "keeper_journal_errors", "What the journal could not keep", value=failures
        )
        failures = self._metrics.book_failures
        yield CounterMetricFamily(
            "keeper_book_errors", "States of the book that could not be kept", value=failures
        )


def ether(wei: int) -> float:
    """Convert wei to ether for display."""
    return wei / WAD


def gwei(wei: int) -> float:
    """Convert wei to gwei for display."""
    return wei / GWEI
