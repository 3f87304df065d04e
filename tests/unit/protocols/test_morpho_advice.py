"""What would cure a debtor, against the contract's own reckoning with the cure applied."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.advice import CureKind
from keeper.domain.units import UINT256_MAX, WAD
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.advice import after_repaying
from keeper.protocols.morpho_blue.model import Irm, Position
from tests.unit.protocols import morpho_builders as build

DAY = 86_400
FIRST = "0x" + "0" * 39 + "1"
TARGET = 11 * WAD // 10


def advice(position, *, target=TARGET, moment=build.NOW + DAY, **changes):
    return build.snapshot(position, **changes).advice(FIRST, target, moment)


def factor(position, state, price):
    return rules.health(position, state, price, build.params().lltv).factor


states = st.builds(
    lambda supply, share, per_asset, rate: build.state(
        supply_assets=supply,
        borrow_assets=max(1, supply * share // 100),
        borrow_shares=max(1, supply * share // 100 * per_asset // 10**6),
        rate_at_target=rate,
    ),
    st.integers(1, 10**20),
    st.integers(1, 100),
    st.integers(1, 10**12),
    st.integers(10**7, 10**10),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    states,
    st.tuples(st.integers(1, 10**9), st.integers(1, 10**30)),
    st.integers(1, 10**40),
    st.integers(WAD, 3 * WAD),
    st.integers(0, 400 * DAY),
)
def test_the_advised_amount_reaches_the_target_and_one_less_does_not(
    state, held, price, target, seconds
):
    """Over all sizes of markets and positions, shares dearer and cheaper than a unit."""
    share, collateral = held
    owed = max(1, state.borrow_shares * share // 10**9)
    position = Position(borrow_shares=owed, collateral=collateral)
    moment = build.NOW + seconds
    then = rules.accrued(state, Irm.ADAPTIVE_CURVE, moment)

    found = advice(position, target=target, moment=moment, state=state, price=price)

    assert found.untreated == factor(position, then, price)
    for cure in found.cures:
        if cure.kind is CureKind.ADD_COLLATERAL:
            for less, reached in ((0, True), (1, False)):
                more = dataclasses.replace(position, collateral=collateral + cure.amount - less)
                assert (factor(more, then, price) >= target) == reached
            continue
        if cure.clears:
            assert cure.amount == rules.assets_up(owed, then)
        else:
            assert factor(*after_repaying(cure.amount, position, then), price) >= target
        short = after_repaying(cure.amount - 1, position, then)
        assert short is not None
        assert short[0].borrow_shares
        assert factor(*short, price) < target


def test_the_cheapest_comes_first():
    """Repaying costs less than adding what is weighed with the LLTV."""
    found = advice(build.owing(2_500))

    assert [(one.kind, one.symbol) for one in found.cures] == [
        (CureKind.REPAY_DEBT, "USDC"),
        (CureKind.ADD_COLLATERAL, "WETH"),
    ]
    assert found.cures[0].value < found.cures[1].value


def test_liquidation_starts_at_the_oracles_price_told_in_dollars():
    """One WETH at 86 % is worth the debt; a dearer loan token does the same."""
    collateral, loan = advice(build.owing(2_150)).prices

    assert abs(collateral.price - 2_500 * 10**8) < 10**8
    assert collateral.now == 3_000 * 10**8
    assert abs(loan.price - 12 * 10**7) < 10**5
    assert loan.now == 10**8


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"price": None}, "oracle"),
        ({"price": 0}, "zero"),
        ({"read": build.market(Irm.UNKNOWN)}, "rate model"),
    ],
)
def test_what_cannot_be_valued_is_told_so(changes, why):
    """No cure is made up where the contract's figures are unknown."""
    found = advice(build.owing(2_500), **changes)

    assert found.cures == ()
    assert why in found.impossible[0]


def test_collateral_that_the_contract_cannot_count_is_no_cure():
    """Its product with the price has to fit a word."""
    position = build.owing(2_500, collateral=0)

    found = advice(position, price=1)

    assert "no amount of it" in found.impossible[0]
    assert [one.kind for one in found.cures] == [CureKind.REPAY_DEBT]
    assert found.cures[0].clears
    assert UINT256_MAX // 1 > 2**128


def test_nobody_is_advised_who_is_well_or_owes_nothing():
    """At the target there is nothing to add; without debt there is nothing to say."""
    assert advice(build.owing(100)).cures == ()
    assert advice(Position(borrow_shares=0, collateral=1)) is None
