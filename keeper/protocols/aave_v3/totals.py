"""Computes an account's exact totals from its legs, without a full position.

Hundreds of liquidatable accounts are valued in every block, profitable or not.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from keeper.columns.block import Block, Codes, Key
from keeper.columns.words import WORD_BITS
from keeper.domain.units import RAY, mul_div_floor
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.accounts import Role
from keeper.protocols.aave_v3.position import Clock, Unpriced
from keeper.protocols.aave_v3.rules import AccountData

_IDLE: Final = {Role.IDLE_SUPPLY, Role.IDLE_DEBT, Role.IDLE_STABLE}

_Legs = Iterable[tuple[int, Sequence[int]]]
"""Codes, with the words of each balance."""


_Counted = tuple[bool, int, int, int, int]
"""Whether it is owed, its index, price, unit and threshold: what a code's balance counts."""


class Totals:
    """The codes of a market at one timestamp, each computed once."""

    def __init__(self, clock: Clock, codes: Codes) -> None:
        self._rules = clock.pool.structure.rules
        self._supply, self._debt, self._debt_value = rules.roundings(self._rules)
        self._counted: list[_Counted | None] = []
        self._told: list[bool] = []
        for key in codes.keys:
            counted, told = _compute_counted(clock, key)
            self._counted.append(counted)
            self._told.append(told)

    def of_block(self, block: Block) -> Iterator[AccountData | None]:
        """Return the totals of each account. None if it needs a full position."""
        legs = list(zip(block.code.tolist(), block.words.tolist(), strict=True))
        at = 0
        for count in block.count.tolist():
            yield self._compute_account(legs[at : at + count])
            at += count

    def _compute_account(self, legs: _Legs) -> AccountData | None:
        """Return one account's totals, rounded as the rules state."""
        total = weighted = debt = 0
        for code, words in legs:
            one = self._counted[code]
            if one is None:
                if not self._told[code]:
                    return None
                continue
            owed, index, price, unit, threshold = one
            balance = words[1] << WORD_BITS | words[0]
            if owed:
                debt += self._debt_value(self._debt(balance, index, RAY), price, unit)
            else:
                value = mul_div_floor(self._supply(balance, index, RAY), price, unit)
                total += value
                weighted += value * threshold
        return rules.Sums(total=total, weighted=weighted, debt=debt).data(self._rules)


def _compute_counted(clock: Clock, key: Key) -> tuple[_Counted | None, bool]:
    """Return the factors of a code (None for nothing), and whether they are complete."""
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
    return (owed, index, one.price, one.unit, one.threshold), True
