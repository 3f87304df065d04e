"""Figures and names as a person reads them; what a token calls itself is not trusted."""

import unicodedata
from typing import Final

from keeper.domain import wording
from keeper.domain.names import harmless
from keeper.domain.units import UINT256_MAX, USD_E8, TokenUnits, Wad

LONGEST_NAME: Final = 24
SHORT_ENOUGH: Final = 20
SIGNIFICANT: Final = 6
"""Digits behind the point that an amount keeps; it is rounded up, so that it suffices."""


def name(untrusted: str) -> str:
    """Return a token's name, harmless and of a length that a sentence bears."""
    kept = harmless(untrusted[:LONGEST_NAME])
    if len(untrusted) > LONGEST_NAME:
        kept += "…"
    return kept or "?"


def line(text: str) -> str:
    """Return text on one line, without control characters and direction marks."""
    return "".join(one if unicodedata.category(one)[0] != "C" else " " for one in text).strip()


def amount_ceil(amount: TokenUnits, decimals: int) -> str:
    """Return a token amount, rounded up behind its first six significant decimals."""
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
    """Return a health factor; a debt too small to have a value makes it the largest number."""
    return "beyond counting" if factor >= UINT256_MAX else wording.health(factor)


def dollars(usd_e8: int | None, *, up: bool) -> str:
    """
    Return dollars and cents, cut or rounded ``up``; "an unknown amount" where unknown.

    What is owed is rounded up and what backs it is cut: neither looks better than it is.
    """
    if usd_e8 is None:
        return "an unknown amount"
    cents = -(-usd_e8 * 100 // USD_E8) if up else usd_e8 * 100 // USD_E8
    return f"{cents // 100:,}.{cents % 100:02} USD"


def market(key: str) -> str:
    """Return a market's key with its addresses shortened; ``keeper calls`` has it whole."""
    parts = key.split(":")
    return ":".join(shortened(one) if len(one) > SHORT_ENOUGH else one for one in parts)


def sentence(text: str) -> str:
    """Return text on one line as a sentence."""
    kept = line(text)
    return kept if not kept else f"{kept[0].upper()}{kept[1:]}{'' if kept.endswith('.') else '.'}"


def shortened(account: str) -> str:
    """Return an address for a title; the text has it whole."""
    return f"{account[:6]}…{account[-4:]}"
