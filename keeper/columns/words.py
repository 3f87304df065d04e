"""Conversion of integers and addresses to machine words and back."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.domain.units import Address

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

ADDRESS_BYTES: Final = 20
BALANCE_WORDS: Final = 2
"""Words of a 128-bit balance, the low one first."""
MOST: Final = 2**128 - 1
"""The largest stored balance, as in both protocols' own storage."""

WORD_BITS: Final = 64
WORD: Final = 2**WORD_BITS - 1
_BALANCE_BYTES: Final = 16
_TWO_64: Final = float(2**WORD_BITS)


def split(balances: Iterable[int]) -> Words:
    """Return each balance (0 to ``MOST``) as its low and its high word."""
    packed = b"".join(one.to_bytes(_BALANCE_BYTES, "little") for one in balances)
    return np.frombuffer(packed, dtype="<u8").astype(np.uint64).reshape(-1, BALANCE_WORDS)


def joined(low: int, high: int) -> int:
    """Return the balance of two words."""
    return high << WORD_BITS | low


def halves(number: int) -> tuple[int, int]:
    """Return the low and the high word of a number of up to 128 bits."""
    return number & WORD, number >> WORD_BITS


def approximate(words: Words) -> Floats:
    """Return balances (rows of low and high word) as the nearest floats, to a few parts in 2^53."""
    return np.asarray(words[:, 1] * _TWO_64 + words[:, 0], dtype=np.float64)


def packed(addresses: Sequence[Address]) -> Bytes:
    """Return addresses as rows of twenty bytes."""
    found = np.frombuffer(bytes.fromhex("".join(one[2:] for one in addresses)), dtype=np.uint8)
    return found.reshape(-1, ADDRESS_BYTES)
