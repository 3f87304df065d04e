"""How many accounts of a market are how close to the line."""

from collections import Counter
from collections.abc import Mapping

from keeper.abilities import CountsTiers
from keeper.ports import MarketSnapshot
from keeper.risk.tiers import DEFAULT, Thresholds, Tier, tier_of


def census(snapshot: MarketSnapshot, thresholds: Thresholds = DEFAULT) -> Mapping[Tier, int]:
    """Return how many accounts with debt are in each tier, without valuing them all if possible."""
    if isinstance(snapshot, CountsTiers):
        return snapshot.tiers(thresholds)
    return Counter(tier_of(one, thresholds) for one in snapshot.accounts())
