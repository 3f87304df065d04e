"""The endpoints as people see them: reasons, events and metrics, and never an address."""

from types import SimpleNamespace

import pytest

from keeper.chain.pool import Pool
from keeper.chain.rpc import Exchange
from keeper.chain.standing import Failed, Identified
from keeper.domain.errors import RpcBusy
from keeper.observe.endpoints import agreement_check, endpoint_check, measure, news_event
from keeper.observe.health import ENDPOINT_PATIENCE
from keeper.observe.metrics import Metrics
from keeper.observe.vitals import Vitals
from keeper.risk.tiers import DEFAULT


class Clock:
    """Time that moves when it is told to."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def vitals(clock):
    return Vitals(metrics=Metrics(), thresholds=DEFAULT, clock=clock)


@pytest.fixture
def pool(clock):
    made = Pool(["http://one", "http://two"], clock=clock)
    made.identified(0, "")
    made.identified(1, "")
    return made


def a_head(number, branch="a", parent=None):
    return SimpleNamespace(
        number=number,
        hash=f"0x{branch}{number:x}",
        parent_hash=f"0x{parent or branch}{number - 1:x}",
        timestamp=number,
    )


def test_an_endpoint_may_fail_for_as_long_as_reads_are_repeated(vitals, pool):
    """One lost answer is not an outage; a refusal is an answer."""
    check = endpoint_check(vitals, pool)
    vitals.measured(Exchange(0, ["eth_call"], 0.1, ["rpc_unavailable"]))
    at_once = check()
    vitals.clock.now += ENDPOINT_PATIENCE + 1
    vitals.measured(Exchange(0, ["eth_call"], 0.1, ["rpc_unavailable"]))
    later = check()
    vitals.measured(Exchange(0, ["eth_call"], 0.1, ["rpc_refused"]))

    assert (at_once, later, check()) == ("", "no endpoint has answered for 3 s", "")


def test_f09_without_an_endpoint_of_the_right_chain_nothing_is_ready(vitals, pool):
    """Each one's reason is told, by its place."""
    pool.identified(0, "serves chain 5, not 1")
    pool.failed(1, RpcBusy("busy", seconds=30))

    assert endpoint_check(vitals, pool)() == (
        "no endpoint is fit: 0 is wrong_chain (serves chain 5, not 1);"
        " 1 is cooling (it asked for patience)"
    )


def test_f10_two_blocks_at_one_height_are_a_reason_until_one_gives_way(pool):
    """The endpoints agree again as soon as one speaks of the other's block."""
    told = []
    pool.told = told.append
    check = agreement_check(pool)
    pool.heard(0, a_head(10))
    pool.heard(1, a_head(10, "b", parent="a"))
    apart = check()
    pool.heard(1, a_head(11))

    assert apart == "endpoints disagree on head: 0 and 1 have different blocks 10"
    assert check() == ""
    assert [news_event(one)["state"] for one in told] == ["found", "over"]


def test_the_metrics_name_endpoints_by_their_place(pool):
    """A label with an address would hold a key."""
    metrics = Metrics()
    pool.heard(0, a_head(10))
    pool.happened(1, Failed("no answer from http://two"))
    pool.happened(1, Identified("serves chain 5, not 1"))
    pool.disagreements.found("nonce", "0xaa", "0 says 1, 1 says 2")
    measure(metrics, pool)
    text = metrics.text().decode()

    assert 'keeper_rpc_endpoint_state{endpoint="1",state="wrong_chain"} 1.0' in text
    assert 'keeper_rpc_endpoint_state{endpoint="1",state="alive"} 0.0' in text
    assert 'keeper_head_block_number{endpoint="0"} 10.0' in text
    assert 'keeper_rpc_disagreements_total{what="nonce"} 1.0' in text
    assert "http" not in text.replace("keeper_rpc", "")
