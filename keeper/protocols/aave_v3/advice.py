"""Cures of a pool's account. Exact amounts for a stated time, or reasons for none."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from keeper.domain import wording
from keeper.domain.advice import Advice, Cure, CureKind, LiquidationPrice, cheapest_first
from keeper.domain.search import Guess, Test, least, least_for_good
from keeper.domain.units import (
    BPS,
    WAD,
    BaseCurrency,
    TokenUnits,
    Wad,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.interest import stable_debt
from keeper.protocols.aave_v3.model import Account, Holding, PoolState, ReserveState
from keeper.protocols.aave_v3.position import Clock, Leg, Position
from keeper.protocols.aave_v3.rules import Sums
from keeper.protocols.aave_v3.supplying import supply_refusal

MOST_UNITS: Final = 2**127
"""More of a token than the pool can count."""

NOT_USED: Final = "what is supplied is not used as collateral, which only the account can change"


def advised(account: Account, now: Clock, then: Clock, target: Wad) -> Advice:
    """Return the cures that bring an account to ``target`` at the time of ``then``.

    Raises:
        Unpriced, Unread: the account cannot be valued.
    """
    treatment = _CureSearch(account, then, then.position(account), target)
    untreated = treatment.sums.health_factor(then.pool.structure.rules)
    prices = tuple(_find_liquidation_prices(now.position(account), then.pool))
    stated = Advice(target=target, holds_until=then.now, untreated=untreated, prices=prices)
    if untreated >= target:
        return stated
    found = list(treatment.cures())
    return Advice(
        target=target,
        holds_until=then.now,
        untreated=untreated,
        prices=prices,
        cures=cheapest_first(one for one in found if isinstance(one, Cure)),
        impossible=tuple(one for one in found if isinstance(one, str)),
    )


@dataclass(frozen=True)
class _CureSearch:
    """An account at the time for which a cure is computed."""

    account: Account
    clock: Clock
    position: Position
    target: Wad

    @property
    def pool(self) -> PoolState:
        """The market."""
        return self.clock.pool

    @cached_property
    def sums(self) -> Sums:
        """The account's totals without a cure."""
        return _sum_position(self.position)

    def cures(self) -> Iterator[Cure | str]:
        """Yield every cure, and one line of text for each impossible one."""
        for at, leg in self.position.legs.items():
            holding = self.account.holdings[at]
            backs, owes = self.account.is_collateral(at), self.account.is_borrowing(at)
            repaid = list(self._find_repayments(at, leg, holding)) if owes else []
            yield from repaid
            if not backs and holding.scaled_supply:
                yield f"adding {leg.state.reserve.symbol}: {NOT_USED}"
            elif backs or not any(isinstance(one, Cure) for one in repaid):
                yield self._find_supply(at, leg, holding)

    def _find_supply(self, at: int, leg: Leg, holding: Holding) -> Cure | str:
        """Return the smallest supply of a collateral. Source: ``SupplyLogic.executeSupply``."""
        symbol = leg.state.reserve.symbol
        is_new = not self.account.is_collateral(at)
        price, threshold, counts = self.clock.weights(at, self.account)
        refusal = supply_refusal(self.pool, self.account, at)
        if refusal:
            return f"adding {symbol}: {refusal}"
        if not (counts and threshold and price):
            return f"adding {symbol}: it counts for nothing"
        index, rulebook = self.clock.indices(at)[0], self.pool.structure.rules

        def after(amount: int) -> Sums:
            scaled = holding.scaled_supply + rules.scaled(amount, index, rulebook)
            balance = rules.supply_balance(scaled, index, rulebook)
            more = mul_div_floor(balance, price, leg.state.unit) - leg.collateral_value
            return Sums(
                total=self.sums.total + more,
                weighted=self.sums.weighted + more * threshold,
                debt=self.sums.debt,
            )

        def reaches(amount: int) -> bool:
            return after(amount).health_factor(rulebook) >= self.target

        lacking = self.target * self.sums.debt * BPS // WAD - self.sums.weighted
        guess = _estimate_units(lacking // threshold, price, leg.state)
        raises_average = threshold * self.sums.total >= self.sums.weighted
        if rulebook.directed_rounding or raises_average:
            amount = least(MOST_UNITS, reaches, guess)
        else:
            amount = least_for_good(
                MOST_UNITS,
                reaches,
                lambda units: after(units).health_factor_at_least() >= self.target,
                lambda units: after(units).average_threshold,
                guess,
            )
        if amount is None:
            return f"adding {symbol}: no amount of it is enough"
        refusal = supply_refusal(self.pool, self.account, at, amount, self.clock)
        if refusal:
            return f"adding {symbol}: {refusal}"
        return _build_cure(CureKind.ADD_COLLATERAL, leg, amount, is_new=is_new)

    def _find_repayments(self, at: int, leg: Leg, holding: Holding) -> Iterator[Cure | str]:
        """Yield the smallest repayment of each debt. Source: ``BorrowLogic.executeRepay``."""
        symbol, configuration = leg.state.reserve.symbol, leg.state.configuration
        if not configuration.active or configuration.paused:
            why = "paused" if configuration.active else "inactive"
            yield f"repaying {symbol}: the reserve is {why}"
            return
        index, rulebook = self.clock.indices(at)[1], self.pool.structure.rules
        stable = stable_debt(holding, self.clock.now)
        owed = rules.debt_balance(holding.scaled_debt, index, rulebook)

        def after_variable(amount: int) -> int:
            scaled = max(0, holding.scaled_debt - rules.scaled(amount, index, rulebook))
            return rules.debt_balance(scaled, index, rulebook) + stable

        too_much = self.sums.debt - self.sums.weighted * WAD // (BPS * self.target)
        guess = _estimate_units(too_much, leg.price, leg.state)
        if owed:
            found = least(
                owed, lambda units: self._is_sufficient(leg, after_variable(units)), guess
            )
            yield self._build_repayment(leg, found, owed, after_variable(owed))
        if stable:
            found = least(
                stable, lambda units: self._is_sufficient(leg, owed + stable - units), guess
            )
            yield self._build_repayment(leg, found, stable, owed, stable_rate=True)

    def _build_repayment(
        self, leg: Leg, amount: int | None, owed: int, left: int, *, stable_rate: bool = False
    ) -> Cure | str:
        if amount is None:
            reached = self._replace_debt(leg, left).health_factor(self.pool.structure.rules)
            symbol = leg.state.reserve.symbol
            reached_health = wording.health(reached)
            return f"repaying {symbol}: all of it gives a health factor of {reached_health} only"
        return _build_cure(
            CureKind.REPAY_DEBT, leg, amount, clears=amount == owed, stable_rate=stable_rate
        )

    def _replace_debt(self, leg: Leg, owed: int) -> Sums:
        rulebook = self.pool.structure.rules
        value = rules.debt_value(owed, leg.price, leg.state.unit, rulebook)
        return Sums(
            total=self.sums.total,
            weighted=self.sums.weighted,
            debt=self.sums.debt - leg.debt_value + value,
        )

    def _is_sufficient(self, leg: Leg, owed: int) -> bool:
        reached = self._replace_debt(leg, owed).health_factor(self.pool.structure.rules)
        return reached >= self.target


def _estimate_units(value: int, price: int, state: ReserveState) -> Guess:
    """Estimate the units of a value, as the start of a search."""
    return Guess(value * state.unit // max(1, price), 2 + 4 * state.unit // max(1, price))


def _sum_position(position: Position) -> Sums:
    legs = position.legs.values()
    return Sums(
        total=sum(leg.collateral_value for leg in legs),
        weighted=sum(leg.collateral_value * leg.threshold for leg in legs),
        debt=sum(leg.debt_value for leg in legs),
    )


def _build_cure(
    kind: CureKind,
    leg: Leg,
    amount: int,
    *,
    clears: bool = False,
    is_new: bool = False,
    stable_rate: bool = False,
) -> Cure:
    return Cure(
        kind=kind,
        token=leg.state.reserve.token,
        symbol=leg.state.reserve.symbol,
        decimals=leg.state.configuration.decimals,
        amount=TokenUnits(amount),
        value=_compute_value_ceil(leg.state, leg.price, amount),
        clears=clears,
        is_new=is_new,
        stable_rate=stable_rate,
    )


def _compute_value_ceil(state: ReserveState, price: BaseCurrency, amount: int) -> BaseCurrency:
    """Return an amount in base currency, rounded up. Prefers the asset's price to an eMode's."""
    return BaseCurrency(mul_div_ceil(amount, state.price or price, state.unit))


def _find_liquidation_prices(position: Position, pool: PoolState) -> Iterator[LiquidationPrice]:
    """Yield the price of each token at which it alone makes the account liquidatable."""
    sums = _sum_position(position)
    for leg in position.legs.values():
        backing = leg.collateral_value * leg.threshold * sums.debt
        owing = leg.debt_value * sums.weighted
        if not sums.debt or leg.price == 0 or backing == owing:
            continue
        price, is_floor = _RepricedLeg(pool, sums, leg), backing > owing
        found = price.when_falling() if is_floor else price.when_rising()
        if found is None:
            continue
        stated = LiquidationPrice(
            token=leg.state.reserve.token,
            symbol=leg.state.reserve.symbol,
            price=found,
            now=leg.price,
            is_floor=is_floor,
            ratio=(found, leg.price),
        )
        if price.turns(stated):
            yield stated


@dataclass(frozen=True)
class _RepricedLeg:
    """One leg of an account at other prices. Everything else is unchanged."""

    pool: PoolState
    sums: Sums
    leg: Leg

    def at(self, price: int) -> Sums:
        """Return the account's totals at another price of this token."""
        leg, rulebook = self.leg, self.pool.structure.rules
        more = mul_div_floor(leg.collateral, price, leg.state.unit) - leg.collateral_value
        owed = rules.debt_value(leg.debt, price, leg.state.unit, rulebook)
        return Sums(
            total=self.sums.total + more,
            weighted=self.sums.weighted + more * leg.threshold,
            debt=self.sums.debt - leg.debt_value + owed,
        )

    def healthy(self, price: int) -> bool:
        """Return whether the account is not liquidatable at a price."""
        return self.at(price).health_factor(self.pool.structure.rules) >= (
            rules.LIQUIDATION_THRESHOLD
        )

    def sick(self, price: int) -> bool:
        """Return whether the account is liquidatable at a price."""
        return not self.healthy(price)

    def turns(self, stated: LiquidationPrice) -> bool:
        """Return whether the account changes sides within a bps of the stated price.

        If a token is collateral and debt in similar amounts, rounding moves health more than its
        price does. If the average threshold is rounded, a fall can make an account healthy again.
        """
        if stated.move is None or self.healthy(self.leg.price) != stated.move.begins:
            return False
        after, before = (
            stated.move.applied(self.leg.price, short=short) for short in (False, True)
        )
        return self.sick(after) == stated.move.begins and self.healthy(before) == stated.move.begins

    def _estimate_price(self) -> Guess:
        """Estimate the price at the liquidation threshold."""
        leg, sums = self.leg, self.sums
        others = sums.weighted - leg.collateral_value * leg.threshold
        per_price = leg.debt * BPS - leg.collateral * leg.threshold
        lacking = others - (sums.debt - leg.debt_value) * BPS
        near = lacking * leg.state.unit // per_price if per_price else leg.price
        return Guess(near, 2)

    def when_falling(self) -> BaseCurrency | None:
        """Return the highest price at or below which it is liquidatable. None if there is none."""
        top = self._find_upper_bound(self.healthy)
        if top is None:
            return None
        guess = self._estimate_price()
        leg, others = self.leg, self.at(0)
        raises_average = leg.threshold * others.total >= others.weighted
        if self.pool.structure.rules.directed_rounding or leg.debt or raises_average:
            found = least(top, self.healthy, guess)
        else:
            found = least_for_good(
                top,
                self.healthy,
                lambda price: (
                    self.at(price).health_factor_at_least() >= rules.LIQUIDATION_THRESHOLD
                ),
                lambda price: self.at(price).average_threshold,
                guess,
            )
        return BaseCurrency(found - 1) if found else None

    def when_rising(self) -> BaseCurrency | None:
        """Return the lowest price from which on it is liquidatable. None if none, or all prices."""
        top = self._find_upper_bound(self.sick)
        found = None if top is None else least(top, self.sick, self._estimate_price())
        return BaseCurrency(found) if found else None

    def _find_upper_bound(self, reached: Test) -> int | None:
        top = max(1, self.leg.price)
        while not reached(top):
            top *= 2
            if top > MOST_UNITS:
                return None
        return top
