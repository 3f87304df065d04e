"""Next block's fees, from the nodes' claims and the newest blocks. Pure.

A claim is one node's statement. The tips that the newest blocks' transactions really paid bound it,
and the claims of several endpoints are compared.
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
    """One node's claim of the next base fee and the usual tip. None if not stated."""

    base_fee: Wei | None = None
    tip: Wei | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidTip:
    """Tip per gas that a transaction of a mined block paid, and its gas limit."""

    tip: Wei
    gas: int


def paid_percentile(paid: Sequence[PaidTip], percentile: int) -> Wei | None:
    """Compute the gas-weighted percentile of a block's tips. None if no transaction tipped.

    Transactions without a tip are excluded, since they were paid for in another way.
    """
    tipping = sorted((one for one in paid if one.tip > 0), key=lambda one: one.tip)
    reached, wanted = 0, sum(one.gas for one in tipping) * percentile
    for one in tipping:
        reached += one.gas
        if reached * 100 >= wanted:
            return one.tip
    return None


def median_tip(rewards: Sequence[Wei]) -> Wei:
    """Compute the median of the blocks' tips above zero. 0 if no tips."""
    paid = sorted(one for one in rewards if one > 0)
    return paid[len(paid) // 2] if paid else Wei(0)


def bound_base_fee(head: Head, expected: Wei, claim: Wei | None, rise: int) -> Wei:
    """Bound a node's claim of the next base fee to ``rise`` times the newest one, up or down.

    Without a claim, or if ``rise`` is 0, it is ``expected``, the formula's.
    """
    if claim is None or not rise:
        return expected
    most, least = head.base_fee * rise, head.base_fee // rise
    return Wei(max(least, min(claim, most)))


def tip_bound(paid: Wei | None, base_fee: Wei, multiple: int) -> Wei:
    """Compute the highest plausible market tip.

    It is ``multiple`` times the tip that the newest blocks' transactions ``paid``. If no block
    shows a tip, it is that multiple of the base fee or of a gwei, whichever is more.
    """
    return Wei(multiple * (max(base_fee, UNPROVEN_TIP) if paid is None else paid))


def chosen_claim(claims: Sequence[Wei], paid: Wei | None) -> Wei:
    """Choose one of several contradicting tips, the nearest to the paid one.

    If no block shows a tip, it is the lowest.
    """
    if paid is None:
        return min(claims)
    return min(claims, key=lambda claim: (_compute_ratio(claim, paid), claim))


def contradiction(claims: Mapping[int, Wei], base_fee: Wei, multiple: int) -> str:
    """Describe how endpoints contradict each other on the tip. Empty if they agree.

    They contradict if one claims more than ``multiple`` times another's tip, and more than a
    negligible part of the base fee.
    """
    lowest, highest = min(claims.values()), max(claims.values())
    if highest <= multiple * max(lowest, base_fee // NEGLIGIBLE_SHARE):
        return ""
    said = ", ".join(f"{place} says {tip}" for place, tip in sorted(claims.items()))
    return f"wei of tip per gas: {said}"


def _compute_ratio(claim: int, paid: int) -> int:
    """Compute the ratio of the larger to the smaller amount, in millionths."""
    high, low = max(claim, paid), max(1, min(claim, paid))
    return high * 1_000_000 // low
