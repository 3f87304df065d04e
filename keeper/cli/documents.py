"""JSON on stdout, one document per command, or one line per event of a run.

It imports little on purpose, since the root command reports errors with it before heavy imports.
"""

import codecs
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

VERSION: Final = 1
"""Of every schema: a document of this version keeps its keys, and may gain some."""

Document = Mapping[str, Any]

RAW: Final = "body"
"""What stands on record stays as it stands there."""

_E8: Final = "_usd_e8"
_PLACES: Final = 8
"""Digits behind the point of dollars that are counted in 1e-8."""


@dataclass(slots=True)
class _PrintCount:
    """Number of documents printed in this run of the command line."""

    count: int = 0


_PRINTED: Final = _PrintCount()


def schema_name(name: str) -> str:
    """Return a document's schema name. ``keeper/schemas`` has a file for each."""
    return f"keeper/{name}/v{VERSION}"


def print_document(document: Any, name: str = "") -> None:  # noqa: ANN401 (JSON)
    """Print a document on one line. It must not contain floats.

    A ``name`` adds ``schema``, ``warnings`` and ``errors`` beside its own keys.
    """
    whole = completed(document, name) if name else document
    plain = not is_unicode(sys.stdout)
    sys.stdout.write(json.dumps(whole, ensure_ascii=plain, default=str) + "\n")
    sys.stdout.flush()
    _PRINTED.count += 1


def completed(document: Document, name: str) -> dict[str, object]:
    """Return a document with the common keys, and dollars next to 1e-8 dollars."""
    return {
        **with_dollars(document),
        "schema": schema_name(name),
        "warnings": document.get("warnings", []),
        "errors": document.get("errors", []),
    }


def with_dollars(document: Document) -> dict[str, Any]:
    """Add ``x_usd`` in dollars next to each ``x_usd_e8`` of a document."""
    found = dict[str, Any]()
    for name, value in document.items():
        found[name] = value if name == RAW else _add_dollars_inside(value)
        if name.endswith(_E8):
            found[name.removesuffix("_e8")] = dollars(value)
    return found


def dollars(usd_e8: object) -> str | None:
    """Format 1e-8 dollars (an integer, or its digits) as an exact decimal. None if unknown."""
    text = str(usd_e8)
    if not text.removeprefix("-").isdecimal():
        return None
    sign, digits = "-" * text.startswith("-"), text.removeprefix("-").rjust(_PLACES + 1, "0")
    whole, fraction = digits[:-_PLACES].lstrip("0") or "0", digits[-_PLACES:].rstrip("0")
    return f"{sign}{whole}" + (f".{fraction}" if fraction else "")


def _add_dollars_inside(value: object) -> object:
    if isinstance(value, Mapping):
        return with_dollars(value)
    if isinstance(value, list | tuple):
        return [_add_dollars_inside(one) for one in value]
    return value


def begin() -> None:
    """Reset the count of printed documents for a new run of the command line."""
    _PRINTED.count = 0


def has_printed() -> bool:
    """Return whether a document of this run is on stdout already."""
    return _PRINTED.count > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error that ended a command, with further ones of the same kind."""

    code: str
    message: str
    hint: str
    exit_code: int
    others: Sequence["Failure"] = ()

    @property
    def fields(self) -> dict[str, object]:
        """The error as a JSON document."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
        }


def print_failure(failure: Failure, *, as_event: bool) -> None:
    """Print an error as the document, or as the last event, that scripts read."""
    if as_event:
        print_document({"event": "error", **failure.fields})
        return
    errors = [one.fields for one in failure.others or (failure,)]
    print_document({"error": failure.fields, "errors": errors}, "error")


def is_unicode(stream: TextIO) -> bool:
    """Return whether a stream accepts any character."""
    try:
        return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name.startswith("utf")
    except LookupError:
        return False
