"""The campaigns with money in them, in short; ``scripts/money`` runs them whole."""

from dataclasses import replace

import pytest

from tests.money.arena import arena
from tests.money.campaign import Campaign, kept_scenarios, lived, table
from tests.money.draw import HAZARDS, World, draw_scenarios
from tests.money.races import run_races
from tests.money.scenario import Play

SEED = 2
SHORT = range(5)
RACES = 5
WORLD = World(
    tolerance_bps=1_000, profit_bid_bps=1_000, builder_share_bps=0, min_profit_usd=5, plans=4
)


PLAYED = {SEED: SHORT} | kept_scenarios()


@pytest.mark.parametrize("seed", PLAYED)
def test_no_landing_nets_less_than_the_minimum(seed):
    """
    Whatever comes first in the block: a landing nets the minimum after all that was paid.

    Each also brings the share of its simulated profit that the tolerance protects, or reverts.
    Scenarios in which something once was wrong are played, too.
    """
    campaign = Campaign()
    campaign.add(lived(seed, PLAYED[seed]))
    assert campaign.violations == []
    assert sum(row.landed for row in campaign.rows.values()) > 1
    assert "violations: 0" in table(campaign)


def test_a_campaign_sees_what_it_looks_for():
    """Where the keeper's own minimum and tolerance are lower than what is claimed, it says so."""
    still = next(one for one in draw_scenarios(1) if one.hazard == "still" and one.fall <= 94)
    moved = next(one for one in draw_scenarios(1) if one.hazard == "noise")
    with arena(WORLD.policy(), minimum=WORLD.min_profit_usd) as there:
        first = there.devnet.prices()
        strict = replace(WORLD, min_profit_usd=10**7, tolerance_bps=0)
        poor = Play(there, strict, still, first).run()
        worse = Play(there, strict, moved, first).run()

    assert any("the minimum is" in wrong for wrong in poor.violations)
    assert any("units of profit came" in wrong for wrong in worse.violations)


def test_lost_races_stop_nothing():
    """After each race the next honest account is liquidated in its very next block."""
    tally = run_races(RACES, gwei=5, seed=1)

    assert tally.violations == []
    assert tally.lost >= RACES // 2
    assert tally.honest_at_once == tally.honest
    assert not tally.breakers
    assert tally.lost_usd_e8 * 100 < tally.won_usd_e8


def test_every_hazard_is_drawn():
    """A thousand scenarios hold each kind of trader, attacker and rival often enough."""
    drawn = [one.hazard for seed in range(25) for one in draw_scenarios(seed)]

    assert len(drawn) == 1_000
    assert all(drawn.count(hazard) >= 50 for hazard in HAZARDS)
