"""A book that was stored is the same again: base and changes, for both protocols."""

import numpy as np
import pytest

from keeper.abilities import KeepsColumns
from keeper.columns.view import View
from keeper.domain.errors import MarketUnreadable
from keeper.protocols.aave_v3.accounts import borrowers
from keeper.protocols.aave_v3.adapter import AaveMarket
from keeper.protocols.aave_v3.model import Account, Holding
from keeper.protocols.morpho_blue.adapter import MorphoDeployment, Options
from tests.unit.protocols import aave_builders as aave
from tests.unit.protocols import morpho_builders as morpho

ONE, TWO, THREE = (aave.address(at) for at in (1, 2, 3))
FIXED = Account(0b10 | 0b01 << 2, 1, {0: Holding(5, 0), 1: Holding(0, 7, 11, 13, 17)})


def aave_market(revision=1):
    made = AaveMarket(aave.address(1), 0, None)
    made._structure = aave.pool(revision).structure
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
    first._write({ONE: aave.account(), TWO: FIXED})
    base = copied(first.to_arrays())
    first.changed()
    first._write({TWO: aave.account(weth=3), THREE: aave.account(category=2)})
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
    first._keep({(here, ONE): morpho.owing(5), (here, TWO): morpho.owing(7)})
    base = copied(first.to_arrays())
    first.changed()
    first._name([(there, TWO)])
    first._keep({(here, TWO): morpho.owing(9)})

    second.from_arrays(base)
    second.merge(copied(first.changed()))

    assert isinstance(first, KeepsColumns)
    assert second._is_followed((there, TWO))
    assert not second._is_followed((there, ONE))
    for name, array in first.to_arrays().items():
        assert np.array_equal(array, second.to_arrays()[name]), name


@pytest.mark.parametrize("name", ["address", "category", "count", "code", "words", "keys"])
@pytest.mark.parametrize("damage", ["shorter", "missing"])
def test_a_stored_book_that_lacks_something_is_refused(name, damage):
    """Half a book would be acted upon; the whole market is read again instead."""
    market = aave_market()
    market._write({ONE: aave.account(), TWO: FIXED})
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
    old._write({TWO: FIXED})

    with pytest.raises(MarketUnreadable):
        aave_market(revision=10).from_arrays(old.to_arrays())
