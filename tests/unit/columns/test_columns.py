"""The columns hold what was written, a view what they held, and the index everybody once."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.columns.block import Block, Side
from keeper.columns.index import UNKNOWN, Index
from keeper.columns.screen import Factors, below, least_health, slack
from keeper.columns.sums import FEW_LEGS
from keeper.columns.table import Columns, from_arrays
from keeper.columns.view import View
from keeper.columns.words import MOST, joined, packed, split

PLANES = 2
PEOPLE = st.integers(1, 12)
BALANCE = st.one_of(st.integers(0, 3), st.integers(0, MOST))
LEG = st.tuples(st.integers(0, 2), st.sampled_from([Side.BACKS, Side.OWED]), BALANCE)
ACCOUNT = st.tuples(st.integers(0, 3), st.lists(LEG, max_size=5, unique_by=lambda leg: leg[:2]))
"""A category and its legs, one for each asset and side; more than there are planes, too."""
WRITES = st.lists(st.dictionaries(PEOPLE, ACCOUNT, max_size=6), max_size=6)
FACTORS = (3.0, 5.0, 7.0)


def named(numbers):
    return packed([f"0x{number:040x}" for number in numbers])


def block_of(columns, accounts):
    code = [
        columns.codes.code((category, asset, side), side)
        for category, legs in accounts
        for asset, side, _ in legs
    ]
    return Block(
        category=np.array([category for category, _ in accounts], dtype=np.uint16),
        count=np.array([len(legs) for _, legs in accounts], dtype=np.uint16),
        code=np.array(code, dtype=np.uint16),
        words=split(balance for _, legs in accounts for _, _, balance in legs),
    )


def write(columns, accounts):
    columns.put(named(accounts), block_of(columns, list(accounts.values())))


def read(view):
    """Everything a view shows, as it was written."""
    block = view.block(np.arange(len(view)))
    legs = [
        (key[1], view.columns.codes.sides[code], joined(*words))
        for (code, key), words in (
            ((code, view.columns.codes.keys[code]), words)
            for code, words in zip(block.code.tolist(), block.words.tolist(), strict=True)
        )
    ]
    found, at = {}, 0
    people = [int.from_bytes(one) for one in view]
    for who, category, count in zip(
        people, block.category.tolist(), block.count.tolist(), strict=True
    ):
        found[who] = (category, legs[at : at + count])
        at += count
    return found


def least(view):
    by_code = [
        FACTORS[asset] * (1 if side == Side.BACKS else -1) if side else 0.0
        for _, asset, side in view.columns.codes.keys
    ]
    return least_health(view, Factors(by_code=np.array(by_code), rounded_off=1.0))


def owes(account):
    return any(side == Side.OWED and balance for _, side, balance in account[1])


@pytest.mark.slow
@given(WRITES)
def test_a_view_stays_as_it_was(writes):
    """Whatever is overwritten or added after it: contents, debts, and the pass over it."""
    columns, taken, now = Columns(PLANES), [], {}
    for accounts in writes:
        write(columns, accounts)
        now = {**now, **accounts}
        view = View(columns)
        taken.append((view, dict(now), least(view) if len(taken) % 2 else None))

    for view, then, passed in taken:
        assert read(view) == then
        for row in range(len(view)):
            one, same = view.one(row), view.block(np.array([row]))
            assert one.code.tolist() == same.code.tolist()
            assert one.words.tolist() == same.words.tolist()
            assert (one.category, one.count) == (same.category, same.count)
        assert view.owes().tolist() == [owes(one) for one in then.values()]
        fresh = Columns(PLANES)
        write(fresh, then)
        assert np.allclose(least(view), least(View(fresh)), rtol=1e-12, atol=0)
        assert passed is None or np.allclose(passed, least(view), rtol=1e-12, atol=0)


@pytest.mark.slow
@given(WRITES)
def test_stored_columns_are_restored(writes):
    """As plain arrays, in whatever order the codes came."""
    columns, other = Columns(PLANES), Columns(PLANES)
    for accounts in writes:
        write(columns, accounts)
        other.merge(columns.part(columns.index.rows_of(named(accounts))))
    arrays = columns.to_arrays()
    again = from_arrays({name: one.copy() for name, one in arrays.items()}, PLANES)

    assert read(View(again)) == read(View(columns))
    assert list(View(again)) == list(View(columns))
    assert read(View(other)) == read(View(columns))


def sums_of(columns):
    """The sums as the columns keep them, by key."""
    keys = enumerate(columns.codes.keys)
    found = {key: columns.sums.balance_sum(code) for code, key in keys if code}
    return {key: total for key, total in found.items() if total}


def added_up(accounts):
    """The same, counted one by one from what was written."""
    found = {}
    for category, legs in accounts.values():
        for asset, side, balance in legs:
            key = (category, asset, side)
            found[key] = found.get(key, 0) + balance
    return {key: total for key, total in found.items() if total}


@pytest.mark.slow
@given(WRITES)
def test_sums_of_balances_are_exact_after_every_write(writes):
    """A sum that drifts by a unit would accuse a whole book of a missing borrower."""
    columns, now = Columns(PLANES), {}
    for accounts in writes:
        write(columns, accounts)
        now = {**now, **accounts}

        assert sums_of(columns) == added_up(now)

    assert sums_of(from_arrays(columns.to_arrays(), PLANES)) == added_up(now)


@pytest.mark.slow
def test_sums_of_many_balances_of_all_sizes_are_exact():
    """Thousands of legs are added by numpy; none of their 128 bits may be lost in a float."""
    many = {
        who: (0, [(who % 3, Side.OWED, MOST - who), (0, Side.BACKS, who), (1, Side.OWED, 1)])
        for who in range(1, 100 * FEW_LEGS)
    }
    columns = Columns(PLANES)
    write(columns, many)
    assert sums_of(columns) == added_up(many)

    changed = {who: (1, [(2, Side.OWED, MOST)]) for who in range(1, 50 * FEW_LEGS)}
    write(columns, changed)

    assert sums_of(columns) == added_up({**many, **changed})


@pytest.mark.slow
def test_what_nobody_looks_at_is_not_kept():
    """Old rows live as long as the oldest snapshot that shows them, and no longer."""
    columns = Columns(PLANES)
    write(columns, {1: (0, [(0, Side.OWED, 1)])})
    old = View(columns)
    for balance in range(2, 6):
        write(columns, {1: (0, [(0, Side.OWED, balance)])})
        newer = View(columns)

    assert read(old) == {1: (0, [(0, Side.OWED, 1)])}
    assert len(old.version.all_saved()) == 4
    assert len(newer.version.all_saved()) == 0

    del old, newer
    gc.collect()
    write(columns, {1: (0, [])})

    assert columns.newest() is None


@pytest.mark.slow
def test_the_heap_is_put_together_again():
    """Accounts with many legs that change for ever take no more room for ever."""
    columns, legs = Columns(PLANES), [(at % 3, Side.OWED, at + 1) for at in range(9)]
    for turn in range(300):
        write(columns, {who: (0, legs[: 3 + (who + turn) % 7]) for who in range(1, 20)})
    expected = {who: (0, legs[: 3 + (who + 299) % 7]) for who in range(1, 20)}

    assert read(View(columns)) == expected
    assert columns.spill.used < 8_000


@pytest.mark.slow
def test_everybody_has_one_row():
    """A hundred thousand addresses, some alike but for one byte, each found and none twice."""
    index, many = Index(), np.random.default_rng(7).integers(0, 256, (100_000, 20), dtype=np.uint8)
    many[:1_000, :19] = 0
    many[:1_000, 18:] = np.arange(1_000, dtype=">u2").view(np.uint8).reshape(-1, 2)
    rows = np.concatenate([index.append(part) for part in np.array_split(many, 37)])

    assert np.array_equal(index.rows_of(many), rows)
    assert np.array_equal(rows, np.arange(100_000))
    assert [index.row_of(one.tobytes()) for one in many[:2_000]] == list(range(2_000))
    assert (index.rows_of(many ^ 1)[1_000:] == UNKNOWN).all()
    assert index.row_of(b"\xff" * 20) == UNKNOWN


def test_slack_is_what_may_be_lost():
    """A third of the collateral at 1.5, nothing at the line, nothing where it cannot be told."""
    found = np.array([1.5, 1.0, 0.5, np.nan, np.inf, 4.0])

    assert slack(found).tolist() == [1 - 1 / 1.5, 0.0, 0.0, 0.0, 1.0, 0.75]
    assert slack(found, 2.0)[-1] == 0.5
    assert below(found, 1.0).tolist() == [2, 3]
