"""`keeper rehearse` as a person calls it."""

import json

import pytest

from keeper.cli import root
from keeper.cli.policies import policy_of
from keeper.domain.errors import ConfigError
from keeper.margin.settings import GUARDIAN
from keeper.risk.tiers import Tier

CSV = "timestamp_utc,WETH,USDC,WBTC,DAI,USDT\n" + "".join(
    f"2024-01-01T{hour:02}:00:00Z,{price},1,{price * 20},1,1\n"
    for hour, price in enumerate([3000, 2500, 2600])
)


@pytest.fixture
def prices(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text(CSV)
    return path


@pytest.mark.slow
def test_policies_stand_side_by_side_with_what_was_settled(prices, capsys):
    """Figures without their assumptions are read wrongly."""
    call = ["rehearse", "--prices", str(prices), "--accounts", "120", "--policy", "competitive"]

    assert root.run(call) == 0
    shown = capsys.readouterr().out
    for word in ("book: 120 made-up", "wicks: 12 of 5 %", "exit depth:", "unnecessary: healthy"):
        assert word in shown
    assert shown.splitlines()[8].split() == ["competitive"]


@pytest.mark.io
def test_the_document_has_a_policy_each(prices, capsys):
    """For scripts: dollars as text, times in seconds."""
    call = ["rehearse", "--prices", str(prices), "--accounts", "120", "--json"]

    assert root.run([*call, "--policy", "competitive", "--policy", "guardian"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["policy"] for one in found["policies"]] == ["competitive", "guardian"]
    assert {"called", "liquidations", "unnecessary", "bad_debt_usd", "profit_usd"} <= set(
        found["policies"][0]
    )
    assert found["settled"]["gas"] == "30 gwei, paid in WETH"


def test_a_policy_may_be_changed_by_name():
    """To see what one setting does."""
    changed = policy_of("guardian+guard.blocks=7+grace.liquidatable_seconds=900")

    assert changed.guard.blocks == 7
    assert changed.grace[Tier.LIQUIDATABLE].seconds == 900
    assert policy_of("guardian").guard == GUARDIAN.guard
    assert [
        str(one) for one in policy_of("guardian+guard.confirm=window,blocks").guard.confirm
    ] == [
        "window",
        "blocks",
    ]


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("guardiam", "guardiam"),
        ("guardian+guard.block=3", "is not a setting"),
        ("guardian+guard.blocks", "is not KEY=VALUE"),
        ("none.toml", "does not exist"),
    ],
)
def test_a_policy_that_there_is_not_is_refused(policy, reason):
    """Before anything is reckoned."""
    with pytest.raises(ConfigError, match=reason):
        policy_of(policy)


def test_a_price_file_that_is_not_there_is_refused(tmp_path, capsys):
    """In one line."""
    assert root.run(["rehearse", "--prices", str(tmp_path / "no.csv")]) == 2
    assert "no.csv does not exist" in capsys.readouterr().err


def test_a_policy_that_asks_a_second_source_is_not_rehearsed():
    """A price path has none: nobody would ever be liquidated, and the table would not say why."""
    with pytest.raises(ConfigError, match="a price path has none"):
        policy_of("guardian+guard.confirm=second_source")
