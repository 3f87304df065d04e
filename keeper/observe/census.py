"""Number of a market's accounts by tier."""

from collections import Counter
from collections.abc import Mapping

from keeper.abilities import CountsTiers
from keeper.ports import MarketSnapshot
from keeper.risk.tiers import DEFAULT, Thresholds, Tier, tier_of


def census(snapshot: MarketSnapshot, thresholds: Thresholds = DEFAULT) -> Mapping[Tier, int]:
    """Count the accounts with debt in each tier, without valuing all of them if possible."""
    if isinstance(snapshot, CountsTiers):
        return snapshot.tiers(thresholds)
    return Counter(tier_of(one, thresholds) for one in snapshot.accounts())
