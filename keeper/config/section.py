"""Base models of settings sections."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A frozen section that refuses unknown keys and hides its values in errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",  # mutation: G33 unknown-key
        hide_input_in_errors=True,
        validate_default=True,
    )


class Plugged(Section):
    """A section with further keys that an adapter validates."""

    options: Mapping[str, Any] = Field(default_factory=dict)
    origins: Mapping[str, str] = Field(default_factory=dict, repr=False)
    where: str = ""

    own: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _set_aside(cls, raw: object) -> object:
        """Move the adapter's keys into ``options``."""
        if not isinstance(raw, Mapping):
            return raw
        kept = cls.own | {"origins", "where"}
        options = {key: value for key, value in raw.items() if key not in kept}
        return {key: raw[key] for key in raw if key in kept} | {"options": options}
