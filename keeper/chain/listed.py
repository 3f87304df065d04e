"""Accounts of columns by checksummed address, converted on access."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

import numpy as np

from keeper.chain.abi import checksum
from keeper.columns.block import Block, Codes
from keeper.columns.index import UNKNOWN
from keeper.columns.view import AT_ONCE, View
from keeper.columns.words import ADDRESS_BYTES, Rows
from keeper.domain.units import Address

Kept = TypeVar("Kept")


class Listed(Sequence[Address]):
    """Addresses of a view's accounts, by default all. A checksum is computed on access."""

    def __init__(self, view: View, rows: Rows | None = None) -> None:
        self._view = view
        self._rows = rows

    def __len__(self) -> int:
        return len(self._view if self._rows is None else self._rows)

    @overload
    def __getitem__(self, at: int) -> Address: ...
    @overload
    def __getitem__(self, at: slice) -> list[Address]: ...
    def __getitem__(self, at: int | slice) -> Address | list[Address]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        return checksum(self._view[at if self._rows is None else int(self._rows[at])])

    def __iter__(self) -> Iterator[Address]:
        if self._rows is None:
            yield from map(checksum, self._view)
            return
        for start in range(0, len(self._rows), AT_ONCE):
            together = self._view.addresses(self._rows[start : start + AT_ONCE]).tobytes()
            for at in range(0, len(together), ADDRESS_BYTES):
                yield checksum(together[at : at + ADDRESS_BYTES])


class Accounts(Mapping[Address, Kept], Generic[Kept]):
    """All accounts of a view with their data, decoded from a block of columns on access."""

    def __init__(self, view: View, decoded: Callable[[Block, Codes], list[Kept]]) -> None:
        self._view, self._decoded = view, decoded
        self.everyone = Listed(view)

    def __getitem__(self, address: Address) -> Kept:
        row = self._view.row_of(unlisted(address))
        if row == UNKNOWN:
            raise KeyError(address)
        return self._decoded(self._view.one(row), self._view.columns.codes)[0]

    def some(self, addresses: Sequence[Address]) -> Iterator[tuple[Address, Kept]]:
        """Yield the known ones of these accounts with their data. Faster than single access."""
        named = b"".join(map(unlisted, addresses))
        wanted = np.frombuffer(named, dtype=np.uint8).reshape(-1, ADDRESS_BYTES)
        rows = self._view.rows_of(wanted)
        known = np.flatnonzero(rows != UNKNOWN)
        names = iter(known.tolist())
        for _, block in self._view.blocks(rows[known]):
            for kept in self._decoded(block, self._view.columns.codes):
                yield addresses[next(names)], kept

    def __iter__(self) -> Iterator[Address]:
        return iter(self.everyone)

    def __len__(self) -> int:
        return len(self._view)


def unlisted(address: Address) -> bytes:
    """Return the twenty bytes of an address."""
    return bytes.fromhex(address[2:])
