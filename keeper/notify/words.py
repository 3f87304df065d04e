"""Text formats of figures and names in messages. Token symbols are untrusted."""

import unicodedata
from typing import Final

from keeper.domain import wording
from keeper.domain.names import harmless
from keeper.domain.units import UINT256_MAX, USD_E8, TokenUnits, Wad

LONGEST_NAME: Final = 24
SHORT_ENOUGH: Final = 20
SIGNIFICANT: Final = 6
"""Significant decimals of an amount, which is rounded up."""


def name(untrusted: str) -> str:
    """Return a token's name, sanitized and shortened."""
    kept = harmless(untrusted[:LONGEST_NAME])
    if len(untrusted) > LONGEST_NAME:
        kept += "…"
    return kept or "?"


def line(text: str) -> str:
    """Return text on one line, without control characters and direction marks."""
    return "".join(one if unicodedata.category(one)[0] != "C" else " " for one in text).strip()


def amount_ceil(amount: TokenUnits, decimals: int) -> str:
    """Format a token amount, rounded up at its sixth significant decimal."""
    whole, rest = divmod(int(amount), int(10**decimals))
    if not rest:
        return f"{whole:,}"
    digits = str(rest).rjust(decimals, "0")
    leading = len(digits) - len(digits.lstrip("0"))
    keep = min(decimals, SIGNIFICANT if whole else leading + SIGNIFICANT)
    step = int(10 ** (decimals - keep))
    rounded = -(-int(amount) // step)
    whole, rest = divmod(rounded, int(10**keep))
    behind = str(rest).rjust(keep, "0").rstrip("0")
    return f"{whole:,}.{behind}" if behind else f"{whole:,}"


def health(factor: Wad) -> str:
    """Format a health factor. A debt without value gives the largest number."""
    return "beyond counting" if factor >= UINT256_MAX else wording.health(factor)


def dollars(usd_e8: int | None, *, up: bool) -> str:
    """Format dollars and cents, truncated or rounded ``up``. "an unknown amount" where unknown.

    Debt is rounded up and collateral truncated, so that neither looks better than it is.
    """
    if usd_e8 is None:
        return "an unknown amount"
    cents = -(-usd_e8 * 100 // USD_E8) if up else usd_e8 * 100 // USD_E8
    return f"{cents // 100:,}.{cents % 100:02} USD"


def market(key: str) -> str:
    """Format a market's key with shortened addresses. ``keeper calls`` prints it whole."""
    parts = key.split(":")
    return ":".join(shortened(one) if len(one) > SHORT_ENOUGH else one for one in parts)


def sentence(text: str) -> str:
    """Format text on one line as a sentence."""
    kept = line(text)
    return kept if not kept else f"{kept[0].upper()}{kept[1:]}{'' if kept.endswith('.') else '.'}"


def shortened(account: str) -> str:
    """Shorten an address for a title. The text has it whole."""
    return f"{account[:6]}…{account[-4:]}"
