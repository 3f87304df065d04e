"""The screen misses nobody: what it leaves out is not past the line by the exact rules."""

from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.units import RAY
from keeper.protocols.aave_v3.model import Account, Holding
from keeper.protocols.aave_v3.position import Clock
from keeper.protocols.aave_v3.rulebook import RULEBOOK
from keeper.protocols.aave_v3.screen import Screen
from tests.unit.protocols import aave_builders as build

INDEX = st.integers(RAY, 3 * RAY)


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


@given(st.data(), pools())
def test_nobody_past_the_line_is_left_out(data, pool):
    """Debts are drawn around the very line, to a unit, where a rounding would decide."""
    clock, category = Clock(pool, build.NOW), data.draw(st.integers(0, 1))
    supply = data.draw(st.integers(0, 10**26))
    rich = Account(0b10 | 0b01 << 2, category, {0: Holding(supply, 0), 1: Holding(0, 10**30)})
    position = clock.position(rich)
    value = position.legs[1].debt_value
    weighted = position.legs[0].collateral_value * position.legs[0].threshold // 10_000
    line = 10**30 * weighted // value if value else 0
    debt = max(0, line + data.draw(st.integers(-3, 3)))
    account = Account(rich.flags, category, {0: Holding(supply, 0), 1: Holding(0, debt)})

    taken = build.snapshot(pool, **{build.BORROWER: account})

    assert list(taken.liquidatable()) == [h for h in taken.accounts() if h.liquidatable]


def test_an_account_far_from_the_line_is_not_valued_exactly():
    """That is what the screen is for."""
    safe = Screen(Clock(build.pool(), build.NOW))

    assert not safe.nominates(build.account(usdc=15_000 * 10**6))
    assert safe.nominates(build.account(usdc=16_000 * 10**6))


def test_what_cannot_be_screened_is_decided_exactly():
    """An unread balance, a fixed rate, a missing price: the exact rules say what they mean."""
    screen = Screen(Clock(build.pool(), build.NOW))
    unpriced = Screen(Clock(build.pool(weth={"price": None}), build.NOW))
    flags = build.account().flags

    assert screen.nominates(Account(flags, 0, {0: Holding(10**18, 0)}))
    fixed = Holding(0, 0, stable_principal=1, stable_rate=0, stable_since=build.NOW)
    assert screen.nominates(Account(flags, 0, {0: Holding(10**18, 0), 1: fixed}))
    assert unpriced.nominates(build.account(usdc=1))


def test_the_worst_come_first():
    """The order is that of all the accounts."""
    accounts = {
        build.address(n): build.account(usdc=debt * 10**6)
        for n, debt in ((1, 17_000), (2, 19_000), (3, 1_000), (4, 18_000))
    }

    taken = build.snapshot(**accounts)

    assert [h.account for h in taken.liquidatable()] == [build.address(n) for n in (2, 4, 1)]
