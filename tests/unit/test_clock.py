"""F25: the time of day is read in one place, in one zone, and may jump."""

import ast
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keeper
import keeper.clock
from keeper.chain.causes import retry_after, unavailable
from keeper.chain.endpoint import endpoint
from keeper.composition.timing import Timeliness
from keeper.domain.head import Head
from keeper.domain.wording import moment
from keeper.margin.facts import BlockFacts
from keeper.margin.settings import Span
from keeper.margin.state import Mark

ROOT = Path(keeper.__file__).parent
ELSEWHERE = {"devnet"}
"""The local chain makes its own time."""
TIME_OF_DAY = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "mktime"},
    "datetime": {"now", "utcnow", "today", "utcfromtimestamp"},
    "date": {"today", "fromtimestamp"},
}
HOUR = 3_600


def readings(file):
    """Return where a file reads the time of day, or takes a time without a zone."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.attr in TIME_OF_DAY.get(node.value.id, ()):
            found.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.value.id}.{node.attr}")
    return found


@pytest.mark.slow
def test_f25_nobody_reads_the_time_of_day_but_the_clock():
    """Whoever measures a wait by it would wait for an hour when it is set back."""
    files = [
        file
        for file in sorted(ROOT.rglob("*.py"))
        if file.relative_to(ROOT).parts[0] not in ELSEWHERE and file.name != "clock.py"
    ]

    assert [reading for file in files for reading in readings(file)] == []


@pytest.mark.slow
def test_f25_every_time_has_its_zone():
    """No summer time and no machine's zone comes into what is shown or kept."""
    bare = []
    for file in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            named = {one.arg for one in node.keywords}
            if node.func.attr == "fromtimestamp" and "tz" not in named and len(node.args) < 2:
                bare.append(f"{file.relative_to(ROOT)}:{node.lineno}")

    assert bare == []


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"])
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


SUMMER_TIME_ENDS = 1_793_512_800
"""In New York clocks are set back by an hour at this moment, 2026-11-01 06:00 UTC."""


def test_f25_summer_time_and_zones_change_nothing(zone):
    """The same moment is told, kept and asked for in the same words everywhere."""
    told = [moment(SUMMER_TIME_ENDS + at) for at in (-HOUR, 0, HOUR)]

    assert told == [
        "2026-11-01 05:00:00 UTC",
        "2026-11-01 06:00:00 UTC",
        "2026-11-01 07:00:00 UTC",
    ]
    assert keeper.clock.utc_now().utcoffset().total_seconds() == 0
    assert retry_after("Thu, 01 Jan 1970 00:01:40 -0000", 90.0) == 10.0


@pytest.mark.parametrize("off", [-HOUR, 0, HOUR])
def test_f25_a_date_to_wait_for_is_meant_by_the_clock_that_says_it(monkeypatch, off):
    """A node's wish for thirty seconds is thirty seconds, whoever's clock is wrong."""
    monkeypatch.setattr(keeper.clock, "source", lambda: 1_800_000_000 + off)
    theirs = datetime.fromtimestamp(1_800_000_000, tz=UTC)
    headers = {
        "Date": theirs.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Retry-After": datetime.fromtimestamp(1_800_000_030, tz=UTC).strftime(
            "%a, %d %b %Y %H:%M:%S GMT"
        ),
    }

    assert unavailable(endpoint("http://node.example"), 429, headers).seconds == 30.0


def head(timestamp, number=10):
    return Head(
        number=number,
        hash=f"0x{number:064x}",
        parent_hash=f"0x{number - 1:064x}",
        timestamp=timestamp,
        base_fee=7,
        gas_limit=30_000_000,
        gas_used=0,
    )


class Machine:
    """A machine's clocks: time passes on both, and the time of day may be set."""

    def __init__(self, now):
        self.true, self.off, self.asleep = now, 0, 0

    def wall(self):
        return self.true + self.off

    def monotonic(self):
        return self.true - self.asleep

    def passes(self, seconds):
        self.true += seconds

    def sleeps(self, seconds):
        """Be suspended: time passes, and the monotonic clock does not notice."""
        self.true += seconds
        self.asleep += seconds


@pytest.fixture
def machine():
    return Machine(1_800_000_000)


@pytest.fixture
def untimely(machine):
    """Who judges blocks, having seen the newest one while all clocks agreed."""
    made = Timeliness(36.0, machine.wall, machine.monotonic)
    assert made(head(machine.true)) == ""
    return made


@pytest.mark.parametrize("off", [-86_400, -HOUR, HOUR, 86_400])
def test_f25_while_the_clock_is_wrong_nothing_is_acted_on(machine, untimely, off):
    """Not on the right blocks, and afterwards on them again."""
    machine.passes(12)
    machine.off = off
    assert untimely(head(machine.true)) != ""
    machine.off = 0
    assert untimely(head(machine.true)) == ""


def test_f25_a_clock_that_was_set_back_takes_no_old_block_for_a_new_one(machine, untimely):
    """The node fell behind by an hour, and the clock was set back by as much."""
    machine.passes(HOUR)
    machine.off = -HOUR

    assert "old by this machine's clock" in untimely(head(machine.true - HOUR))


def test_f25_a_wrong_clock_that_is_put_right_is_believed(machine):
    """It was an hour ahead when the machine started, until it heard the right time."""
    machine.off = HOUR
    untimely = Timeliness(36.0, machine.wall, machine.monotonic)
    assert untimely(head(machine.true)) != ""
    machine.passes(60)
    machine.off = 0
    assert untimely(head(machine.true)) == ""


def test_f25_after_a_suspend_the_block_of_before_is_old(machine, untimely):
    """A laptop slept for an hour: the newest block that it knows is not the newest any more."""
    before = head(machine.true)
    machine.sleeps(HOUR)

    assert untimely(before) != ""
    assert untimely(head(machine.true)) == ""


def test_f25_a_drift_of_a_hundredth_is_noticed_before_it_matters(machine, untimely):
    """After a hundred minutes it is a minute; then more than is waited for."""
    reasons = []
    for _ in range(400):
        machine.passes(60)
        machine.off -= 0.6
        reasons.append(untimely(head(machine.true)))

    assert reasons[0] == ""
    assert "ahead" in reasons[-1]


GRACE = Span(blocks=0, seconds=600)
jumps = st.sampled_from([-86_400, -HOUR, -60, 0, 60, HOUR, 86_400])


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(1, 300), jumps), max_size=12), st.booleans())
def test_f25_a_clock_that_jumps_never_shortens_a_grace(steps, is_own):
    """Whichever of the two clocks jumps, however often: the other one holds."""
    began = Mark.of(BlockFacts(number=1, hash="0x01", timestamp=1_800_000_000, wall=1_800_000_000))
    passed, off = 0, 0
    for number, (seconds, jump) in enumerate(steps, start=2):
        passed += seconds
        off += jump
        right = 1_800_000_000 + passed
        facts = BlockFacts(
            number=number,
            hash=f"0x{number:02x}",
            timestamp=right if is_own else right + off,
            wall=right + off if is_own else right,
        )
        if began.is_over(GRACE, facts, both_clocks=True):
            assert passed >= GRACE.seconds
