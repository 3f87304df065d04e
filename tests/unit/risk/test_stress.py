"""What a move of prices does to a table of accounts: figures that can be reckoned by hand."""

import numpy as np
import pytest

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure, ExposureLeg
from keeper.domain.units import WAD
from keeper.risk.stress import stressed, totals
from keeper.risk.table import Asset, Table, TableBuilder, factors

ETH, BTC, USD = "0xe", "0xb", "0xd"
MILLION = 1_000_000


def leg(token, *, collateral=0, debt=0, weight=80, bonus=105):
    return ExposureLeg(
        token=token,
        symbol=token,
        collateral=collateral,
        debt=debt,
        weight=weight * WAD // 100,
        bonus=bonus * WAD // 100,
    )


def health(account, factor, *, liquidatable=False):
    return AccountHealth(
        market="m:1",
        account=account,
        health_factor=factor,
        collateral_base=0,
        debt_base=0,
        liquidatable=liquidatable,
    )


def a_table(*accounts):
    builder = TableBuilder()
    for name, factor, liquidatable, legs in accounts:
        builder.add(health(name, factor, liquidatable=liquidatable), Exposure(legs=legs), 1.0)
    return builder.built()


def alice():
    """1,000 of ETH at 80 % against 640 dollars: health 1.25."""
    legs = (leg(ETH, collateral=1_000), leg(USD, debt=640))
    return ("alice", 125 * WAD // 100, False, legs)


def moved(table, **percent):
    tokens = {"eth": ETH, "btc": BTC, "usd": USD}
    return stressed(table, factors(table, {tokens[at]: to / 100 for at, to in percent.items()}))


def test_an_account_crosses_where_its_weighted_collateral_no_longer_covers():
    """A fall of 20 % takes 1.25 to the line itself, which is healthy; one of 21 % past it."""
    table = a_table(alice())
    assert moved(table, eth=-19).health[0] == pytest.approx(1.0125)
    assert not moved(table, eth=-19).liquidatable.any()
    assert moved(table, eth=-21).crossed.tolist() == [True]


def test_what_is_sold_pays_the_debt_and_the_bonus():
    """640 repaid at 5 % takes 672 of the collateral, 32 of them bonus; nothing is lost."""
    result = moved(a_table(alice()), eth=-25)
    whole = totals(result)
    assert (whole.accounts, whole.collateral, whole.debt) == (1, 750, 640)
    assert result.sold.tolist() == pytest.approx([672, 0])
    assert whole.bonus == pytest.approx(32)
    assert result.pairs[0].tolist() == pytest.approx([0, 672])
    assert whole.bad_debt == 0


def test_debt_above_the_collateral_is_bad():
    """Half of the collateral is 500: all of it is sold, and 140 stay unpaid."""
    result = moved(a_table(alice()), eth=-50)
    assert result.sold[0] == pytest.approx(500)
    assert totals(result).bad_debt == pytest.approx(140)


def test_a_debt_that_gets_dearer_hurts_as_well():
    """The debt's token rises by 30 %."""
    assert moved(a_table(alice()), usd=30).crossed.tolist() == [True]


def test_who_holds_nothing_that_moves_keeps_the_markets_verdict():
    """A wei past the line is not a float's to judge."""
    table = a_table(("bob", WAD, True, (leg(ETH, collateral=1_000), leg(USD, debt=800))))
    result = moved(table, btc=-90)
    assert result.liquidatable.tolist() == [True]
    assert not result.crossed.any()


def test_the_markets_own_roundings_are_kept():
    """Its factor was 1.2499 where the legs alone say 1.25."""
    table = a_table(("carol", 12_499 * WAD // 10_000, False, alice()[3]))
    assert moved(table).health[0] == pytest.approx(1.2499, rel=1e-12)


def test_several_debts_share_what_is_sold():
    """A third of the debt is BTC: a third of the ETH is sold for BTC."""
    legs = (leg(ETH, collateral=1_000), leg(USD, debt=600), leg(BTC, debt=300))
    result = moved(a_table(("dave", 88 * WAD // 100, True, legs)))
    sold = result.sold[0]
    assert result.pairs[0].tolist() == pytest.approx([0, sold * 2 / 3, sold / 3])


def test_accounts_without_a_dollar_price_count_as_accounts_only():
    """Their health is judged in their own unit; sums of dollars leave them out."""
    builder = TableBuilder()
    name, factor, _, legs = alice()
    builder.add(health(name, factor), Exposure(legs=legs, per_base=(0, 1)), 1.0)
    whole = totals(moved(builder.built(), eth=-50))
    assert (whole.accounts, whole.debt, whole.bad_debt) == (1, 0, 0)


def test_a_table_of_nobody_is_answered():
    """No accounts, no legs, no assets."""
    assert totals(moved(a_table())).accounts == 0


def a_million():
    """Return a million accounts of two collaterals and a debt, random but reproducible."""
    chance, legs = np.random.default_rng(1), 3 * MILLION
    owner = np.repeat(np.arange(MILLION), 3)
    is_debt = np.arange(legs) % 3 == 2
    value = chance.lognormal(8, 2, legs)
    weight = chance.uniform(0.6, 0.9, legs)
    collateral = np.where(is_debt, 0.0, value)
    weighted = np.bincount(owner, weights=collateral * weight)
    debt = np.where(is_debt, weighted[owner] / chance.lognormal(0.4, 0.3, legs), 0.0)
    return Table(
        markets=("m:1",),
        accounts=tuple(str(at) for at in range(MILLION)),
        assets=tuple(Asset(token=str(at), symbol=str(at)) for at in range(24)),
        market_of=np.zeros(MILLION, dtype=np.int64),
        liquidatable=weighted < np.bincount(owner, weights=debt),
        dollars=np.ones(MILLION),
        scale=np.ones(MILLION),
        owner=owner,
        asset=chance.integers(0, 24, legs),
        collateral=collateral,
        debt=debt,
        weight=weight,
        bonus=np.full(legs, 1.05),
    )


@pytest.mark.slow
def test_a_million_accounts_add_up():
    """Everything sold is sold for some debt, and pays no more than is owed, bonus on top."""
    table = a_million()
    result = stressed(table, factors(table, {str(at): -0.2 for at in range(8)}))
    whole = totals(result)
    assert 0 < whole.crossed < whole.accounts < MILLION
    assert result.pairs.sum() == pytest.approx(result.sold.sum())
    assert np.allclose(result.pairs.sum(axis=1), result.sold)
    assert result.sold.sum() - whole.bonus < whole.debt
    assert whole.bad_debt < whole.debt
