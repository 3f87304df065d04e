"""The metrics say what the node told, by Prometheus' conventions, and nobody's address."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from keeper.chain.rpc import Exchange
from keeper.domain.account import AccountHealth
from keeper.domain.errors import SnapshotReorged
from keeper.domain.units import WAD
from keeper.observe.metrics import Metrics
from keeper.observe.stages import Stage
from keeper.observe.tally import Tally
from keeper.observe.vitals import REMEMBERED, Vitals
from keeper.risk.tiers import DEFAULT

ALICE = "0x00000000000000000000000000000000000A11cE"
DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
ALLOWED_LABELS = {
    "band", "class", "endpoint", "kind", "le", "market", "method", "name", "outcome", "reason",
    "result", "stage", "state", "version", "chain_id", "mode",
}  # fmt: skip


class Clock:
    """Time that moves when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def a_head(number, branch="a"):
    return SimpleNamespace(number=number, hash=f"0x{branch}{number:x}", timestamp=12 * number)


def a_market(key, *accounts):
    return [SimpleNamespace(market=key, accounts=lambda: accounts)]


def an_account(market, wad, *, liquidatable=False):
    return AccountHealth(
        market=market,
        account=ALICE,
        health_factor=wad,
        collateral_base=1,
        debt_base=1,
        liquidatable=liquidatable,
    )


def an_inclusion(event="included", *, success=True, kind="send", failures=("",)):
    return {
        "event": event,
        "kind": kind,
        "nonce": 3,
        "success": success,
        "gas_price_wei": str(5 * 10**9),
        "gas_cost_wei": str(10**15),
        "net_profit_wei": str(3 * 10**17),
        "accounts": [{"market": "m:1", "account": ALICE}],
        "plans": [{"account": ALICE, "failure": one} for one in failures],
    }


def a_send(kind="send", result="accepted"):
    return {"event": "attempt", "kind": kind, "result": result, "nonce": 3}


def samples(metrics):
    """Return every sample by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def value(metrics, sample, /, **labels):
    return samples(metrics).get((sample, tuple(sorted(labels.items()))))


@pytest.fixture
def watched():
    """Metrics, the vitals that feed them, and their clock."""
    metrics, clock = Metrics(), Clock()
    return metrics, Vitals(metrics=metrics, thresholds=DEFAULT, clock=clock), clock


def everything(watched):
    """Have every kind of thing happen once."""
    metrics, vitals, _ = watched
    tally = Tally(metrics=metrics)
    head = a_head(7)
    for stage in Stage:
        vitals.passed(stage, head)
    vitals.done(head, a_market("m:1", an_account("m:1", WAD)))
    vitals.skipped(a_head(8), SnapshotReorged("gone"))
    vitals.reorged(2)
    vitals.measured(Exchange(0, ["eth_call"], 0.1, ["rpc_refused"]))
    vitals.count()
    tally.told({"event": "decision", "action": "skip", "reason": "dust", "account": ALICE})
    for event in (a_send(), a_send("bump"), an_inclusion(), an_inclusion("final")):
        tally.told(event)
    return metrics


def test_names_follow_the_conventions(watched):
    """One prefix, base units, a total for what only rises: dashboards rely on it."""
    families = list(text_string_to_metric_families(everything(watched).text().decode()))
    ours = [one for one in families if not one.name.startswith("process_")]

    assert len(ours) > 25
    assert all(one.name.startswith("keeper_") and one.documentation for one in ours)
    assert not [one for one in ours if one.name.endswith(("_ms", "_count", "_wei", "_created"))]
    for one in ours:
        ends = {sample.name.removeprefix(one.name) for sample in one.samples}
        expected = {
            "counter": {"_total"},
            "gauge": {""},
            "histogram": {"_bucket", "_count", "_sum"},
        }
        assert ends <= expected[one.type], one.name


def test_no_label_names_an_account_or_a_transaction(watched):
    """Ten thousand borrowers must not become ten thousand series, nor be published."""
    text = everything(watched).text().decode()
    labels = {
        name
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for name in sample.labels
    }

    assert labels <= ALLOWED_LABELS
    assert ALICE.lower() not in text.lower()


def test_two_nodes_in_one_process_count_apart(watched):
    """A registry of its own: the library's global one would refuse the second."""
    metrics, other = everything(watched), Metrics()

    assert value(metrics, "keeper_decisions_total", outcome="skip", reason="dust") == 1
    assert value(other, "keeper_decisions_total", outcome="skip", reason="dust") is None


def test_times_run_from_the_arrival_of_the_head(watched):
    """What counts is the time since the block was heard of, waiting included."""
    metrics, vitals, clock = watched
    head = a_head(7)
    for stage in (Stage.HEAD, Stage.TAKEN, Stage.READ, Stage.DECIDED, Stage.SUBMITTED):
        vitals.passed(stage, head)
        clock.now += 1.0
    vitals.passed(Stage.RECORDED, head)
    vitals.done(head, [])

    assert value(metrics, "keeper_scan_duration_seconds_sum") == 1.0
    assert value(metrics, "keeper_block_to_decision_seconds_sum") == 3.0
    assert value(metrics, "keeper_block_to_submit_seconds_sum") == 4.0


def test_a_block_that_sent_nothing_has_no_time_to_its_submission(watched):
    """The mark of an earlier block must not be taken for this one's."""
    metrics, vitals, _ = watched
    for head, stages in ((a_head(7), list(Stage)), (a_head(8), list(Stage)[:4])):
        for stage in stages:
            vitals.passed(stage, head)
        vitals.done(head, [])

    assert value(metrics, "keeper_block_to_decision_seconds_count") == 2
    assert value(metrics, "keeper_block_to_submit_seconds_count") == 1


def test_heads_that_nobody_works_on_are_forgotten(watched):
    """A keeper slower than its chain must not remember every block for ever."""
    _, vitals, _ = watched
    for number in range(3 * REMEMBERED):
        vitals.passed(Stage.HEAD, a_head(number))

    assert len(vitals.arrivals) == REMEMBERED


def test_positions_are_counted_by_market_and_band(watched):
    """Isolated markets of one deployment are one market here; bands without anybody are zero."""
    metrics, vitals, _ = watched
    vitals.done(a_head(1), a_market("gone:1", an_account("gone:1", WAD, liquidatable=True)))
    vitals.count()
    snapshots = [
        *a_market("m:1:a", an_account("m:1:a", WAD * 102 // 100)),
        *a_market("m:1:b", an_account("m:1:b", WAD * 102 // 100)),
        *a_market("m:2", an_account("m:2", WAD, liquidatable=True)),
    ]
    vitals.done(a_head(2), snapshots)
    vitals.count()

    assert value(metrics, "keeper_positions", market="m:1", band="urgent") == 2
    assert value(metrics, "keeper_positions", market="m:1", band="liquidatable") == 0
    assert value(metrics, "keeper_positions", market="m:2", band="liquidatable") == 1
    assert value(metrics, "keeper_positions", market="gone:1", band="liquidatable") is None


def test_what_nodes_answer_is_counted_by_method_and_error(watched):
    """A message of several methods is a batch; its failures count each."""
    metrics, vitals, _ = watched
    vitals.measured(Exchange(0, ["eth_call"], 0.02, []))
    vitals.measured(Exchange(1, ["eth_call", "eth_getLogs"], 0.02, ["rpc_refused"] * 2))
    vitals.count()
    vitals.count()
    name = "keeper_rpc_request_duration_seconds_count"

    assert value(metrics, name, endpoint="0", method="eth_call") == 1
    assert value(metrics, name, endpoint="1", method="batch") == 1
    labels = {"endpoint": "1", "method": "batch", "class": "rpc_refused"}
    assert value(metrics, "keeper_rpc_errors_total", **labels) == 2


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (an_inclusion(), "succeeded"),
        (an_inclusion(success=False, failures=("low",)), "reverted"),
        (an_inclusion(kind="cancel", failures=()), "cancelled"),
    ],
)
def test_a_mined_nonce_has_one_of_three_ends(event, state):
    """Their sum is what was mined: none counts twice."""
    metrics = Metrics()
    Tally(metrics=metrics).told(event)
    mined = ("succeeded", "reverted", "cancelled")

    counted = {one: value(metrics, "keeper_tx_total", state=one) for one in mined}
    assert counted == {one: float(one == state) for one in mined}


def test_a_reorg_takes_back_what_was_booked():
    """Profit that a reorg undid was never made; mined again, it counts once."""
    metrics = Metrics()
    tally = Tally(metrics=metrics)
    for event in ("included", "reopened", "included"):
        tally.told(an_inclusion(event))

    assert value(metrics, "keeper_profit_ether") == pytest.approx(0.3)
    assert value(metrics, "keeper_gas_spent_ether_total") == pytest.approx(0.001)
    assert value(metrics, "keeper_tx_gas_price_gwei") == 5


def test_the_time_to_a_receipt_runs_from_the_first_send():
    """A bump does not start the clock again, and a nonce of an earlier process has none."""
    metrics, clock = Metrics(), Clock()
    tally = Tally(metrics=metrics, clock=clock)
    tally.told(a_send())
    clock.now += 20
    tally.told(a_send("bump"))
    clock.now += 4
    tally.told(an_inclusion())
    tally.told(an_inclusion())

    assert value(metrics, "keeper_tx_confirm_duration_seconds_sum") == 24
    assert value(metrics, "keeper_tx_confirm_duration_seconds_count") == 1
    assert value(metrics, "keeper_tx_fee_bumps_total") == 1


def test_a_breaker_is_open_from_its_event_to_the_next():
    """Whoever is woken at night wants to know which limit it was."""
    metrics = Metrics()
    tally = Tally(metrics=metrics)
    seen = []
    for state in ("open", "closed"):
        tally.told({"event": "breaker", "name": "reverts", "state": state})
        seen.append(value(metrics, "keeper_breaker_open", name="reverts"))

    assert seen == [1, 0]


def test_an_event_that_nobody_counts_is_no_error():
    """A new event must not stop the node that tells it."""
    metrics = Metrics()
    before = samples(metrics).keys()
    Tally(metrics=metrics).told({"event": "something_new"})

    assert samples(metrics).keys() >= before


@pytest.mark.parametrize(
    "name", ["decision", "attempt", "included", "reopened", "final", "breaker"]
)
def test_an_event_that_is_not_understood_is_a_warning(caplog, name):
    """It is told between a send and its record: a metric must not end the node there."""
    Tally(metrics=Metrics()).told({"event": name})

    (warning,) = caplog.records
    assert warning.getMessage().startswith(f"event_not_counted event={name}")


def test_the_document_names_every_metric_and_no_other():
    """Operators build alerts from the document: it must be whole and true, labels included."""
    told = dict(
        re.findall(r"(?m)^\| `(keeper_\w+)(\{[\w,]+\})?` \| (?:\w+) \|", DOCUMENT.read_text())
    )
    there = {
        name: "{" + ",".join(one._labelnames) + "}" if one._labelnames else ""  # noqa: SLF001
        for one in vars(Metrics()).values()
        if isinstance(one, MetricWrapperBase)
        for name in [one._name + ("_total" if isinstance(one, Counter) else "")]  # noqa: SLF001
    }
    read = {
        "keeper_rpc_requests_total": "{method}",
        "keeper_rpc_disagreements_total": "{what}",
        "keeper_journal_errors_total": "",
        "keeper_book_errors_total": "",
    }

    assert told == there | read
