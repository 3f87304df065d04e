"""What the vault is asked for on Morpho Blue: all of one side, and by the contract's own rules."""

import pytest
from eth_abi.abi import decode
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.units import WAD
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.calls import SEIZURE_TYPE
from keeper.protocols.morpho_blue.model import Irm, Position
from tests.unit.protocols import morpho_builders as build
from tests.unit.protocols.test_morpho_advice import FIRST, states


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    states,
    st.tuples(st.integers(1, 10**9), st.integers(1, 10**30)),
    st.integers(1, 10**40),
    st.integers(0, 10**7),
)
def test_a_clearing_takes_all_of_a_side_and_morpho_has_it_so(state, held, price, seconds):
    """All collateral, if ever so much later; or all the debt, where the collateral is enough."""
    share, collateral = held
    owed = max(1, state.borrow_shares * share // 10**9)
    position = Position(borrow_shares=owed, collateral=collateral)
    taken = build.snapshot(position, state=state, price=price)
    step = taken.clear_step(FIRST)
    (values,) = decode([SEIZURE_TYPE], step.data)
    seized, shares = values[3:]
    now = rules.accrued(state, Irm.ADAPTIVE_CURVE, build.NOW)
    later = rules.accrued(state, Irm.ADAPTIVE_CURVE, build.NOW + seconds)
    factor = rules.incentive(build.params().lltv)

    assert (seized, shares) in {(collateral, 0), (0, owed)}
    if seized:
        assert rules.by_collateral(seized, position, later, price, factor) is not None
    else:
        assert rules.by_shares(shares, position, now, price, factor) is not None


def test_dollars_are_rounded_against_whoever_spends():
    """What a grant buys is rounded down, what a loss costs is rounded up."""
    position = Position(borrow_shares=10**12, collateral=10**6)
    step = build.snapshot(position).clear_step(FIRST)
    numerator, denominator = step.usd_per_base

    assert (numerator, denominator) != (1, 1)
    for amount in (1, 7, 10**9 + 1, WAD + 1):
        assert step.usd_ceil(step.base_floor(amount)) <= amount
        assert step.base_floor(step.usd_ceil(amount)) >= amount
