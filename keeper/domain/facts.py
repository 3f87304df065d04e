"""What an adapter tells an operator about what it reads, for doctor."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line; ``concern`` says what follows where it is not as it should be, else empty."""

    text: str
    concern: str = ""
