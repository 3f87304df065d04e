"""Subscriptions in effect, reloaded when their file changes. A wrong file keeps the old ones."""

import logging
from collections.abc import Sequence
from pathlib import Path

from keeper.config.subscriptions import Subscriptions, everything_to, load_subscriptions
from keeper.domain.errors import ConfigError
from keeper.domain.notice import Notice
from keeper.notify.routing import channels_of

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
"""A file's modification time, size and inode."""


class Subscribed:
    """Router by the subscriptions of the file as it is now."""

    def __init__(self, path: Path | None, channels: Sequence[str]) -> None:
        """Load the file. A wrong file raises ConfigError and stops the keeper at its start."""
        self._path = path
        self._channels = list(channels)
        self._stamp = _read_stamp(path)
        self._in_effect = (
            everything_to(self._channels)
            if path is None
            else load_subscriptions(path, self._channels)
        )

    def __call__(self, notice: Notice) -> Sequence[str]:
        """Return the channels that receive a notice."""
        return channels_of(notice, self._in_effect)

    @property
    def in_effect(self) -> Subscriptions:
        """The subscriptions as last loaded."""
        return self._in_effect

    def refresh(self) -> None:
        """Reload the file if it changed. A wrong file leaves the old subscriptions in effect."""
        stamp = _read_stamp(self._path)
        if self._path is None or stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._in_effect = load_subscriptions(self._path, self._channels)
        except ConfigError as error:
            log.error(  # noqa: TRY400 - one line, no trace
                "subscriptions_kept the old ones stay in effect reason=%s hint=%s",
                error,
                error.hint,
            )
        else:
            log.info("subscriptions_read count=%d", len(self._in_effect.subscription))


def _read_stamp(path: Path | None) -> Stamp | None:
    """Return the file's stamp, None without a file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
