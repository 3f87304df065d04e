"""Five accounts through a fall under ``guardian``; what happens to them: ``margin_stories``."""

import pytest

from tests.chain.margin_stories import AT_ONCE, Policy, lived, market_of_five

pytestmark = pytest.mark.early(7)

FALL = [
    {"WETH": 140, "LINK": 140, "WBTC": 140},
    *[{"WETH": 120, "LINK": 120, "WBTC": 120}] * 3,
    *[{"WETH": 108, "LINK": 108, "WBTC": 120}] * 3,
    *[{"WETH": 102, "LINK": 99, "WBTC": 99}] * 2,
    *[{"WETH": 102, "LINK": 99, "WBTC": 120}] * 6,
]

# Three blocks confirm whatever it is; then two blocks of grace for those past the line.
CALLS = [
    (4, "called", "owner", "watch"),
    (4, "called", "ward", "watch"),
    (4, "called", "sinker", "watch"),
    (4, "called", "graced", "watch"),
    (4, "called", "spiker", "watch"),
    (7, "called", "owner", "call"),
    (7, "called", "ward", "call"),
    (7, "called", "sinker", "call"),
    (7, "called", "graced", "call"),
    (10, "called", "owner", "urgent"),
    (10, "called", "ward", "urgent"),
    (10, "called", "sinker", "liquidatable"),
    (10, "called", "graced", "liquidatable"),
    (11, "cured", "ward", "urgent"),
    (13, "liquidated", "sinker", "liquidatable"),
    (13, "cured", "owner", "urgent"),
    (14, "escalated", "graced", "liquidatable"),
    (15, "liquidated", "graced", "liquidatable"),
]
WAITS = [
    *((block, who, "spike_unconfirmed") for block in (8, 9) for who in ("graced", "sinker")),
    *((block, "spiker", "spike_unconfirmed") for block in (8, 9)),
    *((block, who, "policy_grace") for block in (10, 11) for who in ("graced", "sinker")),
    *((block, "graced", "grace_period") for block in range(12, 14)),
]
DONE = [(11, "ward", "cured"), (13, "sinker", "liquidated"), (15, "graced", "liquidated")]
POLICY = Policy(
    settings='name = "guardian"\n'
    "[policy.grace]\nliquidatable_blocks = 2\nliquidatable_seconds = 24\n" + AT_ONCE,
    fall=FALL,
    paused_before=8,
    repaid_in=13,
    grace_over_before=14,
    calls=CALLS,
    waits=WAITS,
    done=DONE,
    kills={10: ["K2", "K4", "K5"], 11: ["K8", "K11"], 12: ["K5"]},
)


@pytest.mark.timeout(900)
def test_everyone_gets_what_a_guardian_says(tmp_path):
    """Nobody is called, waits or is liquidated otherwise, whatever is killed when."""
    with market_of_five() as market:
        lived(market, tmp_path / "keeper", POLICY)
