"""Log output on stderr, one line per event as text or JSON, without secrets."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final, Literal

from keeper.observe.redaction import one_line
from keeper.observe.sink import Stream

OURS: Final = "keeper"

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(
    *,
    level: str = "info",
    form: Literal["text", "json"] = "text",
    stream: Stream | None = None,
) -> None:
    """Send every log line of this process to ``stream`` (stderr), redacted.

    Other libraries log from ``warning`` on, since below that they log endpoint addresses and
    request bodies.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(level.upper())
    logging.captureWarnings(capture=True)


class TextFormatter(logging.Formatter):
    """Formatter of ``2026-01-31T12:00:00.000Z INFO keeper.pipeline event key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record on one line. A traceback follows the event, with bars for line ends."""
        parts = [_format_time(record), record.levelname, record.name, _format_message(record)]
        parts += [f"{key}={one_line(str(value))}" for key, value in _select_extra(record).items()]
        parts += [part for part in (_format_trace(record),) if part]
        return " ".join(parts)


class JsonFormatter(logging.Formatter):
    """Formatter of JSON lines with time, level, logger, event and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON document. Integers beyond 53 bits become text."""
        document = {
            "time": _format_time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _format_message(record),
            **{key: _to_plain(value) for key, value in _select_extra(record).items()},
        }
        trace = _format_trace(record)
        if trace:
            document["error"] = trace
        return json.dumps(document, ensure_ascii=False)


def _format_time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _format_message(record: logging.LogRecord) -> str:
    """Return the event's text, unformatted where a log call has wrong arguments."""
    try:
        return one_line(record.getMessage())
    except (TypeError, ValueError):
        return one_line(str(record.msg))


def _select_extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _to_plain(value: object) -> object:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    return one_line(str(value))


def _format_trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    text = "".join(traceback.format_exception(record.exc_info[1]))
    return one_line(text.rstrip().replace("\n", " | "))
