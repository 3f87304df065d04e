"""Sanitizes untrusted names from contracts before they are displayed."""

import re
import unicodedata
from typing import Final

_PLAIN: Final = frozenset(" .-+₮€$/")
_LINK: Final = re.compile(r"\.(?=[^\W\d_]{2})")
"""A point that makes a name an address to click on: ``pay.example``, but not ``USDC.e``."""


def harmless(untrusted: str) -> str:
    """Remove everything from a name that markup, a chat or a terminal could interpret.

    Letters and digits of any script stay. Direction marks, control characters, line breaks, the
    marks of HTML, Markdown and mentions, and points that make links become "?".
    """
    kept = "".join(
        # mutation: F28 plain-name
        one if one in _PLAIN or unicodedata.category(one)[0] in "LN" else "?"
        for one in untrusted
    )
    return _LINK.sub("?", kept).strip()
