"""
Lines to a stream by a thread of its own: nobody who acts waits for whoever reads.

A pipe that nobody empties holds up its writer, and one whose reader has gone raises in it; a keeper
goes on in both cases. What cannot be kept until it is read is dropped, and counted.
"""

import contextlib
import logging
import os
import queue
import threading
from typing import Final, Protocol, TextIO

log = logging.getLogger(__name__)

DEPTH: Final = 10_000
"""Texts that wait to be written; more are dropped."""
END_SECONDS: Final = 2.0
"""How long an end waits for what is not written yet."""


class Stream(Protocol):
    """Where the lines go; both methods may block, or raise where nobody reads any more."""

    def write(self, text: str, /) -> object:
        """Write a text."""
        ...

    def flush(self) -> object:
        """Hand over what was written."""
        ...


class Descriptor:
    """
    What is behind a stream of this process, without its buffer.

    A thread that waits in a buffer's write holds its lock, and Python aborts over that at its end.
    """

    def __init__(self, number: int, encoding: str = "utf-8", errors: str = "replace") -> None:
        self._number = number
        self._encoding, self._errors = encoding, errors

    def write(self, text: str, /) -> None:
        """Write all of a text; OSError where that fails."""
        left = memoryview(text.encode(self._encoding, self._errors))
        while left:
            left = left[os.write(self._number, left) :]

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""


def unbuffered(stream: TextIO) -> Stream:
    """Return what is behind a stream; the stream itself where it is no file."""
    try:
        stream.flush()
        return Descriptor(stream.fileno(), *_codec(stream))
    except (OSError, ValueError):
        return stream


def _codec(stream: TextIO) -> tuple[str, str]:
    """Return a stream's encoding, and what it does with what that lacks; never an error."""
    errors = getattr(stream, "errors", None)
    lossy = "replace" if errors in (None, "strict", "surrogateescape") else errors
    return getattr(stream, "encoding", None) or "utf-8", lossy


class Sink:
    """A stream that never blocks and never raises; ``dropped`` counts what it could not take."""

    def __init__(self, stream: Stream, depth: int = DEPTH) -> None:
        self.dropped = 0
        self.broken = ""
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(depth)
        self._thread = threading.Thread(target=self._serve, name="write-lines", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether something could not be written."""
        return bool(self.dropped or self.broken)

    def write(self, text: str, /) -> int:
        """Take a text to be written soon."""
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread hands over each text."""

    def close(self, seconds: float = END_SECONDS) -> None:
        """Wait, within bounds, until everything is written."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
            self._thread.join(seconds)
        if self.lost:
            log.warning("output_lost dropped=%d reason=%s", self.dropped, self.broken or "slow")

    def _serve(self) -> None:
        while (text := self._waiting.get()) is not None:
            if self.broken:
                self.dropped += 1
                continue
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError) as error:  # a closed pipe, a full disk, a closed file
                self.broken = type(error).__name__
                self.dropped += 1
