"""Finds the request that a message on a shared connection answers, from its two ends alone."""

import re
from typing import Final

from keeper.chain.fields import Json

_ENDS: Final = 256
"""Bytes at either end that are looked at: the result, however long, is between them."""
_VERSION: Final = rb'"jsonrpc"\s*:\s*"2\.0"'
_FIRST: Final = re.compile(rb"\s*\[?\s*\{\s*(?:" + _VERSION + rb'\s*,\s*)?"id"\s*:\s*(\d{1,18})\b')
_LAST: Final = re.compile(
    rb',\s*"id"\s*:\s*(\d{1,18})\s*(?:,\s*' + _VERSION + rb"\s*)?\}\s*\]?\s*$"
)


def addressee(message: bytes) -> int | None:
    """Return the id at the beginning or the end of an answer. None if there is none."""
    found = _FIRST.match(message[:_ENDS]) or _LAST.search(message[-_ENDS:])
    return None if found is None else int(found[1])


def ids_of(document: Json) -> list[Json]:
    """Return the id of an answer, or the ids of a batch."""
    answers = document if isinstance(document, list) else [document]
    return [answer.get("id") for answer in answers if isinstance(answer, dict)]


def is_notification(document: Json) -> bool:
    """Return whether a document is a notification."""
    return isinstance(document, dict) and "method" in document and "id" not in document
