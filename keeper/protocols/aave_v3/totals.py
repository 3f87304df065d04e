"""
An account's exact totals straight from its legs: what ``Clock.position`` says, and no more.

Hundreds of accounts past the line are told in every block, worth their gas or not.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.columns.block import Block, Codes, Key
from keeper.columns.words import joined
from keeper.domain.units import mul_div_floor
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.accounts import Role
from keeper.protocols.aave_v3.position import Clock, Unpriced
from keeper.protocols.aave_v3.rules import AccountData

_IDLE: Final = {Role.IDLE_SUPPLY, Role.IDLE_DEBT, Role.IDLE_STABLE}

_Legs = Iterable[tuple[int, Sequence[int]]]
"""Codes, with the words of each balance."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a code's balance is multiplied with."""

    owed: bool
    index: int
    price: int
    unit: int
    threshold: int


class Totals:
    """The codes of a market at a clock's timestamp, each reckoned once."""

    def __init__(self, clock: Clock, codes: Codes) -> None:
        self._rules = clock.pool.structure.rules
        self._counted: list[_Counted | None] = []
        self._told: list[bool] = []
        for key in codes.keys:
            counted, told = _counted(clock, key)
            self._counted.append(counted)
            self._told.append(told)

    def of_block(self, block: Block) -> Iterator[AccountData | None]:
        """Return the totals of each account; None where its position has to be asked."""
        legs = list(zip(block.code.tolist(), block.words.tolist(), strict=True))
        at = 0
        for count in block.count.tolist():
            yield self._of(legs[at : at + count])
            at += count

    def _of(self, legs: _Legs) -> AccountData | None:
        collateral, debts = list[tuple[int, int]](), list[int]()
        for code, words in legs:
            one = self._counted[code]
            if one is None:
                if not self._told[code]:
                    return None
                continue
            balance = joined(words[0], words[1])
            if one.owed:
                owed = rules.debt_balance(balance, one.index, self._rules)
                debts.append(rules.debt_value(owed, one.price, one.unit, self._rules))
            else:
                held = rules.supply_balance(balance, one.index, self._rules)
                collateral.append((mul_div_floor(held, one.price, one.unit), one.threshold))
        return rules.account_data(collateral, debts, self._rules)


def _counted(clock: Clock, key: Key) -> tuple[_Counted | None, bool]:
    """Return what a code counts, None for nothing, and whether that is all there is to know."""
    category, at, role = key
    if at not in clock.pool.reserves or role in _IDLE:
        return None, True
    if role not in (Role.COLLATERAL, Role.DEBT):
        return None, False
    try:
        one = clock.weighed(at, category)
    except Unpriced:
        return None, False
    owed, index = role == Role.DEBT, clock.indices(at)[role == Role.DEBT]
    if not (owed or one.backs):
        return None, True
    return _Counted(owed, index, one.price, one.unit, one.threshold), True
