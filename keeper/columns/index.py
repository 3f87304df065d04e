"""Index from 20-byte addresses to rows.

Open addressing over numpy arrays, with four bytes per slot and at most 60 % of the slots used. A
dict of text addresses takes some 250 bytes for each.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.columns.words import ADDRESS_BYTES, Bytes, Rows

UNKNOWN: Final = -1
"""The row of a missing address."""

GROWTH: Final = 9 / 8
"""Growth factor of the memory where accounts are added one by one."""

_KEY: Final = np.dtype([("head", "<u8"), ("middle", "<u8"), ("tail", "<u4")])
_EMPTY: Final = 0xFFFF_FFFF
_FEWEST_BITS: Final = 4
_FULL: Final = 0.6
_MASK: Final = 2**64 - 1
_MIDDLE, _TAIL, _LAST = 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0xD6E8_FEB8_6659_FD93
_FOLD: Final = 32

Keys = NDArray[np.void]


class Index:
    """Addresses in insertion order. Rows are never removed."""

    def __init__(self) -> None:
        self.count = 0
        self._addresses: Bytes = np.empty((0, ADDRESS_BYTES), dtype=np.uint8)
        self._bits = _FEWEST_BITS
        self._slots = np.full(1 << self._bits, _EMPTY, dtype=np.uint32)

    def addresses(self, rows: Rows | slice) -> Bytes:
        """Return the addresses of these rows."""
        return self._addresses[rows]

    def reserve(self, capacity: int) -> None:
        """Reserve memory for ``capacity`` addresses."""
        if capacity > len(self._addresses):
            grown = np.empty((capacity, ADDRESS_BYTES), dtype=np.uint8)
            grown[: self.count] = self._addresses[: self.count]
            self._addresses = grown
        bits = self._bits
        while capacity > _FULL * (1 << bits):
            bits += 1
        if bits > self._bits:
            self._bits, self._slots = bits, np.full(1 << bits, _EMPTY, dtype=np.uint32)
            self._place(np.arange(self.count))

    def rows_of(self, addresses: Bytes) -> Rows:
        """Return each address's row, ``UNKNOWN`` where it is missing."""
        wanted, kept = _pack_keys(addresses), _pack_keys(self._addresses)
        found = np.full(len(wanted), UNKNOWN, dtype=np.int64)
        slot, open_ = self._compute_slots(wanted), np.arange(len(wanted))
        while len(open_):
            row = self._slots[slot[open_]].astype(np.int64)
            open_, row = open_[row != _EMPTY], row[row != _EMPTY]
            hit = kept[row] == wanted[open_]
            found[open_[hit]] = row[hit]
            open_ = open_[~hit]
            slot[open_] = (slot[open_] + 1) & (len(self._slots) - 1)
        return found

    def row_of(self, address: bytes) -> int:
        """Return one address's row, ``UNKNOWN`` where it is missing, without numpy's overhead."""
        slots, last = self._slots, (1 << self._bits) - 1
        at = _hash_address(address) >> (64 - self._bits)
        while (row := int(slots[at])) != _EMPTY:
            if self._addresses[row].tobytes() == address:
                return row
            at = (at + 1) & last
        return UNKNOWN

    def append(self, addresses: Bytes) -> Rows:
        """Add new addresses, each once, and return their rows."""
        first, end = self.count, self.count + len(addresses)
        if end > len(self._addresses):
            self.reserve(max(end, int(len(self._addresses) * GROWTH)))
        self._addresses[first:end] = addresses
        self.count, rows = end, np.arange(first, end)
        self._place(rows)
        return rows

    def _place(self, rows: Rows) -> None:
        slot = self._compute_slots(_pack_keys(self._addresses[rows]))
        while len(rows):
            free = self._slots[slot] == _EMPTY
            self._slots[slot[free]] = rows[free]  # of several for one slot, the last remains
            waiting = self._slots[slot] != rows
            rows, slot = rows[waiting], (slot[waiting] + 1) & (len(self._slots) - 1)

    def _compute_slots(self, keys: Keys) -> NDArray[np.uint64]:
        mixed = keys["head"] ^ keys["middle"] * np.uint64(_MIDDLE)
        mixed ^= keys["tail"] * np.uint64(_TAIL)
        mixed ^= mixed >> np.uint64(_FOLD)
        mixed *= np.uint64(_LAST)
        return np.asarray(mixed >> np.uint64(64 - self._bits), dtype=np.uint64)


def _hash_address(address: bytes) -> int:
    head, middle = (int.from_bytes(address[at : at + 8], "little") for at in (0, 8))
    mixed = head ^ middle * _MIDDLE & _MASK
    mixed ^= int.from_bytes(address[16:], "little") * _TAIL & _MASK
    mixed ^= mixed >> _FOLD
    return mixed * _LAST & _MASK


def _pack_keys(addresses: Bytes) -> Keys:
    return np.ascontiguousarray(addresses).view(_KEY)[:, 0]
