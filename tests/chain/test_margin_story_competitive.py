"""Five accounts through a fall under ``competitive``; what happens to them: ``margin_stories``."""

import pytest

from tests.chain.margin_stories import AT_ONCE, Policy, lived, market_of_five

FALL = [
    {"WETH": 140, "LINK": 140, "WBTC": 140},
    {"WETH": 120, "LINK": 120, "WBTC": 120},
    {"WETH": 108, "LINK": 108, "WBTC": 120},
    *[{"WETH": 102, "LINK": 99, "WBTC": 99}] * 2,
    *[{"WETH": 102, "LINK": 99, "WBTC": 120}] * 4,
]
CALLS = [
    (2, "called", "owner", "watch"),
    (2, "called", "ward", "watch"),
    (2, "called", "sinker", "watch"),
    (2, "called", "graced", "watch"),
    (2, "called", "spiker", "watch"),
    (3, "called", "owner", "call"),
    (3, "called", "ward", "call"),
    (3, "called", "sinker", "call"),
    (3, "called", "graced", "call"),
    (4, "called", "owner", "urgent"),
    (4, "called", "ward", "urgent"),
    (4, "called", "sinker", "liquidatable"),
    (4, "called", "graced", "liquidatable"),
    (4, "called", "spiker", "liquidatable"),
    (5, "liquidated", "sinker", "liquidatable"),
    (5, "liquidated", "spiker", "liquidatable"),
    (5, "cured", "ward", "urgent"),
    (7, "cured", "owner", "urgent"),
    (8, "escalated", "graced", "liquidatable"),
    (9, "liquidated", "graced", "liquidatable"),
]
WAITS = [(block, "graced", "grace_period") for block in range(4, 8)]
DONE = [
    (5, "ward", "cured"),
    (5, "sinker", "liquidated"),
    (5, "spiker", "liquidated"),
    (9, "graced", "liquidated"),
]
POLICY = Policy(
    settings=AT_ONCE,
    fall=FALL,
    paused_before=4,
    repaid_in=7,
    grace_over_before=8,
    calls=CALLS,
    waits=WAITS,
    done=DONE,
    kills={4: ["K2", "K4", "K5"], 5: ["K8", "K11"]},
)


@pytest.mark.timeout(900)
def test_everyone_gets_what_a_competitor_says(tmp_path):
    """Nobody is called, waits or is liquidated otherwise, whatever is killed when."""
    with market_of_five() as market:
        lived(market, tmp_path / "keeper", POLICY)
