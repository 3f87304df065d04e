"""Shocks and ranges as people write them."""

from decimal import Decimal

import pytest

from keeper.cli.distribution import EDGES, bar_rows, distribution
from keeper.cli.shocks import read_curve, read_shocks, resolved
from keeper.domain.errors import ConfigError
from keeper.domain.units import WAD


def test_shocks_are_percentages():
    """With a sign, a fraction, or neither."""
    found = read_shocks(["WETH=-20%", "0xAb=+1.5%", "USDC=3%"])
    assert found == {"WETH": Decimal(-20), "0xAb": Decimal("1.5"), "USDC": Decimal(3)}


@pytest.mark.parametrize(
    "text", ["WETH", "WETH=-20", "=-20%", "WETH=x%", "WETH=-101%", "WETH=1e3%"]
)
def test_what_is_no_shock_is_refused(text):
    """A mistaken what-if is worse than none."""
    with pytest.raises(ConfigError):
        read_shocks([text])


def test_a_token_is_shocked_once():
    """Two shocks of one token: which?"""
    with pytest.raises(ConfigError):
        read_shocks(["WETH=-1%", "WETH=-2%"])


def test_a_range_has_both_ends():
    """Downwards, upwards, by fractions, and not past its end."""
    assert read_curve("-10:0:5") == [-10, -5, 0]
    assert read_curve("0:-1:-0.5") == [0, Decimal("-0.5"), -1]
    assert read_curve("0:7:5") == [0, 5]


@pytest.mark.parametrize(
    "text", ["", "1:2", "0:10:-1", "0:10:0", "0:-200:-50", "0:1:0.0001", "a:b:c"]
)
def test_what_is_no_range_is_refused(text):
    """Nor one of more points than anybody looks at."""
    with pytest.raises(ConfigError):
        read_curve(text)


def test_a_symbol_that_two_tokens_have_must_be_an_address():
    """Anybody may name a token as another is named."""
    symbols = {"0x1": "WETH", "0x2": "weth", "0x3": "DAI"}
    assert resolved(["dai", "0x2"], symbols) == {"dai": "0x3", "0x2": "0x2"}
    with pytest.raises(ConfigError, match="names 2 tokens"):
        resolved(["WETH"], symbols)


@pytest.mark.parametrize("names", [["DAI", "dai"], ["dai", "0x3"], ["0x3", "0X3"]])
def test_a_token_under_two_names_is_moved_once(names):
    """The last of two moves would win, and nobody would know."""
    with pytest.raises(ConfigError, match="are the same token"):
        resolved(names, {"0x2": "WETH", "0x3": "DAI"})


def test_every_account_is_in_one_bucket():
    """The lower edge belongs to a bucket, the upper to the next."""
    rows = [(edge - 1, 1) for edge in EDGES] + [(edge, 10) for edge in EDGES]
    buckets = distribution(rows)
    assert sum(one.accounts for one in buckets) == len(rows)
    assert [one.debt_usd_e8 for one in buckets] == [1, *[11] * (len(EDGES) - 1), 10]
    at_the_line = next(one for one in buckets if one.low == WAD)
    assert at_the_line.name == "1.00 - 1.03"


def test_the_longest_bar_is_the_largest_debt_and_none_is_invisible():
    """A dollar beside a million still shows."""
    rows = bar_rows(distribution([(WAD, 10**14), (2 * WAD, 10**8)]))
    bars = {name: bar for name, _, _, bar in rows if bar}
    assert set(bars.values()) == {"█" * 40, "▏"}
