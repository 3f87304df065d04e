from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import ConfigError
from keeper.rehearse.prices import BLOCK_SECONDS, moments, parsed, wicks

CSV = """\
timestamp_utc,WETH,USDC
2021-05-19T12:00:00Z,3000.5,1
2021-05-19T13:00:00Z,2000.5,0.99
2021-05-19T14:00:00Z,2600,1.01
"""
DATA = Path(__file__).parents[3] / "docs" / "data"


@pytest.fixture
def path():
    return parsed(CSV, "p.csv")


def test_a_path_is_exact_at_its_records_and_straight_between_them(path):
    """Halfway is halfway, in integers."""
    first = path.times[0]

    assert path.at(first)["WETH"] == 300_050_000_000
    assert path.at(first + 1_800) == {"WETH": 250_050_000_000, "USDC": 99_500_000}
    assert path.at(first + 7_200)["WETH"] == 260_000_000_000
    assert path.at(first - 5) == path.at(first)
    assert path.at(first + 99_999) == path.at(path.times[-1])


@pytest.mark.slow
@given(st.integers(0, 7_200))
def test_no_price_between_two_records_is_outside_of_them(seconds):
    """Interpolation invents no crash."""
    path = parsed(CSV, "p.csv")
    at = path.at(path.times[0] + seconds)["WETH"]
    hour = min(seconds // 3_600, 1)
    ends = sorted(one["WETH"] for one in path.prices[hour : hour + 2])

    assert ends[0] <= at <= ends[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column timestamp_utc"),
        ("timestamp_utc\n", "no column timestamp_utc, or no other"),
        (CSV.replace("3000.5", "x"), "p.csv:2 WETH: 'x' is not a price"),
        (CSV.replace("3000.5", "NaN"), "not a price above zero"),
        (CSV.replace("3000.5", "0"), "not a price above zero"),
        (CSV.replace("3000.5", ""), "p.csv:2 WETH: there is no price"),
        (CSV.replace("3000.5", "1e400"), "not a price above zero and up to 10^12"),
        (CSV.replace("3000.5", "3000.5,7"), "p.csv:2 has more values than there are columns"),
        (CSV.replace("USDC", "WETH"), "has the column WETH twice"),
        (CSV.replace("2021-05-19T13", "noon"), "p.csv:3: 'noon:00:00Z' is not a time"),
        (CSV.replace("T13", "T11"), "p.csv:3 is not later"),
        ("\n".join(CSV.splitlines()[:2]), "fewer than two records"),
    ],
)
def test_what_is_wrong_with_a_price_file_is_told_with_its_line(text, reason):
    """Data come from everywhere."""
    with pytest.raises(ConfigError) as caught:
        parsed(text, "p.csv")

    assert reason in str(caught.value)


def test_each_look_is_three_blocks_and_each_wick_two_false_ones_and_a_true_one(path):
    """What lasts can show itself; what does not is gone in the third block."""
    (wick,) = wicks(path, ["WETH"], 1, 500, 7)
    found = list(moments(path, path.times, [wick]))

    false = [one for one in found if one.wick]
    start = wick.at // BLOCK_SECONDS * BLOCK_SECONDS
    assert [one.timestamp for one in false] == [start, start + BLOCK_SECONDS]
    for one in false:
        assert one.prices["WETH"] == path.at(one.timestamp)["WETH"] * 9_500 // 10_000
    after = next(one for one in found if one.timestamp == start + 2 * BLOCK_SECONDS)
    assert not after.wick
    assert after.prices == path.at(after.timestamp)
    assert [one.number for one in found] == sorted({one.number for one in found})
    assert len(found) == 3 * len(path.times) + 3


def test_wicks_are_the_same_for_the_same_seed(path):
    """Policies are compared on the same false prices."""
    assert wicks(path, ["WETH"], 9, 500, 7) == wicks(path, ["WETH"], 9, 500, 7)
    assert wicks(path, ["WETH"], 9, 500, 7) != wicks(path, ["WETH"], 9, 500, 8)


@pytest.mark.parametrize("name", ["prices-2021-05-crash.csv", "prices-2022-06-crash.csv"])
def test_the_recorded_crashes_are_whole(name):
    """An hour that is missing would be a straight line through a crash."""
    path = parsed((DATA / name).read_text(), name)

    steps = {after - before for before, after in zip(path.times, path.times[1:], strict=False)}
    assert path.symbols == ("WETH", "WBTC", "LINK", "UNI", "DAI", "USDC", "USDT", "stETH")
    assert max(steps) <= 2 * 3_600
