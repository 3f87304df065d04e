"""A market as columns says of each account what the account alone says."""

import numpy as np
import pytest

from keeper.abilities import Tabulates
from keeper.cli.stress_work import tabled
from keeper.domain.units import RAY, WAD
from keeper.protocols.aave_v3.model import Account, Holding
from keeper.protocols.morpho_blue.model import Position
from keeper.risk.stress import stressed, totals
from keeper.risk.table import TableBuilder, factors
from keeper.synthetic.aave import aave_book
from keeper.synthetic.morpho import morpho_book
from tests.unit.protocols import aave_builders as aave
from tests.unit.protocols import morpho_builders as morpho


def table_of(snapshot):
    return tabled([snapshot], {snapshot.market: 1e-8})


def one_by_one(snapshot):
    """The same table, made of one account after the other."""
    builder = TableBuilder()
    for health in snapshot.accounts():
        exposure = snapshot.exposure(health.account)
        if exposure is not None:
            builder.add(health, exposure, 1e-8)
    return builder.built()


def by_account(table, values):
    return dict(zip(table.accounts, values.tolist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("made", [aave_book, morpho_book])
@pytest.mark.parametrize("fall", [0.0, -0.1, -0.5])
def test_a_stressed_book_is_what_its_accounts_add_up_to(made, fall):
    """Up to what the values of dust are rounded by: a hundredth of a percent."""
    snapshot = made(600, 3).snapshot
    quick, slow = table_of(snapshot)[0], one_by_one(snapshot)
    token = next(iter(snapshot.prices))
    results = [stressed(one, factors(one, {token: fall})) for one in (quick, slow)]

    assert isinstance(snapshot, Tabulates)
    healths = [by_account(t, r.health) for t, r in zip((quick, slow), results, strict=True)]
    assert healths[0].keys() == healths[1].keys()
    assert np.allclose(
        [healths[0][one] for one in healths[1]], list(healths[1].values()), rtol=1e-4, atol=0
    )
    first, second = (totals(one) for one in results)
    assert (first.accounts, first.crossed) == (second.accounts, second.crossed)
    for name in ("collateral", "debt", "bonus", "bad_debt"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-4, abs=1e-4)


def test_whom_the_columns_do_not_tell_is_asked_apart():
    """A fixed rate is valued with the others; an unread balance cannot be."""
    flags = aave.account().flags
    fixed = Holding(0, 0, 1_000 * 10**6, RAY // 20, aave.NOW)
    snapshot = aave.snapshot(
        aave.pool(1),
        **{
            aave.address(1): aave.account(),
            aave.address(2): Account(flags, 0, {0: Holding(10**18, 0), 1: fixed}),
            aave.address(3): Account(flags, 0, {0: Holding(10**18, 0)}),
        },
    )
    table, unvalued = table_of(snapshot)

    assert set(table.accounts) == {aave.address(1), aave.address(2)}
    assert unvalued == 1
    assert stressed(table, factors(table, {})).health.tolist() == [
        snapshot.account(one).health_factor / WAD for one in table.accounts
    ]


def test_a_morpho_market_that_cannot_be_valued_has_no_rows():
    """Without a price nobody is; with one, whoever has more than the contract can count."""
    positions = (morpho.owing(2_000), Position(borrow_shares=1, collateral=2**128 - 1))
    silent, dear = (morpho.snapshot(*positions, price=one) for one in (None, 2**180))

    assert table_of(silent)[1] == 2
    assert len(table_of(silent)[0].accounts) == 0
    assert table_of(dear)[1] == 1
    assert len(table_of(dear)[0].accounts) == 1
