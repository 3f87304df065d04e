"""The subscriptions in effect: the file's, read again when it changes, the last good ones else."""

import logging
from collections.abc import Sequence
from pathlib import Path

from keeper.config.subscriptions import Subscriptions, everything_to, load_subscriptions
from keeper.domain.errors import ConfigError
from keeper.domain.notice import Notice
from keeper.notify.routing import channels_of

log = logging.getLogger(__name__)

Stamp = tuple[int, int, int]
"""What changes when a file is written or replaced."""


class Subscribed:
    """Who is told of what, by the file as it is now."""

    def __init__(self, path: Path | None, channels: Sequence[str]) -> None:
        """Read the file; ConfigError where it is wrong: at a start that stops the keeper."""
        self._path = path
        self._channels = list(channels)
        self._stamp = _stamp(path)
        self._in_effect = (
            everything_to(self._channels)
            if path is None
            else load_subscriptions(path, self._channels)
        )

    def __call__(self, notice: Notice) -> Sequence[str]:
        """Return the channels that are told of a notice."""
        return channels_of(notice, self._in_effect)

    @property
    def in_effect(self) -> Subscriptions:
        """The subscriptions, as they were read last."""
        return self._in_effect

    def refresh(self) -> None:
        """Read the file again if it changed; where it is wrong now, the old ones stay."""
        stamp = _stamp(self._path)
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


def _stamp(path: Path | None) -> Stamp | None:
    """Return the file's stamp; None where there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
