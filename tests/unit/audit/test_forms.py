"""What adapters put on record and the ways back: the same market, the same pools."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.audit.canonical import canonical, plain, resolved
from keeper.composition.wiring import FORMS
from keeper.protocols.aave_v3 import record as aave
from keeper.protocols.morpho_blue import record as morpho
from keeper.quotes.uniswap_v3 import record as uniswap
from keeper.quotes.uniswap_v3.lenders import PoolLender
from tests.unit.protocols import aave_builders, morpho_builders
from tests.unit.quotes.test_uniswap_v3_curve import A, B, amounts, curves


def stored(facts):
    """Through the texts of the record, and read back."""
    texts = {}
    document = json.loads(canonical(plain(facts, texts)))
    return resolved(document, texts)


@pytest.mark.slow
@given(curves(), amounts, st.sampled_from([A, B]))
def test_a_stored_pool_trades_as_the_pool_did(curve, amount, token):
    """In both directions, before and after another trade, ticks crossed and all."""
    back = uniswap.curve_of(stored(uniswap.curve_facts(curve)))

    for trade in ("sold", "bought"):
        first, again = (getattr(each, trade)(token, amount) for each in (curve, back))
        assert (first is None) == (again is None)
        if first is None:
            continue
        assert (first.amount_in, first.amount_out, first.ticks_crossed) == (
            again.amount_in,
            again.amount_out,
            again.ticks_crossed,
        )
        assert first.after.position == again.after.position


@pytest.mark.slow
@given(curves(), amounts)
def test_a_pool_s_ticks_are_stored_once_while_only_its_price_moves(curve, amount):
    """They are the most of what is stored of it, and seldom change."""
    texts = {}
    plain(uniswap.curve_facts(curve), texts)
    trade = curve.sold(A, amount) or curve.sold(A, 0)
    plain(uniswap.curve_facts(trade.after), texts)

    assert len(texts) == 1


def test_a_pool_that_lends_comes_back():
    """With its fee and what it had to lend."""
    lender = PoolLender(lender=A, token=B, pool_fee=500, available=10**30)

    assert uniswap.lender_of(stored(uniswap.lender_facts(lender))) == lender


@pytest.mark.parametrize("revision", [1, 10, 11])
def test_an_aave_market_comes_back_with_the_accounts_that_are_wanted(revision):
    """Whatever the contracts said; who was not stored is not known afterwards."""
    before = aave_builders.snapshot(
        aave_builders.pool(revision, categories=(aave_builders.emode(),)),
        **{
            aave_builders.BORROWER: aave_builders.account(category=1),
            aave_builders.address(7): aave_builders.account(),
        },
    )
    facts = stored(aave.market_facts(before))
    account = stored(aave.account_facts(before, aave_builders.BORROWER))

    after = aave.snapshot_of(before.head, facts, {aave_builders.BORROWER: account})

    assert after.pool == before.pool
    assert list(after.pool.reserves) == list(before.pool.reserves)
    assert after.account(aave_builders.BORROWER) == before.account(aave_builders.BORROWER)
    assert after.account(aave_builders.address(7)) is None


def test_a_morpho_market_comes_back_with_its_position():
    """State, oracle, dollars and what the contract holds."""
    before = morpho_builders.snapshot(morpho_builders.owing(2_500))
    facts = stored(morpho.market_facts(before))
    (who,) = before.positions
    after = morpho.snapshot_of(before.head, facts, {who: stored(morpho.account_facts(before, who))})

    assert (after.read, after.state, after.price) == (before.read, before.state, before.price)
    assert (after.prices, after.liquidity) == (before.prices, before.liquidity)
    assert after.account(who) == before.account(who)


@pytest.mark.parametrize("form", [aave, morpho])
def test_facts_of_another_version_are_refused(form):
    """They would be misread."""
    with pytest.raises(ValueError, match="version 0, not 1"):
        form.snapshot_of(None, {"version": "0"}, {})


def test_the_forms_are_found_by_name():
    """A folder is all that a new protocol needs; one without a form has none."""
    assert FORMS.market("aave_v3") is aave
    assert FORMS.market("morpho_blue") is morpho
    assert FORMS.venue("uniswap_v3") is uniswap
    assert FORMS.market("nobody") is None
    assert FORMS.venue("../etc") is None
