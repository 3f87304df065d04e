from dataclasses import replace

import numpy as np
import pytest

from keeper.domain.errors import ConfigError
from keeper.domain.notice import NoticeKind
from keeper.margin.settings import COMPETITIVE, GUARDIAN, Confirms
from keeper.rehearse import attention
from keeper.rehearse.plan import Settled, all_moments, look_blocks, rehearsed
from keeper.rehearse.prices import parsed
from keeper.rehearse.run import Run, prepared, ran
from keeper.rehearse.stage import planner_of
from keeper.rehearse.world import made
from keeper.strategy.policy import Policy

CLOSING = (NoticeKind.CURED, NoticeKind.LIQUIDATED)

HEADER = "timestamp_utc,WETH,USDC,WBTC,DAI,USDT\n"
CALM = parsed(
    HEADER + "".join(f"2024-01-0{day}T00:00:00Z,3000,1,60000,1,1\n" for day in (1, 2, 3)), "calm"
)
CRASH = parsed(
    HEADER
    + "".join(
        f"2024-01-01T{hour:02}:00:00Z,{price},1,{price * 20},1,1\n"
        for hour, price in enumerate([3000, 2900, 2700, 2750, 2400, 2300, 2450, 2500])
    ),
    "crash",
)
SMALL = Settled(accounts=250, seed=3, step_minutes=60, wicks=0)


def run(policy, path=CRASH, settled=SMALL):
    return rehearsed(policy.name, policy, path, settled).outcome


@pytest.mark.slow
def test_nothing_happens_on_a_calm_day():
    """Interest alone liquidates nobody in two days who is not dust."""
    found = run(COMPETITIVE, CALM)

    assert found.liquidations <= 1
    assert found.unnecessary == 0


@pytest.mark.parametrize(
    ("changes", "blocks"),
    [
        ({}, 3),
        ({"blocks": 7}, 7),
        ({"blocks": 9_000}, 300),
        ({"confirm": (Confirms.SECONDS,), "seconds": 60}, 6),
        ({"confirm": (), "blocks": 7}, 3),
    ],
)
def test_a_look_lasts_until_the_guard_can_confirm(changes, blocks):
    """Else five blocks would be counted over two looks, and take an hour instead of a minute."""
    policy = replace(GUARDIAN, guard=replace(GUARDIAN.guard, **changes))

    assert look_blocks(policy, SMALL) == blocks


@pytest.mark.slow
def test_a_crash_is_met_the_same_way_every_time():
    """Figures that change between two runs compare nothing."""
    assert run(GUARDIAN) == run(GUARDIAN)


@pytest.mark.slow
def test_a_crash_calls_before_it_liquidates():
    """Most of those who were liquidated had been told; the profit is the keeper's."""
    found = run(COMPETITIVE)

    assert found.liquidations >= found.liquidated > 0
    assert found.called >= found.liquidated
    assert found.profit_usd_e8 > 0
    assert found.messages < found.notices


@pytest.mark.slow
def test_a_wick_of_two_blocks_is_acted_upon_by_speed_and_seen_through_by_restraint():
    """That is what the guard is for; the floor is not reached by so small a wick."""
    wicked = replace(SMALL, accounts=1_500, wicks=6, wick_off_bps=500, wick_seed=1)
    quick, patient = run(COMPETITIVE, CALM, wicked), run(GUARDIAN, CALM, wicked)

    assert quick.unnecessary > 0
    assert patient.unnecessary == 0
    assert patient.waits > 0


@pytest.mark.slow
@pytest.mark.parametrize("policy", [COMPETITIVE, GUARDIAN], ids=lambda one: one.name)
def test_looking_only_where_it_matters_finds_what_looking_everywhere_finds(policy, monkeypatch):
    """Floats choose whom the rules see, and never what they say."""
    quick = run(policy)
    monkeypatch.setattr(
        attention.Attention, "wanted", lambda self, least: np.ones(len(least), dtype=np.bool_)
    )
    monkeypatch.setattr(attention.Attention, "waits", True)

    assert replace(run(policy), blocks=0, waits=0) == replace(quick, blocks=0, waits=0)


def test_the_blocks_are_the_same_for_every_policy():
    """Steps, and the wicks among them."""
    blocks, false = all_moments(CRASH, replace(SMALL, wicks=3))

    assert len(false) == 3
    assert sum(one.wick for one in blocks) == 6
    assert [one.number for one in blocks] == sorted(one.number for one in blocks)


def test_a_path_without_the_dollar_or_the_coin_is_refused():
    """There would be nothing to sell for, or to pay gas with."""
    path = parsed("timestamp_utc,WBTC,USDC\n2024-01-01,1,1\n2024-01-02,1,1\n", "p")

    with pytest.raises(ConfigError, match="has no WETH"):
        rehearsed("competitive", COMPETITIVE, path, SMALL)


def test_a_path_of_too_few_assets_is_refused():
    """The largest accounts are backed by five."""
    path = parsed("timestamp_utc,WETH,USDC\n2024-01-01,1,1\n2024-01-02,1,1\n", "p")

    with pytest.raises(ConfigError, match="has 2 assets that are known here; it takes 5"):
        rehearsed("competitive", COMPETITIVE, path, SMALL)


@pytest.mark.slow
def test_nobody_who_stays_in_a_tier_is_called_twice():
    """Who is looked at now and then must not seem to have gone in between."""
    blocks, _ = all_moments(CRASH, SMALL)
    world = made(SMALL.accounts, SMALL.seed, blocks[0])
    told = ran(
        Run(settings=prepared(COMPETITIVE), world=world, planner=planner_of(world, 0, Policy())),
        blocks,
    )

    keys = [one.key for _, notices in told.notices for one in notices]
    closed = [one for _, notices in told.notices for one in notices if one.kind in CLOSING]
    assert len(keys) == len(set(keys))
    assert {one.account for one in closed if one.kind is NoticeKind.LIQUIDATED} <= {
        one.account for one in told.taken
    }
