"""Parses account arguments, a whole address or its beginning."""

from typing import Final

from keeper.chain.abi import checksum
from keeper.domain.errors import ConfigError

ADDRESS_DIGITS: Final = 40


def refuse_no_address(wanted: str) -> str:
    """Return an address or the beginning of one in lower case.

    Raises:
        ConfigError: it cannot be one, or is a whole one with a wrong checksum.
    """
    lowered = wanted.lower()
    digits = lowered[2:]
    if not lowered.startswith("0x") or any(c not in "0123456789abcdef" for c in digits):
        raise ConfigError(f"{wanted!r} is not an address", hint="0x and up to 40 hex digits")
    if len(digits) > ADDRESS_DIGITS:
        raise ConfigError(f"{wanted!r} is longer than an address", hint="0x and 40 hex digits")
    if len(digits) == ADDRESS_DIGITS:
        try:
            checksum(wanted)
        except ValueError as error:
            raise ConfigError(str(error), hint="copy it again, or write it all small") from None
    return lowered
