"""What contracts call themselves: untrusted text, made harmless wherever it is shown."""

import re
import unicodedata
from typing import Final

_PLAIN: Final = frozenset(" .-+₮€$/")
_LINK: Final = re.compile(r"\.(?=[^\W\d_]{2})")
"""A point that makes a name an address to click on: ``pay.example``, but not ``USDC.e``."""


def harmless(untrusted: str) -> str:
    """
    Return a name without anything that text, markup, a chat or a terminal could act upon.

    Letters and digits stay, in any script; direction marks, control characters, line breaks,
    the marks of HTML, Markdown and mentions, and points that make links become "?".
    """
    kept = "".join(
        one if one in _PLAIN or unicodedata.category(one)[0] in "LN" else "?" for one in untrusted
    )
    return _LINK.sub("?", kept).strip()
