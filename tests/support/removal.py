"""A promise without its code: what is taken away, and the tests that must fail then."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """
    One guarantee without its code: ``old`` occurs once in ``file`` and becomes ``new``.

    Each of ``tests`` must pass before and fail after.
    """

    guarantee: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
