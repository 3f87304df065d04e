"""The accounts of columns by their addresses as text, made when somebody looks at them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

from keeper.chain.abi import checksum
from keeper.columns.block import Block, Codes
from keeper.columns.index import UNKNOWN
from keeper.columns.view import View
from keeper.domain.units import Address

Kept = TypeVar("Kept")


class Listed(Sequence[Address]):
    """Everyone in a view; each checksum costs a hash when it is asked for."""

    def __init__(self, view: View) -> None:
        self._view = view

    def __len__(self) -> int:
        return len(self._view)

    @overload
    def __getitem__(self, at: int) -> Address: ...
    @overload
    def __getitem__(self, at: slice) -> list[Address]: ...
    def __getitem__(self, at: int | slice) -> Address | list[Address]:
        if isinstance(at, slice):
            return [checksum(one) for one in self._view[at]]
        return checksum(self._view[at])

    def __iter__(self) -> Iterator[Address]:
        return map(checksum, self._view)


class Accounts(Mapping[Address, Kept], Generic[Kept]):
    """Everyone in a view with what is kept of them, as ``decoded`` makes it of a block."""

    def __init__(self, view: View, decoded: Callable[[Block, Codes], list[Kept]]) -> None:
        self._view, self._decoded = view, decoded
        self.everyone = Listed(view)

    def __getitem__(self, address: Address) -> Kept:
        row = self._view.row_of(unlisted(address))
        if row == UNKNOWN:
            raise KeyError(address)
        return self._decoded(self._view.one(row), self._view.columns.codes)[0]

    def __iter__(self) -> Iterator[Address]:
        return iter(self.everyone)

    def __len__(self) -> int:
        return len(self._view)


def unlisted(address: Address) -> bytes:
    """Return the twenty bytes of an address."""
    return bytes.fromhex(address[2:])
