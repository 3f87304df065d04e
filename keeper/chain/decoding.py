"""Decodes JSON documents of a node within their bound, large ones off the event loop."""

import asyncio
import json
from typing import Final, NoReturn

from keeper.chain.bounds import ANY, Bound
from keeper.chain.fields import Json
from keeper.chain.structure import Structure
from keeper.domain.errors import RpcMalformed

QUICK_BYTES: Final = 256 * 1024
"""A document of this size is decoded within some three milliseconds, whatever is in it."""
QUICK_TEXT_BYTES: Final = 2 * 2**20
"""The same for one that is nearly nothing but a long text, like the result of many calls."""
QUICK_VALUES: Final = 4096
MAX_DIGITS: Final = 80
"""More than 2**256 has; the conversion of a number takes the square of its digits."""


class Decoder:
    """Decodes the documents of one endpoint. A large one runs in a thread, one at a time.

    The thread yields to the event loop between any two JSON objects.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def decode(self, raw: bytes, bound: Bound, followed: Structure | None = None) -> Json:
        """Decode a document. ``followed`` is its structure, if it was already scanned.

        Raises:
            RpcTooLarge: it is longer than its bound.
            RpcMalformed: it is not JSON, has too many values, or is nested too deeply.
        """
        if len(raw) > bound.size:
            raise bound.too_large()
        if followed is None and len(raw) <= QUICK_TEXT_BYTES:
            followed = Structure(bound)
            followed.feed(raw)
        if followed is not None and _is_quick(raw, followed):
            return _parse_json(raw)
        async with self._turn:
            return await asyncio.to_thread(_decode_checked, raw, bound, followed)


def decoded_json(raw: bytes | str, bound: Bound = ANY) -> Json:
    """Decode a JSON document. RpcMalformed if it is invalid or exceeds its bound."""
    return _decode_checked(raw.encode() if isinstance(raw, str) else raw, bound, None)


def _is_quick(raw: bytes, followed: Structure) -> bool:
    if len(raw) <= QUICK_BYTES:
        return True
    return len(raw) <= QUICK_TEXT_BYTES and followed.values <= QUICK_VALUES


def _decode_checked(raw: bytes, bound: Bound, followed: Structure | None) -> Json:
    if followed is None:
        Structure(bound).feed(raw)
    return _parse_json(raw)


def _parse_json(raw: bytes) -> Json:
    try:
        document: Json = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError):
        raise RpcMalformed("the node's answer is not JSON") from None
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _parse_integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number without end")
    return int(digits)


def _parse_fraction(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number without end")
    return float(digits)


def _build_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Return the object. ValueError for a duplicate key, which is ambiguous."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key twice")
    return made


_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_int=_parse_integer,
    parse_float=_parse_fraction,
    object_pairs_hook=_build_object,
)
