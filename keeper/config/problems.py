"""Settings errors in one line each, with the setting, its origin and the allowed values."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from keeper.config.types import shown
from keeper.domain.errors import ConfigError

_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}

_SENTENCES = {
    "missing": ("is missing", "set it"),
    "too_short": ("is empty", "list at least one"),
    "model_type": ("is not a section", "write it as a [section]"),
    "tuple_type": ("is not a list", "write it in brackets, or as [[...]] if it is a section"),
}

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One wrong setting, with its origin, the reason and a hint."""

    setting: str
    origin: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        where = f" ({self.origin})" if self.origin else ""
        return f"{self.setting}: {self.reason}{where}"


class SettingsInvalid(ConfigError):
    """Invalid settings. The message is the first problem, ``problems`` lists all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first, more = problems[0], len(problems) - 1
        text = str(first) + (f" (and {more} more: keeper config check)" if more else "")
        super().__init__(text, hint=first.hint)
        self.problems = tuple(problems)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word closest to ``word``, or an empty string."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), "")


def unknown_key_hint(key: str, known: Sequence[str]) -> str:
    """Return a hint for an unknown key, with the nearest key or else all of them."""
    match = nearest(key, known)
    return f"did you mean {match}?" if match else f"allowed: {', '.join(sorted(known))}"


def dotted(path: Sequence[int | str]) -> str:
    """Format a setting's name, as in ``market[0].from_block``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "settings"


def validated(
    model: type[Model],
    raw: Mapping[str, Any],
    *,
    where: str,
    origins: Mapping[str, str] | None = None,
    context: Mapping[str, Any] | None = None,
) -> Model:
    """Validate ``raw`` as ``model``. ``where`` names the section in messages.

    ``origins`` is the position of each value, by dotted path inside ``raw``.

    Raises:
        SettingsInvalid: one line per problem, without secrets.
    """
    try:
        return model.model_validate(raw, context=context)
    except ValidationError as error:
        found = [_build_problem(model, one, where, origins or {}) for one in _select_errors(error)]
        raise SettingsInvalid(found) from None


def _select_errors(error: ValidationError) -> list[Any]:
    """Return the operator's errors, without ``too_short`` for a list with an invalid item."""
    errors: list[Any] = list(error.errors())
    places = [one["loc"] for one in errors]
    return [
        one
        for one in errors
        if one["type"] != "too_short"
        or not any(place[: len(one["loc"])] == one["loc"] != place for place in places)
    ]


def _build_problem(
    model: type[BaseModel], error: Mapping[str, Any], where: str, origins: Mapping[str, str]
) -> Problem:
    path: tuple[int | str, ...] = tuple(error["loc"])
    reason, hint = _describe_error(model, error, path)
    setting = dotted(path)
    if where:
        setting = f"{where}.{setting}" if path else where
    return Problem(setting=setting, origin=_find_origin(path, origins), reason=reason, hint=hint)


def _find_origin(path: Sequence[int | str], origins: Mapping[str, str]) -> str:
    """Return the position of a value, or of the nearest section around it."""
    for end in range(len(path), -1, -1):
        found = origins.get(".".join(str(part) for part in path[:end]))
        if found:
            return found
    return origins.get("", "")


def _describe_error(
    model: type[BaseModel], error: Mapping[str, Any], path: Sequence[int | str]
) -> tuple[str, str]:
    """Return the reason and the hint of an error."""
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind == "missing" and (meant := _find_mistyped(str(path[-1]), error.get("input"))):
        return "is missing", f"is {meant} mistyped?"
    if kind == "keeper":
        return str(context["reason"]), str(context["hint"])
    if kind == "extra_forbidden":
        return "is not a setting", unknown_key_hint(str(path[-1]), _list_keys(model, path[:-1]))
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"is {shown(error['input'])} but must be {word} {context[bound]}", ""
    if kind in ("literal_error", "enum"):
        return f"is {shown(error['input'])}", f"allowed: {context['expected']}"
    fallback = str(error["msg"]).removeprefix("Value error, ")
    return _SENTENCES.get(kind, (fallback, ""))


def _find_mistyped(key: str, section: object) -> str:
    """Return the key of ``section`` that probably means ``key``, or an empty string."""
    if not isinstance(section, Mapping):
        return ""
    options = section.get("options")
    return nearest(key, [*section, *(options if isinstance(options, Mapping) else ())])


def _list_keys(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Return the keys of the model at ``path``."""
    current: type[BaseModel] = model
    for part in path:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part)
        inner = None if field is None else _find_model(field.annotation)
        if inner is None:
            return []
        current = inner
    return list(current.model_fields)


def _find_model(annotation: object) -> type[BaseModel] | None:
    """Return the model type of a field, plain or in a tuple."""
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
