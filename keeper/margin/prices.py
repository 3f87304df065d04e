"""Price histories, window medians and volatility of an account's health."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isqrt
from typing import Final

from keeper.domain.account import HEALTH_FACTOR_NO_DEBT
from keeper.domain.exposure import Exposure
from keeper.domain.units import BPS, WAD, Address, MarketKey, Wad
from keeper.margin.facts import BlockFacts
from keeper.margin.settings import MarginSettings, Measure, Volatility
from keeper.margin.state import Prices, Step

MOST_STEPS: Final = 4_096
"""Maximum of stored changes per price. The oldest are dropped."""

Quotes = Mapping[Address, int]
"""Prices by token, in the unit of a market's readings."""


def observed(
    before: Mapping[MarketKey, Prices], facts: BlockFacts, settings: MarginSettings
) -> Mapping[MarketKey, Prices]:
    """Add a block's prices to the histories.

    Prices of orphaned blocks are dropped. Where a price fails or is not positive, the last one
    stays in effect.
    """
    if facts.fork is not None:
        before = {market: _drop_after_fork(prices, facts.fork) for market, prices in before.items()}
    since = facts.timestamp - _compute_retention_seconds(settings)
    after = dict(before)
    for market, stated in facts.markets.items():
        known = dict(before.get(market, {}))
        for one in stated.readings:
            if one.price is not None and one.price > 0:
                known[one.token] = _append_price(known.get(one.token, ()), facts, one.price, since)
        after[market] = known
    return after


def raw_quotes(prices: Prices) -> Quotes:
    """Return the newest price of each token."""
    return {token: steps[-1].price for token, steps in prices.items() if steps}


def median_quotes(prices: Prices, now: int, seconds: int) -> Quotes:
    """Return each price's median over the window that ends now, weighted by duration.

    A token observed for less than half of the window is left out.
    """
    found = dict[Address, int]()
    for token, steps in prices.items():
        if steps and now - steps[0].timestamp >= seconds // 2:
            found[token] = _compute_median(steps, now - seconds, now)
    return found


def health_at(exposure: Exposure, raw: Quotes, other: Quotes) -> Wad:
    """Return the health factor with prices ``other`` instead of ``raw``, rounded down.

    A token without a price in ``other`` keeps its own.
    """
    weighted = debt = 0
    for leg in exposure.legs:
        old = raw.get(leg.token, 0)
        new = other.get(leg.token, old)
        up, down = (new, old) if old and new else (1, 1)
        weighted += leg.collateral * leg.weight * up // down
        debt += -(-leg.debt * up // down)
    return Wad(weighted // debt) if debt else HEALTH_FACTOR_NO_DEBT


def deviation_bps(price: int, reference: int) -> int:
    """Return the relative deviation from a positive reference price, rounded up."""
    return -(-abs(price - reference) * BPS // reference)


def equity_bps(exposure: Exposure) -> int:
    """Return the account's equity as a share of its collateral, rounded down. 0 without equity.

    Its inverse is the leverage, the factor by which a price move changes the equity.
    """
    collateral = sum(leg.collateral for leg in exposure.legs)
    debt = sum(leg.debt for leg in exposure.legs)
    return max(0, collateral - debt) * BPS // collateral if collateral else 0


def volatility(exposure: Exposure, prices: Prices, now: int, wanted: Volatility) -> Wad:
    """Return the standard deviation of the account's health over the horizon, as a share (wad).

    The health is computed at the window's prices, sampled at equal distances, so correlated moves
    of collateral and debt cancel. Rounded down, never below the configured minimum. In a window
    that was not observed whole only complete sample distances count.
    """
    floor = wanted.least_bps * WAD // BPS
    used = {leg.token for leg in exposure.legs}
    known = [steps for token, steps in prices.items() if token in used and steps]
    first = max((steps[0].timestamp for steps in known), default=now)
    distance_seconds = max(1, wanted.window_seconds // wanted.samples)
    seen = min(wanted.samples, (now - first) // distance_seconds)
    if seen < 1:
        return Wad(floor)
    start = now - seen * distance_seconds
    raw = raw_quotes(prices)
    healths = list[int]()
    for moment in range(start, now + 1, distance_seconds):
        quotes = {
            token: _find_price_at(steps, moment) for token, steps in prices.items() if token in used
        }
        healths.append(health_at(exposure, raw, quotes))
    squares = sum(
        ((after - before) * WAD // before) ** 2 for before, after in pairwise(healths) if before
    )
    return Wad(max(floor, isqrt(squares * wanted.horizon_seconds // (now - start))))


def distance(health: int, deviation: Wad) -> int:
    """Return the distance to liquidation in standard deviations (wad), rounded down, 0 below 1."""
    if health <= WAD:
        return 0
    return (health - WAD) * WAD // health * WAD // deviation


def _compute_retention_seconds(settings: MarginSettings) -> int:
    if settings.tiers.measure is Measure.VOLATILITY:
        return max(settings.guard.window_seconds, settings.tiers.volatility.window_seconds)
    return settings.guard.window_seconds


def _append_price(
    steps: tuple[Step, ...], facts: BlockFacts, price: int, since: int
) -> tuple[Step, ...]:
    if not steps or steps[-1].price != price:
        new = Step(number=facts.number, timestamp=facts.timestamp, price=price)
        steps = (*steps, new)[-MOST_STEPS:]
    if len(steps) > 1 and steps[1].timestamp <= since:
        standing = max(at for at, one in enumerate(steps) if one.timestamp <= since)
        return steps[standing:]
    return steps


def _drop_after_fork(prices: Prices, fork: int) -> Prices:
    kept = {t: tuple(one for one in steps if one.number <= fork) for t, steps in prices.items()}
    return {token: steps for token, steps in kept.items() if steps}


def _compute_median(steps: Sequence[Step], start: int, now: int) -> int:
    """Return the time-weighted median, the price at or below which half of the time was spent."""
    weights = list[tuple[int, int]]()
    for at, one in enumerate(steps):
        end = steps[at + 1].timestamp if at + 1 < len(steps) else now
        weight = end - max(one.timestamp, start)
        if weight > 0:
            weights.append((one.price, weight))
    if not weights:
        return steps[-1].price
    half, passed = sum(weight for _, weight in weights), 0
    for price, weight in sorted(weights):
        passed += 2 * weight
        if passed >= half:
            return price
    return steps[-1].price


def _find_price_at(steps: Sequence[Step], moment: int) -> int:
    """Return the price in effect at a moment, the first known price before that."""
    for one in reversed(steps):
        if one.timestamp <= moment:
            return one.price
    return steps[0].price
