"""Counts values and depth of a JSON document while it arrives.

A decoded value takes sixty bytes and more, while ``[],`` has three, so the cost of a document must
be known before it is decoded. Commas and opening brackets are counted as if all of them were
structure. Only if there are too many, they are counted again without those in strings.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.chain.bounds import Bound
from keeper.domain.errors import RpcMalformed

MAX_DEPTH: Final = 64
"""No answer that is asked for is nested deeper than a fraction of this."""

SPARE_ARRAYS: Final = 1024
"""So many more arrays than objects may be there: logs, receipts and calls are objects."""

_STEP: Final = 2**18
"""Bytes that are looked at in one go."""
_SEPARATORS: Final = bytes(set(range(256)) - set(b"[{,"))
_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{},"'))
_SPACE: Final = b" \t\r\n"
_QUOTE: Final = ord('"')
_COMMA: Final = ord(",")
_OBJECT: Final = ord("{")
_OPENING: Final = 0x02
"""The bit that opening brackets have and closing ones have not: [ 5b, { 7b, ] 5d, } 7d."""


class Structure:
    """Counts the values of a document against a bound, part by part.

    Other documents (a gateway's page) are not counted, since the decoder refuses them at the first
    character. ``is_exact`` ignores strings from the beginning, and then ``is_complete`` becomes
    True when the first bracket is closed.
    """

    def __init__(self, bound: Bound, *, is_exact: bool = False) -> None:
        self.values = 0
        self._bound = bound
        self._size = 0
        self._brackets = 0
        self._unread: list[bytes] = []
        self._is_exact = is_exact
        self._is_json: bool | None = None
        self._depth = 0
        self._spare_arrays = SPARE_ARRAYS
        self._in_text = False
        self._escape = False

    @property
    def is_complete(self) -> bool:
        """Whether an array or an object has begun and ended, if counted exactly."""
        return self._is_exact and self.values > 0 and self._depth == 0 and not self._in_text

    def feed(self, part: bytes) -> None:
        """Add the next bytes.

        Raises:
            RpcMalformed: there are too many values or arrays, or they are nested too deeply.
        """
        for start in range(0, len(part), _STEP):
            step = part[start : start + _STEP]
            if self._starts_json(step):
                self._scan(step)

    def _starts_json(self, step: bytes) -> bool:
        if self._is_json is None:
            begun = step.lstrip(_SPACE)
            if begun:
                self._is_json = begun.startswith((b"{", b"["))
        return self._is_json is True

    def _scan(self, step: bytes) -> None:
        self._size += len(step)
        if self._is_exact:
            self._follow(step)
            return
        self._unread.append(step)
        separators = step.translate(None, _SEPARATORS)
        self._brackets += len(separators) - separators.count(b",")
        self.values += len(separators)
        if self._brackets > MAX_DEPTH or self.values > self._bound.values_within(self._size):
            self._is_exact, self.values = True, 0
            unread, self._unread = self._unread, []
            for earlier in unread:
                self._follow(earlier)

    def _follow(self, step: bytes) -> None:
        """Count the structure outside of strings, and refuse an excess."""
        structure = np.frombuffer(
            self._remove_escapes(step).translate(None, _STRUCTURE), dtype=np.uint8
        )
        quotes = structure == _QUOTE
        inside = (np.cumsum(quotes, dtype=np.uint32) + self._in_text) & 1
        if structure.size:
            self._in_text = bool(inside[-1])
        outside = structure[(inside == 0) & ~quotes]
        self._update_depth(outside[outside != _COMMA])
        self.values += int(np.count_nonzero(outside == _COMMA))
        if self.values > self._bound.values_within(self._size):  # mutation: G28 answer-values
            raise RpcMalformed(
                "the node's answer holds more values than an answer to this question",
                excessive=True,
            )

    def _update_depth(self, brackets: NDArray[np.uint8]) -> None:
        if not brackets.size:
            return
        opening = (brackets & _OPENING) != 0
        depths = np.cumsum(np.where(opening, 1, -1), dtype=np.int32) + self._depth
        if int(depths.max()) > MAX_DEPTH:
            raise RpcMalformed("the node's answer is nested too deeply", excessive=True)
        self._depth = int(depths[-1])
        opened = int(np.count_nonzero(opening))
        objects = int(np.count_nonzero(brackets == _OBJECT))
        self.values += opened
        self._spare_arrays -= opened - 2 * objects
        if self._spare_arrays < 0:
            raise RpcMalformed("the node's answer is nearly nothing but arrays", excessive=True)

    def _remove_escapes(self, step: bytes) -> bytes:
        """Return the bytes without escaped characters that look like the end of a string."""
        if self._escape:
            step = b"\\" + step
        backslashes = len(step) - len(step.rstrip(b"\\"))
        self._escape = backslashes % 2 == 1
        if self._escape:
            step = step[:-1]
        if b"\\" in step:
            step = step.replace(rb"\\", b"").replace(rb"\"", b"")
        return step
