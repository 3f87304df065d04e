"""Encodes a market's accounts as columns, and decodes them."""

import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from keeper.chain.abi import checksum
from keeper.chain.listed import Accounts
from keeper.columns.block import Block, Codes, Key, Side
from keeper.columns.screen import doubted
from keeper.columns.table import Columns
from keeper.columns.view import View
from keeper.columns.words import BALANCE_WORDS, MOST, halves, joined, packed, split
from keeper.domain.units import Address
from keeper.protocols.aave_v3.model import Account, Holding, used

PLANES: Final = 3
"""Most borrowers have a debt and one or two collaterals."""

STABLE_WORDS: Final = 3
"""A debt at a fixed rate has an index of its own: its rate (low and high word) and its time."""


class Role(enum.IntEnum):
    """Role of a leg. The kind of balance, and whether the account's flags let it count."""

    IDLE_SUPPLY = 0
    COLLATERAL = 1
    DEBT = 2
    IDLE_DEBT = 3
    STABLE = 4
    UNREAD_COLLATERAL = 5
    UNREAD_DEBT = 6
    UNREAD_BOTH = 7
    IDLE_STABLE = 8


_UNREAD: Final = {
    (True, False): Role.UNREAD_COLLATERAL,
    (False, True): Role.UNREAD_DEBT,
    (True, True): Role.UNREAD_BOTH,
}
_SIDES: Final = {
    Role.COLLATERAL: Side.BACKS,
    Role.DEBT: Side.OWED,
    Role.STABLE: Side.OWED,
    Role.UNREAD_DEBT: Side.DOUBTFUL,
    Role.UNREAD_BOTH: Side.DOUBTFUL,
}
_BACKS: Final = {Role.COLLATERAL, Role.UNREAD_COLLATERAL, Role.UNREAD_BOTH}
_OWED: Final = {Role.DEBT, Role.STABLE, Role.UNREAD_DEBT, Role.UNREAD_BOTH}
_WEIGHTED: Final = {Role.COLLATERAL, Role.DEBT}
"""What an eMode may weigh otherwise; the other roles' codes are the same in all of them."""

_Leg = tuple[int, Role, int, tuple[int, int, int] | None]


def new_columns(*, stable_debt: bool) -> Columns:
    """Return empty columns for a market. Stable debts add words for their rates."""
    return Columns(PLANES, STABLE_WORDS if stable_debt else 0)


def encoded(accounts: Iterable[Account], into: Columns) -> Block:
    """Encode accounts as they are written to the columns.

    A balance that no Aave token can have counts as unread. So does a stable rate if the columns
    have no room for it.
    """
    category, count, code, balances = list[int](), list[int](), list[int](), list[int]()
    own = dict[int, tuple[int, int, int]]()
    known = dict[tuple[int, int, Role], int]()
    for account in accounts:
        before, mode = len(code), account.category
        for at, role, balance, rate in _list_legs(account, into.width):
            key = mode if role in _WEIGHTED else 0, at, role
            found = known.get(key)
            if found is None:
                found = known[key] = into.codes.code(key, _SIDES.get(role, Side.NEUTRAL))
            if rate is not None:
                own[len(code)] = rate
            code.append(found)
            balances.append(balance)
        category.append(mode)
        count.append(len(code) - before)
    words = np.zeros((len(code), into.width), dtype=np.uint64)
    words[:, :BALANCE_WORDS] = split(balances)
    for leg, rate in own.items():
        words[leg, BALANCE_WORDS:] = rate
    return Block(
        category=np.array(category, dtype=np.uint16),
        count=np.array(count, dtype=np.uint16),
        code=np.array(code, dtype=np.uint16),
        words=words,
    )


def _list_legs(account: Account, width: int) -> list[_Leg]:
    """Return reserve, role and balance of each leg, and the words of its own rate."""
    found, holdings, flagged = list[_Leg](), account.holdings, used(account.flags)
    idle = sorted(holdings.keys() - {at for at, _, _ in flagged})
    for at, backs, owed in (*flagged, *((at, False, False) for at in idle)):
        held = holdings.get(at)
        if held is None or not _is_storable(held, width):
            if backs or owed:
                found.append((at, _UNREAD[backs, owed], 0, None))
            continue
        if owed or held.scaled_debt:
            found.append((at, Role.DEBT if owed else Role.IDLE_DEBT, held.scaled_debt, None))
        if held.stable_principal or held.stable_rate or held.stable_since:
            own = (*halves(held.stable_rate), held.stable_since)
            role = Role.STABLE if owed else Role.IDLE_STABLE
            found.append((at, role, held.stable_principal, own))
        if backs or held.scaled_supply or not owed:
            role = Role.COLLATERAL if backs else Role.IDLE_SUPPLY
            found.append((at, role, held.scaled_supply, None))
    return found


def _is_storable(held: Holding, width: int) -> bool:
    balances = held.scaled_supply | held.scaled_debt | held.stable_principal | held.stable_rate
    stable = held.stable_principal or held.stable_rate or held.stable_since
    return balances <= MOST and not (stable and width == BALANCE_WORDS)


def decoded(block: Block, codes: Codes) -> list[Account]:
    """Decode the accounts of a block of columns."""
    found, at = list[Account](), 0
    legs = list(zip(block.code.tolist(), block.words.tolist(), strict=True))
    for category, count in zip(block.category.tolist(), block.count.tolist(), strict=True):
        found.append(_decode_account(category, legs[at : at + count], codes))
        at += count
    return found


def _decode_account(category: int, legs: Sequence[tuple[int, list[int]]], codes: Codes) -> Account:
    flags, held = 0, dict[int, list[int]]()
    for code, words in legs:
        _, at, role = codes.keys[code]
        flags |= (role in _OWED) << 2 * at | (role in _BACKS) << 2 * at + 1
        if Role.UNREAD_COLLATERAL <= role <= Role.UNREAD_BOTH:
            continue
        holding = held.setdefault(at, [0, 0, 0, 0, 0])
        balance = joined(words[0], words[1])
        if role in (Role.COLLATERAL, Role.IDLE_SUPPLY):
            holding[0] = balance
        elif role in (Role.DEBT, Role.IDLE_DEBT):
            holding[1] = balance
        else:
            holding[2:] = balance, joined(words[2], words[3]), words[4]
    return Account(flags, category, {at: Holding(*one) for at, one in sorted(held.items())})


def users_of(reserves: Collection[int], view: View) -> list[Address]:
    """Return the accounts that use any of these reserves."""
    marked = np.array([bool(code) and key[1] in reserves for code, key in _enumerate_codes(view)])
    rows = np.arange(len(view))
    using = rows[doubted(view, rows, marked)]
    return [checksum(one.tobytes()) for one in view.addresses(using)]


def _enumerate_codes(view: View) -> Iterable[tuple[int, Key]]:
    return enumerate(view.columns.codes.keys)


def borrowers(view: View) -> Accounts[Account]:
    """Return all accounts that ever borrowed, at the view's block."""
    return Accounts(view, decoded)


def filled(accounts: Mapping[Address, Account], *, stable_debt: bool = True) -> Columns:
    """Return columns with these accounts."""
    made = new_columns(stable_debt=stable_debt)
    if accounts:
        made.put(packed(list(accounts)), encoded(accounts.values(), made))
    return made
