"""Ready means: it would act now. Each part says in one line why it would not."""

from types import SimpleNamespace

import pytest

from keeper.book.followed import is_nodes_fault
from keeper.chain.faults import name_method
from keeper.domain.errors import (
    HistoryPruned,
    MarketUnreadable,
    RpcMalformed,
    RpcRefused,
    RpcUnavailable,
)
from keeper.observe.health import (
    Health,
    book_check,
    head_check,
    journal_check,
    markets_check,
    patience,
    too_old,
    work_check,
)
from keeper.observe.metrics import Metrics
from keeper.observe.stages import Stage
from keeper.observe.vitals import Vitals
from keeper.risk.tiers import DEFAULT


class Clock:
    """Time that moves when it is told to."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def vitals():
    return Vitals(metrics=Metrics(), thresholds=DEFAULT, clock=Clock())


def a_head(number=7, timestamp=0):
    return SimpleNamespace(number=number, hash=f"0x{number:x}", timestamp=timestamp)


def test_a_head_is_late_after_some_blocks_but_never_within_seconds():
    """Blocks of 250 ms must not make a readiness that flickers."""
    assert patience(12.0, 3) == 36.0
    assert patience(0.25, 3) == 5.0


def test_a_head_that_does_not_come_is_told_with_its_age(vitals):
    """A socket that stays open and says nothing looks healthy to everybody else."""
    check = head_check(vitals, 36.0, None)
    before = check()
    vitals.passed(Stage.HEAD, a_head())
    fresh = check()
    vitals.clock.now += 37

    assert before == "no block was heard of yet"
    assert fresh == ""
    assert check() == "no new block for 37 s, the limit is 36 s"


def test_new_heads_of_long_ago_are_not_fresh(vitals):
    """A node that still synchronises brings heads by the dozen, all of them old."""
    vitals.passed(Stage.HEAD, a_head(timestamp=5_000))

    assert head_check(vitals, 36.0, lambda: 5_090.0)() == ""
    assert "is 97 s old" in head_check(vitals, 36.0, lambda: 5_097.0)()
    assert head_check(vitals, 36.0, None)() == ""


def test_heads_of_the_future_say_that_a_clock_is_wrong(vitals):
    """They are not old; deadlines would follow them, so nothing is signed upon them either."""
    vitals.passed(Stage.HEAD, a_head(timestamp=5_000))

    assert head_check(vitals, 36.0, lambda: 4_904.0)() == ""
    assert "is 97 s ahead" in head_check(vitals, 36.0, lambda: 4_903.0)()
    assert too_old(a_head(timestamp=5_000), 36.0, 4_903.0) == ""
    assert too_old(a_head(timestamp=5_000), 36.0, 5_096.0) == ""
    assert "is 97 s old" in too_old(a_head(timestamp=5_000), 36.0, 5_097.0)


def test_heads_without_work_done_on_them_are_no_health(vitals):
    """Every block may come, and every one fail to be read."""
    check = work_check(vitals, 10.0)
    assert check() == "no block was worked on to the end yet"
    vitals.passed(Stage.RECORDED, a_head())
    vitals.clock.now += 11
    quiet = check()
    vitals.passed(Stage.HEAD, a_head(8))
    vitals.skipped(a_head(8), RpcUnavailable("x"))

    assert quiet == ""
    assert check() == "no block was worked on to the end for 11 s: rpc_unavailable (x)"


def test_two_blocks_in_a_row_that_failed_are_said_at_once(vitals):
    """A single one may be an accident; what it failed for is said with it."""
    check = work_check(vitals, 10.0)
    vitals.passed(Stage.RECORDED, a_head())
    vitals.skipped(a_head(8), RpcUnavailable("the node refused eth_call: no"))
    once = check()
    vitals.skipped(a_head(9), RpcUnavailable("the node refused eth_call: no"))

    assert once == ""
    assert "2 blocks in a row" in check()
    assert "the node refused eth_call: no" in check()
    vitals.done(a_head(10), [])
    assert check() == ""


def test_f08_a_head_that_changes_and_does_not_grow_is_not_fresh(vitals):
    """A frozen node may put a new timestamp, and so a new hash, on the same block for ever."""
    check = head_check(vitals, 36.0, None)
    for second in range(40):
        vitals.passed(Stage.HEAD, SimpleNamespace(number=7, hash=f"0x{second:x}", timestamp=second))
        vitals.clock.now += 1

    assert check() == "no new block for 40 s, the limit is 36 s"


def test_one_readable_market_is_enough():
    """A market in quarantine is told elsewhere; the others are still worth liquidating."""
    faults = {"m:1": "oracle reverts"}
    check = markets_check(2, lambda: faults)
    one_left = check()
    faults["m:2"] = "no code"

    assert one_left == ""
    assert check() == "no market can be read: m:1: oracle reverts; m:2: no code"


def test_a_book_that_differs_from_the_contracts_is_told_without_names():
    """What is not understood about one account may be wrong about others."""
    assert book_check(lambda: 0)() == ""
    assert book_check(lambda: 2)() == "2 accounts differ from the contracts' own answer"


def test_a_journal_that_was_moved_away_is_missed(tmp_path):
    """Its file is open still and takes every write: into nothing that a restart would find."""
    path = tmp_path / "keeper.sqlite"
    path.write_bytes(b"x")
    check = journal_check(path, lambda: False)
    before = check()
    path.rename(tmp_path / "old.sqlite")
    gone = check()
    path.write_bytes(b"y")

    assert before == ""
    assert "gone" in gone
    assert "another one is in its place" in check()
    assert "last commit" in journal_check(path, lambda: True)()


def test_a_reason_is_one_line_without_an_endpoint():
    """What a probe prints ends in logs of other programs."""
    health = Health(checks={"x": lambda: "lost\nwss://node.example/v2/SECRET", "y": str})

    assert health.report() == {"x": "lost wss://node.example", "y": ""}


def test_a_market_that_the_node_keeps_from_being_read_is_not_ready():
    """The others are acted on; that one's plans are lost, and the cure is at the node."""
    faults: dict[str, str] = {"a": "no code"}
    of_node: dict[str, str] = {}
    check = markets_check(2, lambda: faults, lambda: of_node)

    assert check() == ""

    faults["a"] = of_node["a"] = "the node refused eth_call: no such method"

    assert check() == "not read because of the node: a: the node refused eth_call: no such method"


def named(error):
    name_method(error, "eth_call")
    return error


@pytest.mark.parametrize(
    ("error", "of_node"),
    [
        (RpcRefused("the node refused eth_call", number=-32601, text="no such method"), True),
        (RpcRefused("the node refused eth_call", number=3, text="execution reverted"), False),
        (named(RpcMalformed("the logs are no list")), True),
        (RpcMalformed("a word of the contract is missing"), False),
        (HistoryPruned("too old"), True),
        (MarketUnreadable("no code"), False),
    ],
)
def test_a_markets_fault_is_told_apart_from_a_nodes(error, of_node):
    """What its contracts say is its own fault; what is no answer of theirs is the node's."""
    assert is_nodes_fault(error) is of_node


def test_a_nodes_fault_stays_one_when_the_market_passes_it_on():
    """The adapters say which market it was, and keep what it came from."""
    passed_on = MarketUnreadable("aave_v3: eth_call: far too much")
    passed_on.__cause__ = named(RpcMalformed("far too much"))

    assert is_nodes_fault(passed_on)
