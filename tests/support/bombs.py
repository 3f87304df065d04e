"""Answers that cost more than they should: compressed, endless, dense, deep, dripping."""

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Final

MIB: Final = 2**20
FULL: Final = 64 * MIB
EMPTY_LISTS: Final = b"[]," * 2**18


def lists(size: int = FULL) -> Iterator[bytes]:
    """Yield a JSON document of empty lists, nearly a megabyte at a time."""
    yield b"["
    yield from itertools.repeat(EMPTY_LISTS, size // len(EMPTY_LISTS))
    yield b"1]"


def spaces(size: int = FULL) -> Iterator[bytes]:
    """Yield white space, which is no value at all."""
    yield from itertools.repeat(b" " * MIB, size // MIB)


def one_text(size: int = FULL) -> Iterator[bytes]:
    """Yield the JSON document of an answer to request 1 with one long result."""
    yield b'{"jsonrpc":"2.0","id":1,"result":"0x'
    yield from itertools.repeat(b"00" * (MIB // 2), size // MIB)
    yield b'"}'


def long_error(size: int = FULL) -> Iterator[bytes]:
    """Yield the JSON document of an error to request 1 with a long message."""
    yield b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"'
    yield from itertools.repeat(b"no! " * (MIB // 4), size // MIB)
    yield b'"}}'


def deep(size: int = 4 * MIB) -> Iterator[bytes]:
    """Yield brackets that open and never close."""
    yield b"[" * size


DOCUMENTS: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "empty lists": lists,
    "spaces": spaces,
    "one text": one_text,
    "an error's text": long_error,
    "brackets": deep,
}


def compressed(parts: Iterator[bytes], window: int = 31) -> bytes:
    """Return a document compressed by zlib: 31 is gzip, 15 zlib's own format, -15 bare."""
    layer = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join(layer.compress(part) for part in parts) + layer.flush()


def in_members(parts: Iterator[bytes]) -> bytes:
    """Return a gzip file of several members, one a part."""
    return b"".join(gzip.compress(part) for part in parts)
