"""
The next block's fees, from what nodes claim and what blocks prove. Pure.

A claim is one node's word. What the newest blocks' transactions really paid bounds it, and the
claims of several endpoints are held against each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.head import Head
from keeper.domain.units import GWEI, Wei

UNPROVEN_TIP: Final = Wei(GWEI)
"""What tips are compared with, beside the base fee, where no block shows any."""
NEGLIGIBLE_SHARE: Final = 10
"""A tip below this part of the base fee costs too little to be a contradiction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeQuote:
    """One node's claim: the next base fee and the usual tip; None where it does not say."""

    base_fee: Wei | None = None
    tip: Wei | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidTip:
    """What a transaction of a mined block paid per gas beside the base fee, and its gas limit."""

    tip: Wei
    gas: int


def paid_percentile(paid: Sequence[PaidTip], percentile: int) -> Wei | None:
    """
    Return the tip that so many per cent of a block's gas paid at most; None where nobody tipped.

    Transactions without a tip are left out: they were paid for in another way.
    """
    tipping = sorted((one for one in paid if one.tip > 0), key=lambda one: one.tip)
    reached, wanted = 0, sum(one.gas for one in tipping) * percentile
    for one in tipping:
        reached += one.gas
        if reached * 100 >= wanted:
            return one.tip
    return None


def median_tip(rewards: Sequence[Wei]) -> Wei:
    """Return the median of the blocks' tips, of those that are any; 0 where none is."""
    paid = sorted(one for one in rewards if one > 0)
    return paid[len(paid) // 2] if paid else Wei(0)


def bound_base_fee(head: Head, expected: Wei, claim: Wei | None, rise: int) -> Wei:
    """
    Return the next block's base fee: what a node claims, within ``rise`` times the newest block's.

    With a ``rise`` of 0, or without a claim, it is ``expected``, the formula's.
    """
    if claim is None or not rise:
        return expected
    most, least = head.base_fee * rise, head.base_fee // rise
    return Wei(max(least, min(claim, most)))


def tip_bound(paid: Wei | None, base_fee: Wei, multiple: int) -> Wei:
    """
    Return the most that the market's tip may be.

    That is ``multiple`` times what the newest blocks' transactions ``paid``; where no block
    shows a tip, so many times the base fee or a gwei, whichever is more.
    """
    return Wei(multiple * (max(base_fee, UNPROVEN_TIP) if paid is None else paid))


def chosen_claim(claims: Sequence[Wei], paid: Wei | None) -> Wei:
    """
    Return which of several contradicting tips counts: the nearest to what was paid.

    Where no block shows a tip, it is the lowest.
    """
    if paid is None:
        return min(claims)
    return min(claims, key=lambda claim: (_ratio(claim, paid), claim))


def contradiction(claims: Mapping[int, Wei], base_fee: Wei, multiple: int) -> str:
    """
    Return how endpoints contradict each other on the tip; empty where they do not.

    They do where one claims more than ``multiple`` times what another does, and more than a
    negligible part of the base fee.
    """
    lowest, highest = min(claims.values()), max(claims.values())
    if highest <= multiple * max(lowest, base_fee // NEGLIGIBLE_SHARE):
        return ""
    said = ", ".join(f"{place} says {tip}" for place, tip in sorted(claims.items()))
    return f"wei of tip per gas: {said}"


def _ratio(claim: int, paid: int) -> int:
    """Return how many times one of two amounts is the other, in millionths."""
    high, low = max(claim, paid), max(1, min(claim, paid))
    return high * 1_000_000 // low
