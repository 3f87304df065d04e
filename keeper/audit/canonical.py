"""Canonical JSON of frozen facts, identical for identical facts.

Integers are decimal strings, so that no reader rounds them. Bytes are 0x-prefixed hex, sets are
sorted lists. A mapping with other keys than text is a list of pairs in the order of the keys' text.
Floats have no canonical form.
"""

import dataclasses
import enum
import functools
import hashlib
import json
import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeVar, Union

T = TypeVar("T")

_KEY: Final = "sha256"
_REFERENCE: Final = re.compile(r'\{"sha256":"([0-9a-f]{64})"\}')
"""No string within a JSON text matches this, since its quotes are escaped."""


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A value that is stored by its hash, once for all entries that contain it."""

    value: object


Documents = dict[str, str]
"""Texts by their hash."""


def canonical(value: object) -> str:
    """Encode a value as sorted JSON without spaces. Raises TypeError for values without a form."""
    return _dump_json(plain(value))


def plain(value: object, parts: Documents | None = None) -> object:
    """Return a value as JSON's own types.

    A shared part becomes a reference (``{"sha256": hash}``) to its text, which is added to
    ``parts``. Without ``parts`` its value is inserted instead.
    """
    if isinstance(value, enum.Enum):
        return plain(value.value, parts)
    if isinstance(value, Part):
        inner = plain(value.value, parts)
        return inner if parts is None else _put(inner, parts)
    if value is None or isinstance(value, (str, bool, int, bytes)):
        return _convert_scalar(value)
    kind: type = type(value)
    names = _list_fields(kind)
    if names is not None:
        return {name: plain(getattr(value, name), parts) for name in names}
    return _convert_collection(value, parts)


def _convert_scalar(value: str | int | bytes | None) -> str | bool | None:
    if value is None or isinstance(value, (str, bool)):
        return value
    return str(value) if isinstance(value, int) else "0x" + value.hex()


def _convert_collection(value: object, parts: Documents | None) -> object:
    if isinstance(value, Mapping):
        if all(isinstance(name, (str, int)) for name in value):
            return {str(name): plain(one, parts) for name, one in value.items()}
        pairs = [[plain(name, parts), plain(one, parts)] for name, one in value.items()]
        return sorted(pairs, key=lambda pair: _dump_json(pair[0]))
    if isinstance(value, (set, frozenset)):
        return sorted((plain(one, parts) for one in value), key=_dump_json)
    if isinstance(value, (list, tuple)):
        return [plain(one, parts) for one in value]
    raise TypeError(f"no canonical form for {type(value).__name__}")


def sha256(text: str) -> str:
    """Return a text's SHA-256 as lower-case hex. Surrogate escapes count as their bytes."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def references(text: str) -> frozenset[str]:
    """Return the hashes of the texts that a canonical text refers to."""
    return frozenset(_REFERENCE.findall(text))


def resolved(document: object, texts: Mapping[str, str]) -> object:
    """Replace every reference in a document by its text. Raises KeyError for a missing text."""
    if isinstance(document, Mapping):
        if document.keys() == {_KEY}:
            return resolved(json.loads(texts[document[_KEY]]), texts)
        return {name: resolved(one, texts) for name, one in document.items()}
    if isinstance(document, list):
        return [resolved(one, texts) for one in document]
    return document


def restored(kind: type[T], document: object) -> T:
    """Decode a document into a value of the given type.

    Raises:
        ValueError: the document does not have this type.
    """
    try:
        return typing.cast(T, _decode(kind, document))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"this is no {getattr(kind, '__name__', kind)}: {error}") from error


def _decode(kind: Any, document: Any) -> object:  # noqa: ANN401 (any annotation, any JSON)
    kind = _unwrap_new_type(kind)
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_optional(typing.get_args(kind), document)
    if origin is not None:
        return _decode_generic(origin, typing.get_args(kind), document)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _get_hints(kind)
        known = {f.name for f in dataclasses.fields(kind)}
        if document.keys() - known:
            raise ValueError(f"{kind.__name__} has no {min(document.keys() - known)}")
        return kind(**{name: _decode(hints[name], one) for name, one in document.items()})
    return _decode_scalar(kind, document)


@functools.cache
def _list_fields(kind: type) -> tuple[str, ...] | None:
    """Return a dataclass's field names, None for another type."""
    if not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _get_hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _unwrap_new_type(kind: Any) -> Any:  # noqa: ANN401 (any annotation)
    """Return the base type of a ``NewType``."""
    while hasattr(kind, "__supertype__"):
        kind = kind.__supertype__
    return kind


def _decode_scalar(kind: Any, document: object) -> object:  # noqa: ANN401 (any annotation)
    if issubclass(kind, enum.Enum):
        return kind(document)
    if kind is bool and isinstance(document, bool):
        return document
    if kind not in (int, str, bytes) or not isinstance(document, str):
        raise TypeError(f"{document!r} is no {kind.__name__}")
    if kind is int:
        return int(document)
    return bytes.fromhex(document[2:]) if kind is bytes else document


def _decode_optional(kinds: Sequence[Any], document: object) -> object:
    """Decode an optional value as None or as its only other type."""
    others = [one for one in kinds if one is not type(None)]
    if document is None and len(others) < len(kinds):
        return None
    if len(others) != 1:
        raise TypeError("one of several types cannot be told")
    return _decode(others[0], document)


def _decode_generic(origin: Any, arguments: Sequence[Any], document: Any) -> object:  # noqa: ANN401
    if issubclass(origin, Mapping):
        key, value = arguments
        pairs = document.items() if isinstance(document, Mapping) else document
        return {_decode(key, name): _decode(value, one) for name, one in pairs}
    if issubclass(origin, (set, frozenset)):
        return origin(_decode(arguments[0], one) for one in document)
    if not issubclass(origin, Collection) or isinstance(document, str):
        raise TypeError(f"no way back to {origin.__name__}")
    if origin is tuple and arguments[-1] is not Ellipsis:
        return tuple(_decode(*pair) for pair in zip(arguments, document, strict=True))
    items = [_decode(arguments[0], one) for one in document]
    return items if origin is list else tuple(items)


def _put(inner: object, parts: Documents) -> dict[str, str]:
    text = _dump_json(inner)
    name = sha256(text)
    parts[name] = text
    return {_KEY: name}


def _dump_json(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
