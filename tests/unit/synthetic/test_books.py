"""Made-up books are what they are said to be, and go on block after block."""

import numpy as np
import pytest

from keeper.domain.units import WAD, Wad
from keeper.risk.tiers import DEFAULT, Tier
from keeper.synthetic.aave import ASSETS, aave_book
from keeper.synthetic.morpho import morpho_book
from keeper.synthetic.people import DUST, people

COUNT = 4_000


@pytest.fixture(params=[aave_book, morpho_book])
def book(request):
    return request.param(COUNT, 7)


@pytest.mark.parametrize("made", [aave_book, morpho_book])
def test_the_same_seed_makes_the_same_book(made):
    """A figure can be measured again; another seed is another book."""
    first, again, other = made(50, 1), made(50, 1), made(50, 2)

    assert first.snapshot.accounts() == again.snapshot.accounts()
    assert first.snapshot.accounts() != other.snapshot.accounts()


@pytest.mark.slow
def test_everybody_has_the_health_that_was_made_for_them(book):
    """To a millionth, by the exact rules, where the balances are of more than a few units."""
    made = people(np.random.default_rng(7), COUNT, 2 if book.columns.planes == 2 else None)
    exact = {one.account.lower(): one for one in book.snapshot.accounts()}
    assert len(exact) == COUNT
    wrong = [
        health
        for address, health, debt in zip(made.address, made.health, made.debt, strict=True)
        if debt > 1
        and abs(exact["0x" + address.tobytes().hex()].health_factor / WAD / health - 1) > 1e-3
    ]

    assert len(wrong) < COUNT // 200


@pytest.mark.slow
def test_tiers_and_lines_agree_with_the_exact_rules(book):
    """Hundreds of accounts in every tier: what the screen says is what valuing all of them says."""
    taken, exact = book.snapshot, book.snapshot.accounts()
    line = Wad(11 * WAD // 10)

    assert list(taken.below(line)) == [one for one in exact if one.health_factor < line]
    assert list(taken.liquidatable()) == [one for one in exact if one.liquidatable]
    assert 0 < taken.tiers(DEFAULT)[Tier.LIQUIDATABLE] < 5 * DUST * COUNT
    assert sum(taken.tiers(DEFAULT).values()) == COUNT


def test_a_block_later_interest_has_accrued_and_prices_moved():
    """The block before stays as it was."""
    book = aave_book(500, 3)
    before, ether = book.snapshot, book.snapshot.pool.structure.reserves[0].token
    healths = before.accounts()
    later = book.after(86_400)
    fallen = book.after(12, {ether: before.pool.reserves[0].price * 8 // 10})

    assert sum(a.health_factor for a in later.accounts()) < sum(a.health_factor for a in healths)
    assert len(fallen.liquidatable()) > len(later.liquidatable())
    assert fallen.head.parent_hash == later.head.hash
    assert before.accounts() == healths


def test_a_number_of_positions_can_be_asked_for():
    """Three for everybody, as the benchmark has them; no asset twice on one side."""
    book = aave_book(300, 5, positions=3)
    kept = book.snapshot.borrowers.values()

    assert set(book.columns.count[:300].tolist()) == {3}
    sides = [
        sum(one.is_collateral(at) + one.is_borrowing(at) for at in range(len(ASSETS)))
        for one in kept
    ]
    assert set(sides) == {3}
