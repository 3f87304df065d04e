"""What a way to a node must offer, and what all of them share."""

import asyncio
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

import numpy as np

from keeper.chain.endpoint import Endpoint
from keeper.chain.fields import Json
from keeper.domain.errors import RpcMalformed, RpcTooLarge

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""No answer is read further than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect: float = 5.0
    request: float = 10.0
    reads: float = 8.0
    """After this long a read is not repeated any more."""


class Notifications:
    """What one subscription said and nobody has read yet; the oldest give way."""

    DEPTH: Final = 1024

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Json | Exception] = asyncio.Queue(self.DEPTH)

    def put(self, item: Json | Exception) -> None:
        """Add a notification, or the error that ended the subscription."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(item)

    async def get(self) -> Json:
        """Wait for the next notification; raises what ended the subscription."""
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item


class Transport(Protocol):
    """
    One way to one node. Connects when first used and again after a loss.

    Every method raises ``RpcUnavailable`` where the node cannot be reached or does not
    answer in time, and ``RpcMalformed`` for what is not JSON. Messages never name the endpoint's
    address.
    """

    @property
    def endpoint(self) -> Endpoint:
        """Where the node is."""
        ...

    @property
    def streams(self) -> bool:
        """Whether the node can speak unasked, so that subscriptions work."""
        ...

    @property
    def generation(self) -> int:
        """Which connection the next message goes over, counted; the same while it lasts."""
        ...

    async def exchange(self, body: bytes, ids: Collection[int], timeout: float) -> Json:  # noqa: ASYNC109 - each transport bounds its own steps
        """Send one request or batch with these ids and return the node's answer, decoded."""
        ...

    def notifications(self, subscription: str) -> Notifications:
        """Return what arrives for a subscription of this connection."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


MAX_DEPTH: Final = 64
"""No answer that is asked for is nested deeper than a fraction of this."""

MAX_QUOTES: Final = 8_000_000
"""More texts than the longest answer of real ones has; the look itself must not take long."""
_CHUNK: Final = 2**20
_ALL_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ALL_BUT_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{}"'))
_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def decoded_json(raw: bytes | str) -> Json:
    """Return the JSON document; RpcMalformed where it is none, or nested deeper than any."""
    if _is_too_deep(raw.encode() if isinstance(raw, str) else raw):
        raise RpcMalformed("the node's answer is nested too deeply")
    try:
        document: Json = _DECODER.decode(raw if isinstance(raw, str) else raw.decode())
    except (ValueError, RecursionError):
        raise RpcMalformed("the node's answer is not JSON") from None
    return document


def _is_too_deep(raw: bytes) -> bool:
    """
    Whether brackets are nested beyond the bound.

    The decoder recurses, and a library below lifts Python's own limit so far that the process
    would die of it. Brackets in texts are none: a ``]`` in one must not hide a ``[``.
    """
    if len(raw.translate(None, _ALL_BUT_BRACKETS)) <= MAX_DEPTH:
        return False  # too few of them, wherever they are
    if b"\\" in raw:  # a quote may be escaped
        raw = _TEXT.sub(b"", raw)
    structure = raw.translate(None, _ALL_BUT_STRUCTURE)
    if structure.count(b'"') > MAX_QUOTES:
        return True
    brackets = b"".join(structure.split(b'"')[::2])
    depth = 0
    for start in range(0, len(brackets), _CHUNK):
        part = np.frombuffer(brackets[start : start + _CHUNK], dtype=np.uint8)
        # Opening brackets have this bit and closing ones have not: [ 5b, { 7b, ] 5d, } 7d.
        depths = np.cumsum((part & 2).astype(np.int32) - 1) + depth
        if int(depths.max()) > MAX_DEPTH:
            return True
        depth = int(depths[-1])
    return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _without_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Return the object; which of two values of one key is meant nobody can say."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key twice")
    return made


def too_large() -> RpcTooLarge:
    """Return the error of an answer that was not read to its end."""
    return RpcTooLarge(f"the node's answer is longer than {MAX_ANSWER_BYTES >> 20} MiB")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_without_doubles)
