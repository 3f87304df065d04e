"""Plain replacements of symbols for terminals and pipes without Unicode."""

import codecs
import sys
import unicodedata
from collections.abc import Mapping
from typing import Final

from keeper.cli.documents import is_unicode

HANDLER: Final = "keeper-plain"

_PLAIN: Final[Mapping[str, str]] = {
    "✖": "x",
    "▲": "^",
    "△": "!",
    "◦": "o",
    "·": ".",
    "…": "...",
    "→": "->",
    "≈": "~",
    "\u2212": "-",
    "\u2013": "-",
    "\u00d7": "x",
    "█": "#",
    "▏": "|",
}
"""The symbols that the keeper itself writes; each tier's stays another."""


def use_plain_text() -> None:
    """Replace characters on stdout and stderr that their encoding lacks."""
    codecs.register_error(HANDLER, _replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if not is_unicode(stream) and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def plain(text: str) -> str:
    """Convert text to ASCII. Known symbols are replaced, accents removed, others become "?"."""
    return "".join(one if one.isascii() else _replace_character(one) for one in text)


def _replace_character(character: str) -> str:
    known = _PLAIN.get(character)
    if known is not None:
        return known
    stripped = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return stripped or "?"


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end
