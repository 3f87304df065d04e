"""What would cure an account of a pool, against valuing it anew with the cure applied."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.advice import CureKind
from keeper.domain.units import RAY, WAD
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.model import Account, Holding, PoolState
from keeper.protocols.aave_v3.position import Clock
from tests.unit.protocols import aave_builders as build

DAY = 86_400
THEN = build.NOW + DAY
TARGET = 11 * WAD // 10
REVISIONS = (1, 4, 5, 7, 8, 9, 10, 11)


def advice(state=None, *, target=TARGET, moment=THEN, **account):
    kept = Account(**account) if account else build.account()
    return build.snapshot(state, **{build.BORROWER: kept}).advice(build.BORROWER, target, moment)


def applied(kept, cure, amount, clock):
    """Return the account with so much of a cure done at the clock's time, as the pool keeps it."""
    at = next(at for at, state in clock.pool.reserves.items() if state.reserve.token == cure.token)
    held, rulebook = kept.holdings[at], clock.pool.structure.rules
    supply, debt = clock.indices(at)
    if cure.kind is CureKind.ADD_COLLATERAL:
        more = rules.scaled(amount, supply, rulebook)
        held = dataclasses.replace(held, scaled_supply=held.scaled_supply + more)
        flags = kept.flags | 2 << 2 * at
    else:
        less = rules.scaled(amount, debt, rulebook)
        held = dataclasses.replace(held, scaled_debt=held.scaled_debt - less)
        flags = kept.flags
    return Account(flags, kept.category, {**kept.holdings, at: held})


def health(kept, clock):
    return clock.position(kept).data.health_factor


legs = st.lists(
    st.fixed_dictionaries(
        {
            "decimals": st.sampled_from([0, 2, 6, 8, 9, 11, 17, 18]),
            "price": st.integers(1, 10**13),
            "threshold": st.integers(1, 9_800),
            "supplied_value": st.integers(0, 10**14),
            "owed_value": st.integers(0, 10**14),
            "liquidity_index": st.integers(RAY, 3 * RAY),
            "variable_index": st.integers(RAY, 3 * RAY),
            "rate": st.integers(0, RAY // 2),
            "emode": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


def market(revision, drawn):
    """Return a pool and an account of any shape: in eMode 1, if that collects any of its legs."""
    states, holdings, flags, bitmap = [], {}, 0, 0
    for at, leg in enumerate(drawn):
        state = build.reserve_state(
            at,
            f"T{at}",
            price=leg["price"],
            decimals=leg["decimals"],
            settings={"threshold": leg["threshold"], "category": int(leg["emode"])},
            liquidity_index=leg["liquidity_index"],
            variable_index=leg["variable_index"],
            liquidity_rate=leg["rate"] // 2,
            variable_rate=leg["rate"],
            last_update=build.NOW - 7 * at,
        )
        states.append(state)
        supplied = leg["supplied_value"] * state.unit // leg["price"]
        owed = leg["owed_value"] * state.unit // leg["price"]
        holdings[at] = Holding(supplied, owed)
        flags |= (bool(owed) | 2 * bool(supplied)) << 2 * at
        bitmap |= leg["emode"] << at
    pool = PoolState(
        structure=build.structure(revision, states),
        reserves={state.reserve.identity: state for state in states},
        categories={1: build.emode(collateral=bitmap)},
        liquidations_allowed=True,
        flash_premium=5,
    )
    return pool, Account(flags, int(any(leg["emode"] for leg in drawn)), holdings)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.sampled_from(REVISIONS), legs, st.integers(WAD, 3 * WAD), st.integers(0, 400 * DAY))
def test_the_advised_amount_reaches_the_target_and_one_less_does_not(
    revision, drawn, target, seconds
):
    """And every more does: over all versions, decimals, rates, eModes and mixtures of legs."""
    pool, kept = market(revision, drawn)
    found = advice(pool, target=target, moment=build.NOW + seconds, **vars_of(kept))
    clock = Clock(pool, build.NOW + seconds)
    if found is None:
        assert all(not leg.debt for leg in clock.position(kept).legs.values())
        return

    assert found.untreated == health(kept, clock)
    assert list(found.cures) == sorted(found.cures, key=lambda one: one.value)
    for cure in found.cures:
        assert health(applied(kept, cure, cure.amount, clock), clock) >= target
        assert health(applied(kept, cure, cure.amount - 1, clock), clock) < target
        if cure.kind is CureKind.ADD_COLLATERAL:
            for more in (1, 2, 9, cure.amount // 7, cure.amount):
                assert health(applied(kept, cure, cure.amount + more, clock), clock) >= target


def vars_of(kept):
    return {"flags": kept.flags, "category": kept.category, "holdings": kept.holdings}


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(REVISIONS), legs)
def test_liquidation_starts_at_the_price_told(revision, drawn):
    """And not one unit of price further from it, where the token is not on both sides."""
    pool, kept = market(revision, drawn)
    pool = dataclasses.replace(pool, categories={})
    kept = Account(kept.flags, 0, kept.holdings)
    found = advice(pool, **vars_of(kept))
    for price in () if found is None else found.prices:
        at = next(i for i, one in pool.reserves.items() if one.reserve.token == price.token)
        below = [
            health(kept, Clock(with_price(pool, at, price.price + step), build.NOW)) < WAD
            for step in (-1, 0, 1)
        ]
        assert below[1]
        assert price.now == pool.reserves[at].price
        both = kept.holdings[at].scaled_supply and kept.holdings[at].scaled_debt
        assert both or not (below[0] and below[2])


def with_price(pool, at, price):
    moved = dataclasses.replace(pool.reserves[at], price=price)
    return dataclasses.replace(pool, reserves={**pool.reserves, at: moved})


def configured(**changes):
    """Return a pool whose WETH (or USDC) has another bit set in its configuration."""
    weth, usdc = changes.pop("weth", 0), changes.pop("usdc", 0)
    state = build.pool(**changes)
    reserves = {
        at: dataclasses.replace(
            one,
            configuration=dataclasses.replace(
                one.configuration, word=one.configuration.word ^ bits
            ),
        )
        for (at, one), bits in zip(state.reserves.items(), (weth, usdc), strict=True)
    }
    return dataclasses.replace(state, reserves=reserves)


ACTIVE, FROZEN, PAUSED = 1 << 56, 1 << 57, 1 << 60
MOST_LTV = 0xFFFF


def kinds(found):
    return [(one.kind, one.symbol) for one in found.cures]


@pytest.mark.parametrize(
    ("weth", "usdc", "left", "told"),
    [
        (FROZEN, 0, ["repay_debt"], ["adding WETH: the reserve is frozen"]),
        (PAUSED, 0, ["repay_debt"], ["adding WETH: the reserve is paused"]),
        (ACTIVE, 0, ["repay_debt"], ["adding WETH: the reserve is inactive"]),
        (0, FROZEN, ["add_collateral", "repay_debt"], []),
        (
            FROZEN,
            PAUSED,
            [],
            [
                "repaying USDC: the reserve is paused",
                "adding USDC: the reserve is paused",
                "adding WETH: the reserve is frozen",
            ],
        ),
    ],
)
def test_a_shut_way_is_told_and_not_advised(weth, usdc, left, told):
    """A frozen reserve takes no supply, but a repayment; a paused one takes neither."""
    found = advice(configured(weth=weth, usdc=usdc))

    assert sorted(one.kind for one in found.cures) == left
    assert sorted(found.impossible) == sorted(told)


@pytest.mark.parametrize(("room", "possible"), [(0, True), (-1, False)])
def test_the_supply_cap_counts_at_the_time_of_the_cure(room, possible):
    """To the unit: interest of suppliers and treasury until then included."""
    unit, word = 10**18, 900 << 64 | 5_000 << 116
    amount = next(one for one in advice().cures if one.kind is CureKind.ADD_COLLATERAL).amount
    clock = Clock(build.pool(), THEN)
    index = clock.indices(build.WETH)[0]
    debt = 100 * unit
    growth = clock.indices(build.WETH)[1] - RAY
    treasury = (debt * growth // RAY * 900 + 5_000) // 10_000 * RAY // index
    most = next(
        one
        for one in range(5_000 * unit * RAY // index + 2, 0, -1)
        if one * index // RAY <= 5_000 * unit
    )
    supply = most - treasury - amount * RAY // index - room
    state = configured(weth=word)
    weth = dataclasses.replace(state.reserves[build.WETH], scaled_supply=supply, scaled_debt=debt)
    found = advice(dataclasses.replace(state, reserves={**state.reserves, build.WETH: weth}))

    assert (("add_collateral", "WETH") in kinds(found)) == possible
    assert any("supply cap" in one for one in found.impossible) == (not possible)


def test_a_cap_that_cannot_be_read_shuts_the_way():
    """The token did not say how much is supplied."""
    found = advice(configured(weth=5_000 << 116))

    assert kinds(found) == [("repay_debt", "USDC")]
    assert "could not be read" in found.impossible[0]


def test_more_of_a_supply_that_backs_nothing_is_no_cure():
    """The flag is the account's own to set; the pool sets it with a first supply only."""
    both = {build.WETH: Holding(10 * 10**18, 0), build.USDC: Holding(5, 17_000 * 10**6)}

    found = advice(flags=0b01 << 2 | 0b10, category=0, holdings=both)

    assert kinds(found) == [("repay_debt", "USDC"), ("add_collateral", "WETH")]
    assert "only the account can change" in found.impossible[0]


def two_debts(**usdc):
    """An account whose one debt, repaid, is not enough; it has never supplied that token."""
    holdings = {
        build.WETH: Holding(10 * 10**18, 0),
        build.USDC: Holding(0, 100 * 10**6),
        2: Holding(0, 17_000 * 10**18),
    }
    base = build.pool(usdc=usdc)
    third = build.reserve_state(2, "DAI", price=10**8)
    pool = dataclasses.replace(
        base,
        structure=build.structure(10, [*base.reserves.values(), third]),
        reserves={**base.reserves, 2: third},
    )
    return pool, {"flags": 0b10 | 0b01 << 2 | 0b01 << 4, "category": 0, "holdings": holdings}


def test_a_debt_that_is_too_small_leaves_supplying_its_token():
    """A first supply is used as collateral at once, and counts."""
    pool, account = two_debts()

    found = advice(pool, **account)

    assert ("add_collateral", "USDC") in kinds(found)
    assert next(one for one in found.cures if one.symbol == "USDC").is_new
    assert "repaying USDC: all of it gives a health factor of" in found.impossible[0]


@pytest.mark.parametrize(
    ("reserve", "bits", "why"),
    [
        (build.USDC, 7_500, "loan-to-value of zero"),
        (build.USDC, 9 << 212, "isolated asset"),
        (build.WETH, 9 << 212, "isolated with WETH"),
    ],
)
def test_a_first_supply_that_the_pool_would_not_flag_is_no_cure(reserve, bits, why):
    """No loan-to-value, an isolated asset, or an account that is isolated already."""
    pool, account = two_debts()
    state = pool.reserves[reserve]
    word = state.configuration.word ^ bits
    changed = dataclasses.replace(
        state, configuration=dataclasses.replace(state.configuration, word=word)
    )

    found = advice(
        dataclasses.replace(pool, reserves={**pool.reserves, reserve: changed}), **account
    )

    assert ("add_collateral", "USDC") not in kinds(found)
    assert any(one.startswith("adding USDC") and why in one for one in found.impossible)


def test_from_3_6_an_emodes_loan_to_value_decides_about_the_flag():
    """``getUserReserveLtv``: also where the reserve's own is zero, unless the eMode sets it so."""
    pool, account = two_debts()
    state = pool.reserves[build.USDC]
    word = state.configuration.word ^ 7_500
    changed = dataclasses.replace(
        state, configuration=dataclasses.replace(state.configuration, word=word)
    )
    pool = dataclasses.replace(pool, reserves={**pool.reserves, build.USDC: changed})
    allowed = build.emode(collateral=0b11)
    barred = dataclasses.replace(allowed, ltv_zero=0b10)
    for category, possible in ((allowed, True), (barred, False)):
        inside = dataclasses.replace(pool, categories={1: category})

        found = advice(inside, target=13 * WAD // 10, **account | {"category": 1})

        assert (("add_collateral", "USDC") in kinds(found)) == possible


def test_a_debt_at_a_stable_rate_is_repaid_as_one_of_its_own():
    """Two debts of one token on 3.0, each with its own amount."""
    held = Holding(0, 12_000 * 10**6, 5_000 * 10**6, 4 * RAY // 100, build.NOW - 30 * DAY)
    holdings = {build.WETH: Holding(10 * 10**18, 0), build.USDC: held}

    found = advice(build.pool(1), flags=0b10 | 0b01 << 2, category=0, holdings=holdings)

    repaid = [one for one in found.cures if one.kind is CureKind.REPAY_DEBT]
    assert [one.stable_rate for one in repaid] == [False, True]
    assert repaid[0].value == repaid[1].value


def test_nobody_is_advised_who_is_well_or_owes_nothing():
    """At the target there is nothing to add; without debt there is nothing to say."""
    well = advice(target=WAD // 2)

    assert well.cures == well.impossible == ()
    assert well.untreated > WAD // 2
    assert well.prices
    assert advice(flags=0b10, category=0, holdings={build.WETH: Holding(1, 0)}) is None


def test_what_cannot_be_valued_is_told_so():
    """No price, an unread balance, or a pool whose rules are a guess."""
    for found in (
        advice(build.pool(weth={"price": None})),
        advice(build.pool(999)),
        advice(flags=0b10 | 0b01 << 2, category=0, holdings={build.WETH: Holding(1, 0)}),
    ):
        assert found.cures == ()
        assert len(found.impossible) == 1


def test_a_time_that_has_passed_counts_as_the_blocks():
    """Interest does not run backwards."""
    assert advice(moment=build.NOW - 1) == advice(moment=build.NOW)
