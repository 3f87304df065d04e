"""Pairs of debt and collateral of a liquidatable account, and reasons for refused ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from keeper.domain.decision import SkipReason
from keeper.domain.opportunity import Afterwards, Opportunity, Refusal, Window
from keeper.domain.units import USD_E8, Address, BaseCurrency, Gas
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.afterwards import account_after, pool_after
from keeper.protocols.aave_v3.model import Account, PoolState
from keeper.protocols.aave_v3.opportunity import PairOpportunity
from keeper.protocols.aave_v3.position import Clock, Leg, Position, Unpriced, Unread
from keeper.protocols.aave_v3.rulebook import Rules
from keeper.protocols.aave_v3.rules import Liquidation

LIQUIDATION_GAS: Final = Gas(390_000)
"""``liquidationCall`` with one collateral and one debt, from 3.5: a few percent above the most
measured on 3.6 for a transaction of it alone."""

OLD_LIQUIDATION_GAS: Final = Gas(480_000)
"""The same up to 3.4 (likewise on 3.0, stable debt included)."""

GAS_PER_FURTHER_LEG: Final = Gas(40_000)
"""Each further reserve that the account uses, valued or its bad debt written off (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unhealthy:
    """
    A liquidatable account.

    ``ends`` are its positions at the ends of the window, ``clocks`` the clocks they follow.
    """

    pool: PoolState
    clock: Clock
    clocks: tuple[Clock, Clock]
    account: Address
    kept: Account
    window: Window
    ends: tuple[Position, Position]

    def pairs(self) -> tuple[Sequence[Opportunity], Sequence[Refusal]]:
        """Return the pairs that can be liquidated within the window, and the refused ones."""
        refusal = self._find_refusal()
        if refusal is not None:
            return (), (refusal,)
        found, refusals = list[Opportunity](), list[Refusal]()
        legs = self.ends[0].legs
        debts = [at for at, leg in legs.items() if leg.debt]
        backing = [at for at in legs if self.kept.is_collateral(at)]
        for debt in debts:
            for collateral in backing:
                refusal = _find_pair_refusal(legs[debt], legs[collateral], self.window)
                made = refusal or self._build_pair(debt, collateral)
                if isinstance(made, Refusal):
                    refusals.append(made)
                else:
                    found.append(made)
        return tuple(found), tuple(refusals)

    def _find_refusal(self) -> Refusal | None:
        position = self.ends[0]
        health = position.data.health_factor
        if health >= rules.LIQUIDATION_THRESHOLD:
            return _build_refusal(SkipReason.NO_LONGER_LIQUIDATABLE, f"health factor {health}")
        if not any(leg.collateral for leg in position.legs.values()):
            return _build_refusal(SkipReason.NO_COLLATERAL, "nothing is left to seize")
        if not self.pool.liquidations_allowed and health >= rules.CLOSE_FACTOR_THRESHOLD:
            return _build_refusal(
                SkipReason.SENTINEL, "the price oracle sentinel forbids liquidations"
            )
        return None

    def _build_pair(self, debt: int, collateral: int) -> PairOpportunity | Refusal:
        first, last = (self.clock.pair(self.kept, end, debt, collateral) for end in self.ends)
        owed, backing = self.pool.reserves[debt], self.pool.reserves[collateral]
        if min(first.debt_price, first.collateral_price) == 0:
            symbols = f"{owed.reserve.symbol} / {backing.reserve.symbol}"
            return _build_refusal(SkipReason.PRICE_UNAVAILABLE, f"{symbols}: a price is zero")
        if first.bonus == 0:
            symbols = f"{owed.reserve.symbol} / {backing.reserve.symbol}"
            return _build_refusal(
                SkipReason.NOT_COLLATERAL, f"{symbols}: no liquidation bonus is set"
            )
        structure = self.pool.structure
        pair = PairOpportunity(
            market=structure.key,
            account=self.account,
            pool=structure.pool,
            rules=structure.rules,
            debt=owed.reserve,
            collateral=backing.reserve,
            window=self.window,
            first=first,
            last=last,
            payable=backing.available,
            gas=gas_of(len(self.ends[0].legs), structure.rules),
            continued=partial(self._compute_account_after, (debt, collateral)),
        )
        return pair if backing.available else _refuse_lent_out(pair, structure.base_unit)

    def _compute_account_after(
        self, legs: tuple[int, int], first: Liquidation, last: Liquidation
    ) -> Afterwards | None:
        """Return the account after a pair's liquidation, from its amounts at the window's ends."""
        kept = account_after(self.kept, self.ends[0], self.clocks[0], legs, first)
        try:
            position = self.clocks[0].position(kept)
            health = position.data.health_factor
            if health >= rules.LIQUIDATION_THRESHOLD:
                return Afterwards(health_factor=health)
            later = account_after(self.kept, self.ends[1], self.clocks[1], legs, last)
            ends = position, self.clocks[1].position(later)
        except (Unpriced, Unread):
            return None
        pool = pool_after(self.pool, legs, first)
        left = replace(self, pool=pool, kept=kept, ends=ends)
        return Afterwards(health_factor=health, opportunities=left.pairs()[0])


def _find_pair_refusal(debt: Leg, collateral: Leg, window: Window) -> Refusal | None:
    """Return the reason against a pair. Source: ``ValidationLogic.validateLiquidationCall``."""
    for leg in (collateral, debt):
        refusal = _find_reserve_refusal(leg, window)
        if refusal is not None:
            return refusal
    symbol = collateral.state.reserve.symbol
    if collateral.collateral == 0:
        return _build_refusal(SkipReason.NOT_COLLATERAL, f"{symbol} backs nothing")
    if debt.state.reserve.foreign_debt_token:
        detail = f"the debt token of {debt.state.reserve.symbol} is not Aave's own"
        return _build_refusal(SkipReason.UNSUPPORTED_REVISION, detail)
    return None


def _refuse_lent_out(pair: PairOpportunity, base_unit: BaseCurrency) -> Refusal:
    """Refuse a pair with collateral that is entirely lent out, and state the missed bonus."""
    missed = pair.bonus_at_most * 100 // base_unit
    word = "USD" if base_unit == USD_E8 else "of the base currency"
    detail = (
        f"the pool holds no {pair.collateral.symbol}, all of it is lent out: "
        f"a bonus of {missed // 100}.{missed % 100:02} {word} is missed"
    )
    return _build_refusal(SkipReason.RESERVE_ILLIQUID, detail)


def _find_reserve_refusal(leg: Leg, window: Window) -> Refusal | None:
    symbol, configuration = leg.state.reserve.symbol, leg.state.configuration
    if not configuration.active:
        return _build_refusal(SkipReason.RESERVE_INACTIVE, f"{symbol} is inactive")
    if configuration.paused:
        return _build_refusal(SkipReason.RESERVE_PAUSED, f"{symbol} is paused")
    if leg.state.grace_until >= window.earliest:
        return _build_refusal(SkipReason.GRACE_PERIOD, f"{symbol}: until {leg.state.grace_until}")
    return None


def gas_of(legs: int, rulebook: Rules) -> Gas:
    """Return an upper bound of the gas to liquidate an account with this number of legs."""
    base = LIQUIDATION_GAS if rulebook.directed_rounding else OLD_LIQUIDATION_GAS
    return Gas(base + GAS_PER_FURTHER_LEG * max(0, legs - 2))


def _build_refusal(reason: SkipReason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail)
