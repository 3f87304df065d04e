"""The screen misses nobody: what it leaves out is not past the line by the exact rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.units import RAY, WAD, Wad
from keeper.protocols.aave_v3.model import Account, Holding
from keeper.protocols.aave_v3.position import Clock
from keeper.protocols.aave_v3.rulebook import RULEBOOK
from keeper.risk.tiers import DEFAULT, Tier, tier_of
from tests.unit.protocols import aave_builders as build

INDEX = st.integers(RAY, 3 * RAY)
BALANCE = st.one_of(st.integers(0, 100), st.integers(0, 10**26))


@st.composite
def pools(draw):
    """A pool of any revision with odd prices, decimals, thresholds and interest."""
    revision = draw(st.sampled_from(sorted(RULEBOOK)))

    def facts(decimals):
        return {
            "price": draw(st.integers(0, 10**13)),
            "decimals": decimals,
            "settings": {"threshold": draw(st.integers(0, 9_500)), "category": 1},
            "liquidity_index": draw(INDEX),
            "variable_index": draw(INDEX),
            "last_update": build.NOW - draw(st.integers(0, 10**7)),
        }

    return build.pool(
        revision,
        weth=facts(draw(st.integers(0, 18))),
        usdc=facts(draw(st.integers(0, 18))),
        categories=[build.emode(collateral=draw(st.integers(0, 3)))],
    )


def around_the_line(pool, supply, category, off):
    """An account whose debt is the one at the line, and ``off`` units."""
    rich = Account(0b10 | 0b01 << 2, category, {0: Holding(supply, 0), 1: Holding(0, 10**30)})
    position = Clock(pool, build.NOW).position(rich)
    value = position.legs[1].debt_value
    weighted = position.legs[0].collateral_value * position.legs[0].threshold // 10_000
    line = 10**30 * weighted // value if value else 0
    return Account(rich.flags, category, {0: Holding(supply, 0), 1: Holding(0, max(0, line + off))})


@pytest.mark.slow
@given(st.data(), pools())
def test_nobody_past_the_line_is_left_out(data, pool):
    """Debts are drawn around the very line, to a unit, where a rounding would decide."""
    supply, category = data.draw(st.integers(0, 10**26)), data.draw(st.integers(0, 1))
    account = around_the_line(pool, supply, category, data.draw(st.integers(-3, 3)))

    taken = build.snapshot(pool, **{build.BORROWER: account})

    assert list(taken.liquidatable()) == [h for h in taken.accounts() if h.liquidatable]


@st.composite
def accounts(draw):
    """Any mixture of flags and balances in two reserves, fixed rates and unread ones too."""
    flags, holdings = draw(st.integers(0, 15)), {}
    for at in (0, 1):
        if draw(st.integers(0, 9)):
            stable = draw(st.sampled_from([0, 0, 0, 10**20]))
            since = build.NOW - draw(st.integers(0, 10**7)) if stable else 0
            rate = RAY // 20 if stable else 0
            holdings[at] = Holding(draw(BALANCE), draw(BALANCE), stable, rate, since)
    return Account(flags, draw(st.integers(0, 2)), holdings)


@pytest.mark.slow
@given(pools(), st.lists(accounts(), max_size=6), st.integers(0, 3 * WAD))
def test_below_any_line_are_those_that_the_exact_rules_say(pool, people, line):
    """Whatever is asked for: a threshold of a tier, the line itself, or an odd number."""
    taken = build.snapshot(pool, **{build.address(at): one for at, one in enumerate(people, 1)})
    wanted = [
        h for h in taken.accounts() if h.unpriced or h.liquidatable or h.health_factor < Wad(line)
    ]

    assert list(taken.below(Wad(line))) == wanted


@pytest.mark.slow
@given(pools(), st.lists(accounts(), max_size=6))
def test_totals_are_those_of_the_position(pool, people):
    """Everyone at once is reckoned from the columns, one account from its position."""
    taken = build.snapshot(pool, **{build.address(at): one for at, one in enumerate(people, 1)})
    apart = [taken.account(one) for one in taken.borrowers]

    assert sorted(taken.accounts(), key=lambda h: h.account) == [h for h in apart if h is not None]


@pytest.mark.slow
@given(pools(), st.lists(accounts(), max_size=6))
def test_the_line_of_an_accounts_own_health_divides(pool, people):
    """At its own health factor it is not below, one wei above it is."""
    taken = build.snapshot(pool, **{build.address(at): one for at, one in enumerate(people, 1)})

    for health in taken.accounts():
        if health.unpriced or health.liquidatable:
            continue
        at_it = taken.below(health.health_factor)
        above = taken.below(Wad(health.health_factor + 1))
        assert health not in at_it
        assert health in above


@pytest.mark.slow
@given(pools(), st.lists(accounts(), max_size=6))
def test_accounts_come_out_of_the_columns_as_they_went_in(pool, people):
    """Balances, flags, eMode, fixed rates, and what was not read."""
    kept = {build.address(at): one for at, one in enumerate(people, 1)}

    assert dict(build.snapshot(pool, **kept).borrowers) == (
        kept or {build.BORROWER: build.account()}
    )


@pytest.mark.slow
@given(pools(), st.lists(accounts(), max_size=6))
def test_tiers_are_counted_without_valuing_everybody(pool, people):
    """To the account where the screen concedes nothing; never too many of the worst."""
    taken = build.snapshot(pool, **{build.address(at): one for at, one in enumerate(people, 1)})
    exact = [tier_of(one) for one in taken.accounts()]
    counted = taken.tiers(DEFAULT)

    assert sum(counted.values()) == len(exact)
    for certain in (Tier.LIQUIDATABLE, Tier.UNPRICED):
        assert counted[certain] == exact.count(certain)
    worse = 0
    for tier in Tier:
        worse += counted[tier] - exact.count(tier) if tier is not Tier.UNPRICED else 0
        assert worse >= 0
    assert all(count >= 0 for count in counted.values())


@pytest.mark.parametrize("revision", [1, 10])
def test_an_account_far_from_the_line_has_slack(revision):
    """That is what the screen is for: 6.25 % at 15,000 of 16,000."""
    pool = build.pool(revision)
    taken = build.snapshot(
        pool,
        **{
            build.address(1): build.account(usdc=15_000 * 10**6),
            build.address(2): build.account(usdc=16_000 * 10**6),
        },
    )
    least = taken.screen.least

    assert 1.066 < least[0] <= 16 / 15
    assert 0.999 < least[1] <= 1
    assert np.flatnonzero(~(least >= 1)).tolist() == [1]


def test_what_cannot_be_screened_is_decided_exactly():
    """An unread balance, a fixed rate, a missing price: the exact rules say what they mean."""
    flags = build.account().flags
    unread = Account(flags, 0, {0: Holding(10**18, 0)})
    fixed = Holding(0, 0, stable_principal=1, stable_rate=0, stable_since=build.NOW)
    stable = Account(flags, 0, {0: Holding(10**18, 0), 1: fixed})
    taken = build.snapshot(**{build.address(1): unread, build.address(2): stable})
    unpriced = build.snapshot(build.pool(weth={"price": None}))

    assert np.isnan(taken.screen.least).all()
    assert np.isnan(unpriced.screen.least).all()
    assert unpriced.tiers(DEFAULT)[Tier.UNPRICED] == 1


def test_a_balance_that_no_token_of_aaves_has_is_no_balance():
    """The columns hold 128 bits, as the tokens do; nothing is reckoned with a part of it."""
    account = build.account(usdc=2**128)
    (health,) = build.snapshot(**{build.BORROWER: account}).accounts()

    assert health.unpriced == "the balance of USDC"


def test_the_worst_come_first():
    """The order is that of all the accounts."""
    accounts = {
        build.address(n): build.account(usdc=debt * 10**6)
        for n, debt in ((1, 17_000), (2, 19_000), (3, 1_000), (4, 18_000))
    }

    taken = build.snapshot(**accounts)

    assert [h.account for h in taken.liquidatable()] == [build.address(n) for n in (2, 4, 1)]
