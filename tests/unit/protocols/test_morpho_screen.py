"""The screen misses nobody: what it leaves out is not past the line by the exact rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.units import UINT256_MAX, WAD, Wad
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.model import Irm, Position
from keeper.risk.tiers import DEFAULT, Tier, tier_of
from tests.unit.protocols import morpho_builders as build

TOTAL = st.integers(0, 10**30)
BALANCE = st.one_of(st.integers(0, 100), st.integers(0, 10**28), st.integers(0, 2**128 - 1))


@st.composite
def markets(draw):
    """A market with odd totals, interest due, price and LLTV."""
    borrowed = draw(TOTAL)
    changes = {
        "supply_assets": borrowed + draw(TOTAL),
        "borrow_assets": borrowed,
        "borrow_shares": draw(st.integers(0, 10**36)),
        "last_update": build.NOW - draw(st.integers(0, 10**7)),
    }
    price = draw(st.one_of(st.integers(1, 10**60), st.integers(1, UINT256_MAX)))
    lltv = draw(st.integers(0, WAD - 1))
    irm = draw(st.sampled_from([Irm.NONE, Irm.ADAPTIVE_CURVE]))
    return {"state": build.state(**changes), "price": price, "read": build.market(irm, lltv=lltv)}


def line_of(position, facts):
    """The shares at the line of this collateral."""
    now = rules.accrued(facts["state"], facts["read"].irm, build.NOW)
    most = rules.health(
        Position(borrow_shares=1, collateral=position.collateral),
        now,
        facts["price"],
        facts["read"].params.lltv,
    ).most
    return most * (now.borrow_shares + rules.VIRTUAL_SHARES) // (now.borrow_assets + 1)


def said(taken):
    return [h for h in taken.accounts() if h.liquidatable]


@pytest.mark.slow
@given(markets(), st.integers(0, 10**30), st.integers(-3, 3))
def test_nobody_past_the_line_is_left_out(facts, collateral, off):
    """Debts are drawn around the very line, to a share, where a rounding would decide."""
    pledged = Position(borrow_shares=0, collateral=collateral)
    shares = min(max(line_of(pledged, facts) + off, 0), 2**128 - 1)
    taken = build.snapshot(Position(borrow_shares=shares, collateral=collateral), **facts)

    assert list(taken.liquidatable()) == said(taken)


POSITIONS = st.lists(
    st.builds(
        lambda owed, pledged: Position(borrow_shares=owed, collateral=pledged), BALANCE, BALANCE
    ),
    max_size=6,
)


@pytest.mark.slow
@given(markets(), POSITIONS, st.integers(0, 3 * WAD))
def test_below_any_line_are_those_that_the_exact_rules_say(facts, positions, line):
    """Those with more collateral than the contract can count among them."""
    taken = build.snapshot(*positions, **facts)
    wanted = [
        h for h in taken.accounts() if h.unpriced or h.liquidatable or h.health_factor < Wad(line)
    ]

    assert list(taken.below(Wad(line))) == wanted
    assert list(taken.liquidatable()) == said(taken)


def test_a_debt_that_floats_lose_is_what_its_rounding_makes_of_it():
    """One share of next to nothing owes a unit, and worthless collateral does not cover it."""
    taken = build.snapshot(
        Position(borrow_shares=1, collateral=3570112941016088608682012161),
        state=build.state(
            supply_assets=0, borrow_assets=0, borrow_shares=664613997892458231599808709292988252
        ),
        price=36893488147608279013,
        read=build.market(Irm.NONE, lltv=7592212),
    )

    assert [one.liquidatable for one in taken.liquidatable()] == [True]


def test_a_debt_that_floats_lose_beside_too_much_collateral_is_not_forgotten():
    """The contract cannot count it: the account is unpriced, however little it owes."""
    taken = build.snapshot(Position(borrow_shares=1, collateral=2**100), price=2**160)

    assert [one.unpriced != "" for one in taken.below(Wad(1))] == [True]
    assert taken.tiers(DEFAULT)[Tier.UNPRICED] == 1


@pytest.mark.slow
@given(markets(), POSITIONS)
def test_positions_come_out_of_the_columns_as_they_went_in(facts, positions):
    """Both balances, to the last of 128 bits."""
    assert list(build.snapshot(*positions, **facts).positions.values()) == positions


@pytest.mark.slow
@given(markets(), POSITIONS)
def test_tiers_are_counted_without_valuing_everybody(facts, positions):
    """Never fewer of the worse tiers than there are."""
    taken = build.snapshot(*positions, **facts)
    exact = [tier_of(one) for one in taken.accounts()]
    counted = taken.tiers(DEFAULT)

    assert sum(counted.values()) == len(exact)
    for certain in (Tier.LIQUIDATABLE, Tier.UNPRICED):
        assert counted[certain] == exact.count(certain)
    assert counted[Tier.HEALTHY] <= exact.count(Tier.HEALTHY)


def test_a_position_far_from_the_line_has_slack():
    """It owes 2,000 of the 2,580 USDC that it may."""
    taken = build.snapshot(build.owing(2_000), build.owing(2_700))

    assert 1.28 < taken.screen.least[0] <= 1.29
    assert 0.95 < taken.screen.least[1] <= 0.956


def test_where_the_oracle_fails_nobody_can_be_told():
    """Everyone is unpriced, and nobody is called liquidatable."""
    taken = build.snapshot(build.owing(2_700), Position(borrow_shares=0, collateral=1), price=None)

    assert np.isnan(taken.screen.least[0])
    assert taken.liquidatable() == ()
    assert taken.tiers(DEFAULT)[Tier.UNPRICED] == 1
    assert [one.unpriced != "" for one in taken.below(Wad(WAD))] == [True]
