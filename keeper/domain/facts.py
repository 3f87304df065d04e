"""Facts that an adapter reports to the operator through ``keeper doctor``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of text. ``concern`` is the consequence if something is wrong, else empty."""

    text: str
    concern: str = ""
