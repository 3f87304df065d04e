"""Exact sums of balances by code, updated by each write.

A book of any size is compared with a contract's total without a pass over its accounts.
"""

from typing import Final

import numpy as np

from keeper.columns.block import Block
from keeper.columns.words import BALANCE_WORDS, WORD_BITS, Rows, Words, joined

FEW_LEGS: Final = 64
"""Up to this number of legs a loop over integers is faster than numpy."""
EXACT_LEGS: Final = 2**20
"""Legs summed at once. The float sum of their 32-bit halves is exact below 2^53."""

_HALF_BITS: Final = WORD_BITS // 2
_HALF: Final = np.uint64(2**_HALF_BITS - 1)


class BalanceSums:
    """The sum of the balances of each code, over all accounts of the columns."""

    def __init__(self) -> None:
        self._by_code: list[int] = []

    def balance_sum(self, code: int) -> int:
        """Return the sum of all balances of a code, 0 for an unused code."""
        return self._by_code[code] if code < len(self._by_code) else 0

    def add(self, block: Block) -> None:
        """Add the balances of all legs of these accounts."""
        self._add_signed(block, 1)

    def subtract(self, block: Block) -> None:
        """Subtract the balances of all legs of these accounts."""
        self._add_signed(block, -1)

    def _add_signed(self, block: Block, sign: int) -> None:
        if not len(block.code):
            return
        missing = int(block.code.max()) + 1 - len(self._by_code)
        self._by_code += [0] * max(0, missing)
        if len(block.code) <= FEW_LEGS:
            words = block.words[:, :BALANCE_WORDS].tolist()
            for code, (low, high) in zip(block.code.tolist(), words, strict=True):
                self._by_code[code] += sign * joined(low, high)
            return
        for start in range(0, len(block.code), EXACT_LEGS):
            legs = slice(start, start + EXACT_LEGS)
            self._add_signed_many(block.code[legs].astype(np.int64), block.words[legs], sign)

    def _add_signed_many(self, code: Rows, words: Words, sign: int) -> None:
        for word in range(BALANCE_WORDS):
            low, high = words[:, word] & _HALF, words[:, word] >> np.uint64(_HALF_BITS)
            for half, values in enumerate((low, high)):
                shift = word * WORD_BITS + half * _HALF_BITS
                summed = np.bincount(code, weights=values.astype(np.float64))
                for at in np.flatnonzero(summed).tolist():
                    self._by_code[at] += sign * (int(summed[at]) << shift)
