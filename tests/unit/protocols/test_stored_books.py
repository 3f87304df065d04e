"""A book that was stored is the same again: base and changes, for both protocols."""

from dataclasses import replace

import numpy as np
import pytest

from keeper.abilities import KeepsColumns, KeepsStructure
from keeper.columns.view import View
from keeper.domain.errors import MarketUnreadable
from keeper.protocols.aave_v3.accounts import borrowers
from keeper.protocols.aave_v3.adapter import AaveMarket
from keeper.protocols.aave_v3.model import Account, Holding
from keeper.protocols.morpho_blue.adapter import MorphoDeployment, Options
from keeper.protocols.morpho_blue.model import Feed, Irm, Structure
from tests.unit.protocols import aave_builders as aave
from tests.unit.protocols import morpho_builders as morpho

ONE, TWO, THREE = (aave.address(at) for at in (1, 2, 3))
FIXED = Account(0b10 | 0b01 << 2, 1, {0: Holding(5, 0), 1: Holding(0, 7, 11, 13, 17)})


def aave_market(revision=1):
    made = AaveMarket(aave.address(1), 0, None)
    made.known_structure = aave.pool(revision).structure
    return made


def structured():
    """A deployment with two markets, one of them without interest, and a silent feed."""
    made = deployment()
    markets = [morpho.market(), morpho.market(irm=Irm.NONE, lltv=morpho.WAD // 2)]
    tokens = {token.address: token for one in markets for token in (one.loan, one.collateral)}
    made.known_structure = Structure(
        morpho=made.morpho,
        markets={one.id: one for one in markets},
        feeds={markets[0].loan.address: Feed(source=aave.address(7), decimals=8)},
        tokens=tokens,
        warnings=("usd_feeds: a feed is silent",),
    )
    return made


def deployment():
    return MorphoDeployment(Options(morpho=morpho.MORPHO, all=True), 0, None)


def kept(market):
    return dict(borrowers(View(market.columns)))


def copied(arrays):
    """What a store gives back: the same numbers, and nothing of the same memory."""
    return {
        name: np.frombuffer(one.tobytes(), dtype=one.dtype).reshape(one.shape)
        for name, one in arrays.items()
    }


def test_an_aave_book_comes_back_with_its_changes():
    """Fixed rates and eModes too; what was stored is not a change any more."""
    first, second = aave_market(), aave_market()
    aave.write(first, {ONE: aave.account(), TWO: FIXED})
    base = copied(first.to_arrays())
    first.changed()
    aave.write(first, {TWO: aave.account(weth=3), THREE: aave.account(category=2)})
    changes = copied(first.changed())

    second.from_arrays(base)
    second.merge(changes)

    assert isinstance(first, KeepsColumns)
    assert kept(second) == kept(first)
    assert len(changes["count"]) == 2
    assert not len(first.changed()["count"])
    assert not len(second.changed()["count"])


def test_a_morpho_book_comes_back_with_who_only_borrowed():
    """Whoever was named and not read yet is still known to have borrowed there."""
    first, second = deployment(), deployment()
    here, there = morpho.market().id, morpho.market(lltv=1).id
    first.write_positions({(here, ONE): morpho.owing(5), (here, TWO): morpho.owing(7)})
    base = copied(first.to_arrays())
    first.changed()
    first.write_borrowers([(there, TWO)])
    first.write_positions({(here, TWO): morpho.owing(9)})

    second.from_arrays(base)
    second.merge(copied(first.changed()))

    assert isinstance(first, KeepsColumns)
    assert second.is_followed((there, TWO))
    assert not second.is_followed((there, ONE))
    for name, array in first.to_arrays().items():
        assert np.array_equal(array, second.to_arrays()[name]), name


@pytest.mark.parametrize("name", ["address", "category", "count", "code", "words", "keys"])
@pytest.mark.parametrize("damage", ["shorter", "missing"])
def test_a_stored_book_that_lacks_something_is_refused(name, damage):
    """Half a book would be acted upon; the whole market is read again instead."""
    market = aave_market()
    aave.write(market, {ONE: aave.account(), TWO: FIXED})
    arrays = copied(market.to_arrays())
    if damage == "missing":
        del arrays[name]
    else:
        arrays[name] = arrays[name][:-1]

    with pytest.raises(MarketUnreadable):
        aave_market().from_arrays(arrays)


def test_a_book_without_fixed_rates_takes_up_none_that_has_them():
    """The pool was upgraded meanwhile: its accounts are read again."""
    old = aave_market(revision=1)
    aave.write(old, {TWO: FIXED})

    with pytest.raises(MarketUnreadable):
        aave_market(revision=10).from_arrays(old.to_arrays())


def test_an_aave_structure_comes_back_whole():
    """Whatever revision: a command does without discovering the market."""
    for revision in (1, 10):
        first, second = aave_market(revision), AaveMarket(aave.address(1), 0, None)
        first.known_structure = replace(first.structure, key=first.key)
        facts = first.freeze_structure()()

        second.restore_structure(facts)

        assert isinstance(first, KeepsStructure)
        assert second.structure == first.structure
        assert second.freeze_structure()() == facts


def test_a_morpho_structure_comes_back_whole():
    """Markets without a borrower, tokens and feeds too."""
    first, second = structured(), deployment()
    facts = first.freeze_structure()()

    second.restore_structure(facts)

    assert isinstance(first, KeepsStructure)
    assert second.structure == first.structure
    assert second.freeze_structure()() == facts


@pytest.mark.parametrize("facts", ["{}", "[]", "null", "nothing", '{"key": "aave_v3:0x1"}'])
def test_what_is_no_structure_is_refused(facts):
    """The market is discovered then."""
    for market in (aave_market(), deployment()):
        with pytest.raises(ValueError, match=r".*"):
            market.restore_structure(facts)


def test_the_structure_of_another_market_is_refused():
    """A key that was mixed up must not lend a market another one's contracts."""
    aave_facts = aave_market().freeze_structure()()
    other = "0x" + "77" * 20

    with pytest.raises(ValueError, match="this is"):
        AaveMarket(aave.address(9), 0, None).restore_structure(aave_facts)
    with pytest.raises(ValueError, match="this is"):
        MorphoDeployment(Options(morpho=other, all=True), 0, None).restore_structure(
            structured().freeze_structure()()
        )
