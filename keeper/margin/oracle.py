"""Price checks by feed data and second sources."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from keeper.domain.exposure import Exposure
from keeper.domain.oracle import Reading
from keeper.domain.units import BPS, Address
from keeper.margin import words
from keeper.margin.facts import MarketFacts
from keeper.margin.prices import Quotes, deviation_bps, equity_bps
from keeper.margin.settings import Check, OracleRules, Response

_TENTHS: Final = 10
_WIDE_BPS: Final = 12_500
"""A price within 25 % of another one's multiple by a power of ten has wrong decimals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """A failed check of one token's price, with the configured response."""

    token: Address
    feed: Address
    check: Check
    response: Response
    detail: str


def age_of(reading: Reading, now: int) -> int | None:
    """Return the age of a feed's answer in seconds, None where its round is unknown."""
    return None if reading.round is None else max(0, now - reading.round.updated_at)


def suspicions(
    rules: OracleRules, stated: MarketFacts, medians: Quotes, now: int
) -> tuple[Suspicion, ...]:
    """Check a market's prices. The result applies to every account.

    ``medians`` are the medians of the guard's window. Failed checks with the response ``EXECUTE``
    are included, since they are counted.
    """
    found = list[Suspicion]()
    for reading in stated.readings:
        seconds = [one.price for one in stated.seconds.get(reading.token, ()) if one.price]
        median = medians.get(reading.token)
        for check, detail in _check_reading(rules, reading, seconds, median, now):
            found.append(
                Suspicion(
                    token=reading.token,
                    feed=reading.feed,
                    check=check,
                    response=rules.responses[check],
                    detail=f"{reading.symbol} by {reading.feed}: {detail}",
                )
            )
    return tuple(found)


def skipped(found: Iterable[Suspicion]) -> Mapping[Address, Suspicion]:
    """Select, by token, the first suspicion for which accounts are skipped."""
    by_token = dict[Address, Suspicion]()
    for one in found:
        if one.response is Response.SKIP:
            by_token.setdefault(one.token, one)
    return by_token


def deviant(rules: OracleRules, stated: MarketFacts, exposure: Exposure) -> Suspicion | None:
    """Find a price too far from a second source for this account's leverage, if any.

    The limit is a share of the equity, so it shrinks as debt grows.
    """
    if rules.responses[Check.DEVIATION] is not Response.SKIP:
        return None
    limit = rules.deviation_bps * equity_bps(exposure) // BPS  # mutation: F26 leverage
    used = {leg.token for leg in exposure.legs if leg.collateral or leg.debt}
    for reading in stated.readings:
        if reading.token not in used or not reading.price:
            continue
        for second in stated.seconds.get(reading.token, ()):
            if second.price and deviation_bps(reading.price, second.price) > limit:
                off = deviation_bps(reading.price, second.price)
                return Suspicion(
                    token=reading.token,
                    feed=reading.feed,
                    check=Check.DEVIATION,
                    response=Response.SKIP,
                    detail=f"{reading.symbol} by {reading.feed}: {words.percent(off)} off"
                    f" {second.source}, {words.percent(limit)} allowed at this leverage",
                )
    return None


def _check_reading(
    rules: OracleRules, reading: Reading, seconds: list[int], median: int | None, now: int
) -> Iterator[tuple[Check, str]]:
    answer = reading.price if reading.round is None else reading.round.answer
    if (answer is not None and answer <= 0) or reading.price == 0:  # mutation: F26 no-price
        yield Check.NOT_POSITIVE, f"it answers {answer}"
        return
    if reading.price is None:
        yield Check.FAILING, "the source fails"
        return
    yield from _check_round(rules, reading, now)
    yield from _check_scale(rules, reading, seconds, median)


def _check_round(rules: OracleRules, reading: Reading, now: int) -> Iterator[tuple[Check, str]]:
    stated = reading.round
    if stated is None:
        yield Check.AGE_UNKNOWN, "nobody states when it was answered"
        return
    if stated.updated_at == 0 or stated.answered_in < stated.round_id:
        yield Check.INCOMPLETE, f"round {stated.round_id} is not complete"
        return
    heartbeat = rules.heartbeats.get(reading.feed, rules.heartbeat_seconds)
    age = max(0, now - stated.updated_at)
    if heartbeat is not None and age > heartbeat + rules.slack_seconds:
        yield (
            Check.STALE,
            f"answered {age} s ago, heartbeat {heartbeat} s and {rules.slack_seconds} s of slack",
        )
    # mutation: G17 feed-at-bound
    if reading.minimum is not None and stated.answer <= reading.minimum:
        yield Check.AT_BOUND, f"{stated.answer} is the least that the aggregator can say"
    if reading.maximum is not None and stated.answer >= reading.maximum:
        yield Check.AT_BOUND, f"{stated.answer} is the most that the aggregator can say"


def _check_scale(
    rules: OracleRules, reading: Reading, seconds: list[int], median: int | None
) -> Iterator[tuple[Check, str]]:
    price = reading.price or 0
    # mutation: F26 price-decimals
    if reading.decimals is not None and reading.decimals != reading.expected_decimals:
        yield (
            Check.DECIMALS,
            f"it has {reading.decimals} decimals, the market takes {reading.expected_decimals}",
        )
    for second in seconds:
        tens = _format_power_of_ten(price, second)
        off = deviation_bps(price, second)
        if tens:
            yield Check.DECIMALS, f"{price} is {tens} another source's {second}"
        elif off > rules.factor_bps:
            yield (
                Check.DEVIATION,
                f"{price} is {words.percent(off)} off another source's {second}",
            )
    if median and max(price, median) > rules.jump * min(price, median):
        yield Check.JUMP, f"{price} is more than {rules.jump} times off its median of {median}"


def _format_power_of_ten(price: int, second: int) -> str:
    """Return the power of ten by which two prices differ, or an empty string."""
    up, high, low = price > second, max(price, second), min(price, second)
    power = 0
    while high >= low * _TENTHS or high * _WIDE_BPS >= low * _TENTHS * BPS:
        low, power = low * _TENTHS, power + 1
    close = max(high, low) * BPS <= min(high, low) * _WIDE_BPS
    return f"10^{power if up else -power} times" if power and close else ""
