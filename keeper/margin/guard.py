"""Evaluation of one block for margin calls, with the spike guard."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure
from keeper.domain.parity import Subject
from keeper.domain.units import BPS, WAD, Address, MarketKey, Wad
from keeper.margin.facts import BlockFacts, MarketFacts
from keeper.margin.oracle import Suspicion, deviant, skipped, suspicions
from keeper.margin.prices import (
    Quotes,
    deviation_bps,
    distance,
    equity_bps,
    health_at,
    median_quotes,
    observed,
    raw_quotes,
    volatility,
)
from keeper.margin.settings import Confirms, MarginSettings, Measure
from keeper.margin.state import Breach, MarginState, Mark, Prices, Standing
from keeper.risk.tiers import Tier

_NO_FACTS = MarketFacts()


@dataclass(frozen=True)
class Block:
    """Evaluation context of one block."""

    settings: MarginSettings
    state: MarginState
    facts: BlockFacts

    @cached_property
    def mark(self) -> Mark:
        """The block's time by all clocks."""
        return Mark.of(self.facts)

    @cached_property
    def is_known(self) -> bool:
        """Whether the state already includes this block, after a repeated head or a restart."""
        return self.facts.hash == self.state.hash

    def knows(self, subject: Subject) -> bool:
        """Whether an account's state already includes this block."""
        ahead = self.state.ahead
        if ahead is not None and ahead.hash == self.facts.hash and subject in ahead.subjects:
            return True
        return self.is_known

    @cached_property
    def fork(self) -> int | None:
        """The newest block that was not reorganised. None without a reorg."""
        if self.is_known or self.state.is_new:
            return None
        ahead, newest = self.state.ahead, self.state.number
        if ahead is not None and ahead.hash != self.facts.hash:
            newest = max(newest, ahead.number)
        if self.facts.fork is None and self.facts.number <= newest:
            return self.facts.number - 1
        return self.facts.fork

    @property
    def last_seen(self) -> int:
        """The newest block with any state, also one that only advanced a subset of accounts."""
        state = self.state
        return state.ahead.number if state.is_new and state.ahead is not None else state.number

    @cached_property
    def prices(self) -> Mapping[MarketKey, Prices]:
        """The price histories including this block."""
        if self.is_known:
            return self.state.prices
        return observed(self.state.prices, self.facts, self.settings)

    @cached_property
    def raw(self) -> Mapping[MarketKey, Quotes]:
        """The newest prices, by market."""
        return {market: raw_quotes(prices) for market, prices in self.prices.items()}

    @cached_property
    def medians(self) -> Mapping[MarketKey, Quotes]:
        """The prices of the guard's window, by market."""
        now, seconds = self.facts.timestamp, self.settings.guard.window_seconds
        return {
            market: median_quotes(self.prices.get(market, {}), now, seconds)
            for market in self.facts.markets
        }

    @cached_property
    def suspicions(self) -> Mapping[MarketKey, tuple[Suspicion, ...]]:
        """Failed price checks by market."""
        rules, now = self.settings.oracle, self.facts.timestamp
        return {
            market: suspicions(rules, stated, self.medians[market], now)
            for market, stated in self.facts.markets.items()
        }

    @cached_property
    def untrusted(self) -> Mapping[MarketKey, Mapping[Address, Suspicion]]:
        """Tokens with a price for which accounts are skipped, by market."""
        return {market: skipped(found) for market, found in self.suspicions.items()}

    @cached_property
    def has_doubts(self) -> bool:
        """Whether a price is untrusted, or second sources may contradict one."""
        seconds = any(stated.seconds for stated in self.facts.markets.values())
        return seconds or any(self.untrusted.values())

    @cached_property
    def _rest_bounds(self) -> Mapping[Tier, tuple[int, int]]:
        """The health factors (from, below) between which an account stays in its tier."""
        tiers = self.settings.tiers
        if tiers.measure is not Measure.HEALTH or self.fork is not None:
            return {}
        pairs = zip(tiers.bands[1:], tiers.bands, strict=False)
        return {band.tier: (worse.enter, band.leave) for band, worse in pairs}

    @cached_property
    def _first_reminder_seconds(self) -> Mapping[Tier, int]:
        """Seconds in a tier after which the first reminder or escalation is due."""
        telling = self.settings.telling
        return {
            tier: min(
                telling.remind_seconds.get(tier, 0) or _FAR,
                telling.escalate_seconds.get(tier, 0) or _FAR,
            )
            for tier in self._rest_bounds
        }

    def is_at_rest(self, before: Standing, health: AccountHealth | None) -> bool:
        """Whether nothing can change for an account. A cheap test that holds for most accounts."""
        bounds = self._rest_bounds.get(before.tier)
        if bounds is None or health is None or health.liquidatable or health.unpriced:
            return False
        if before.breaches or not bounds[0] <= health.health_factor < bounds[1]:
            return False
        if before.acknowledged is not None:
            return True
        waited = self.facts.timestamp - before.entered[before.tier].timestamp
        return waited < self._first_reminder_seconds[before.tier]

    def suspicion(self, subject: Subject) -> Suspicion | None:
        """Return the reason why an account's health is untrusted, None if it is trusted."""
        if not self.has_doubts:
            return None
        market, exposure = subject[0], self.facts.exposures.get(subject)
        untrusted = self.untrusted.get(market, {})
        if exposure is None:
            return next(iter(untrusted.values()), None)
        for leg in exposure.legs:
            if leg.token in untrusted and (leg.collateral or leg.debt):
                return untrusted[leg.token]
        return deviant(self.settings.oracle, self.stated(market), exposure)

    def stated(self, market: MarketKey) -> MarketFacts:
        """Return a market's prices, empty for one that could not be read."""
        return self.facts.markets.get(market, _NO_FACTS)

    def value(self, health: AccountHealth, factor: int | None = None) -> int:
        """Return the measure that tier thresholds apply to, optionally at another health factor."""
        factor = health.health_factor if factor is None else factor
        if self.settings.tiers.measure is Measure.HEALTH:
            return factor
        exposure = self.facts.exposures.get((health.market, health.account))
        if exposure is None or factor >= self.settings.tiers.look_below:
            return _FAR
        prices = self.prices.get(health.market, {})
        moves = volatility(exposure, prices, self.facts.timestamp, self.settings.tiers.volatility)
        return distance(factor, moves)

    def guarded(self, subject: Subject) -> Wad | None:
        """Return the health factor at the window's median prices, None where they are unknown."""
        exposure = self.facts.exposures.get(subject)
        if exposure is None or not self.medians.get(subject[0]):
            return None
        return health_at(exposure, self.raw[subject[0]], self.medians[subject[0]])

    def breach(self, standing: Standing, tier: Tier) -> Breach:
        """Return a breach at this block, continuing an earlier breach of the same tier."""
        before = standing.breaches.get(tier)
        if before is None:
            return Breach(since=self.mark)
        if self.is_known:
            return before
        if self.fork is not None and before.since.number > self.fork:
            return Breach(since=before.since.later(self.mark))
        return before if before.count >= self.settings.guard.blocks else before.again()

    def is_confirmed(self, health: AccountHealth, tier: Tier, breach: Breach) -> bool:
        """Whether the guard confirms that a breach is no spike."""
        guard = self.settings.guard
        answers = (self._is_confirmed_by(method, health, tier, breach) for method in guard.confirm)
        return all(answers) if guard.every or not guard.confirm else any(answers)

    def _is_confirmed_by(
        self, method: Confirms, health: AccountHealth, tier: Tier, breach: Breach
    ) -> bool:
        guard, subject = self.settings.guard, (health.market, health.account)
        if method is Confirms.BLOCKS:
            return breach.count >= guard.blocks  # mutation: G22 spike-blocks
        if method is Confirms.SECONDS:
            return self.facts.timestamp - breach.since.timestamp >= guard.seconds
        exposure = self.facts.exposures.get(subject)
        if exposure is None:
            return False
        if method is Confirms.WINDOW:
            reference = self.medians.get(health.market, {})
            return self._is_supported_by(health, tier, exposure, reference, everyone=True)
        reference = self._select_second_quotes(health.market)
        return self._is_supported_by(health, tier, exposure, reference, everyone=False)

    def _is_supported_by(
        self,
        health: AccountHealth,
        tier: Tier,
        exposure: Exposure,
        reference: Quotes,
        *,
        everyone: bool,
    ) -> bool:
        """Whether reference prices support a breach, by being close or by breaching too.

        With ``everyone``, each token of the account needs a reference price. Otherwise one
        suffices.
        """
        used = {leg.token for leg in exposure.legs if leg.collateral or leg.debt}
        known = used & reference.keys()
        if not known or (everyone and known != used):
            return False
        raw = self.raw.get(health.market, {})
        limit = self.settings.guard.deviation_bps * equity_bps(exposure) // BPS
        if all(
            token in raw and deviation_bps(raw[token], reference[token]) <= limit for token in known
        ):
            return True
        factor = health_at(exposure, raw, {token: reference[token] for token in known})
        if tier is Tier.LIQUIDATABLE:
            return factor < WAD
        return self.value(health, factor) < self.settings.tiers.band(tier).enter

    def _select_second_quotes(self, market: MarketKey) -> Quotes:
        """Return each token's price by its first second source that answers."""
        return {
            token: price
            for token, seconds in self.stated(market).seconds.items()
            if (price := next((one.price for one in seconds if one.price), None)) is not None
        }


_FAR = 2**256
"""Above any threshold. The measure of an account outside all tiers."""
