"""Non-blocking output of lines, written by a thread.

A full pipe blocks its writer, and a closed one raises in it. The keeper continues in both cases.
Lines beyond the queue are dropped and counted.
"""

import contextlib
import logging
import os
import queue
import threading
from typing import Final, Protocol, TextIO

log = logging.getLogger(__name__)

DEPTH: Final = 10_000
"""Maximum of unwritten texts. More are dropped."""
END_SECONDS: Final = 2.0
"""Maximum wait for unwritten texts at the end."""


class Stream(Protocol):
    """Output of lines. Both methods may block, or raise when the reader has gone."""

    def write(self, text: str, /) -> object:
        """Write a text."""
        ...

    def flush(self) -> object:
        """Flush written text."""
        ...


class Descriptor:
    """File descriptor of this process's stream, without its buffer.

    A thread blocked in a buffer's write holds its lock, which makes Python abort on exit.
    """

    def __init__(self, number: int, encoding: str = "utf-8", errors: str = "replace") -> None:
        self._number = number
        self._encoding, self._errors = encoding, errors

    def write(self, text: str, /) -> None:
        """Write all of a text. Raises OSError on failure."""
        left = memoryview(text.encode(self._encoding, self._errors))
        while left:
            left = left[os.write(self._number, left) :]

    def flush(self) -> None:
        """Do nothing, since nothing is buffered."""


def unbuffered(stream: TextIO) -> Stream:
    """Return the file descriptor of a stream, or the stream itself without one."""
    try:
        stream.flush()
        return Descriptor(stream.fileno(), *_select_codec(stream))
    except (OSError, ValueError):
        return stream


def _select_codec(stream: TextIO) -> tuple[str, str]:
    """Return a stream's encoding, and an error handler that never raises."""
    errors = getattr(stream, "errors", None)
    lossy = "replace" if errors in (None, "strict", "surrogateescape") else errors
    return getattr(stream, "encoding", None) or "utf-8", lossy


class Sink:
    """A stream that never blocks and never raises. ``dropped`` counts the lost texts."""

    def __init__(self, stream: Stream, depth: int = DEPTH) -> None:
        self.dropped = 0
        self.broken = ""
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(depth)
        self._thread = threading.Thread(target=self._serve, name="write-lines", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether some text could not be written."""
        return bool(self.dropped or self.broken)

    def write(self, text: str, /) -> int:
        """Enqueue a text for writing."""
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing, since the thread flushes each text."""

    def close(self, seconds: float = END_SECONDS) -> None:
        """Wait, within a bound, until everything is written."""
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
            # mutation: F45 gone-reader
            except (OSError, ValueError) as error:  # a closed pipe, a full disk, a closed file
                self.broken = type(error).__name__
                self.dropped += 1
