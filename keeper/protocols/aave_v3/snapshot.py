"""One market at one block, with all accounts exact and their opportunities."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from keeper.chain.listed import Accounts, Listed
from keeper.columns.view import View
from keeper.columns.words import Rows
from keeper.domain.account import AccountHealth, Balance
from keeper.domain.advice import Advice, Cure
from keeper.domain.cure import ClearStep, CureStep
from keeper.domain.decision import SkipReason
from keeper.domain.exposure import Exposure
from keeper.domain.facts import Fact
from keeper.domain.head import Head
from keeper.domain.opportunity import FlashLender, LiquidityKey, Opportunity, Refusal, Window
from keeper.domain.oracle import Reading
from keeper.domain.parity import Difference
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import (
    USD_E8,
    Address,
    BaseCurrency,
    Gas,
    MarketKey,
    Timestamp,
    TokenUnits,
    Wad,
)
from keeper.domain.value import TokenPrice
from keeper.protocols.aave_v3 import parity, rules, screen
from keeper.protocols.aave_v3.accounts import borrowers, decoded
from keeper.protocols.aave_v3.advice import advised
from keeper.protocols.aave_v3.bounds import BonusBound, bonus_bound
from keeper.protocols.aave_v3.calls import clear_step, cure_step, place_of
from keeper.protocols.aave_v3.exposure import exposure_of
from keeper.protocols.aave_v3.facts import facts, readings
from keeper.protocols.aave_v3.lenders import flash_lender
from keeper.protocols.aave_v3.model import Account, PoolState, PriceSource
from keeper.protocols.aave_v3.pairs import Unhealthy, gas_of
from keeper.protocols.aave_v3.position import Clock, Leg, Position, Unpriced, Unread
from keeper.protocols.aave_v3.rules import AccountData
from keeper.protocols.aave_v3.tabulated import tabulated
from keeper.protocols.aave_v3.totals import Totals
from keeper.risk.screen import Screen, ordered
from keeper.risk.table import Tabulated
from keeper.risk.tiers import Thresholds, Tier


@dataclass(frozen=True)
class AaveSnapshot:
    """An Aave v3 market at one block, as a ``MarketSnapshot``.

    ``pool`` holds the contracts' data without the accounts, which are in ``view``.
    """

    head: Head
    pool: PoolState
    view: View
    warnings: Sequence[str]

    @cached_property
    def borrowers(self) -> Accounts[Account]:
        """Every account that ever borrowed, decoded from the columns on access."""
        return borrowers(self.view)

    def kept(self, account: Address) -> Account | None:
        """Return one account as the contracts store it. None if it never borrowed."""
        return self.borrowers.get(account)

    @property
    def market(self) -> MarketKey:
        """The market."""
        return self.pool.structure.key

    @property
    def base_unit(self) -> BaseCurrency:
        """One whole unit of the oracle's base currency."""
        return self.pool.structure.base_unit

    @cached_property
    def prices(self) -> Mapping[Address, TokenPrice]:
        """The oracle's prices by token. Tokens with a failing source are missing."""
        return {
            state.reserve.token: TokenPrice(
                token=state.reserve.token,
                symbol=state.reserve.symbol,
                decimals=state.configuration.decimals,
                price=state.price,
            )
            for state in self.pool.reserves.values()
            if state.price is not None
        }

    @cached_property
    def price_sources(self) -> Mapping[Address, PriceSource]:
        """The price source of each token, unwrapped as far as known."""
        return {r.token: r.price_source for r in self.pool.structure.reserves}

    def readings(self) -> Sequence[Reading]:
        """Return each reserve's price with its feed's statements."""
        return readings(self.pool)

    def facts(self) -> Sequence[Fact]:
        """Return facts about the pool's rules and prices for the operator."""
        return facts(self.pool, self.head.timestamp)

    @cached_property
    def liquidity(self) -> Mapping[LiquidityKey, TokenUnits]:
        """The amount that each reserve can pay out."""
        return {
            LiquidityKey(holder=state.reserve.a_token, token=state.reserve.token): state.available
            for state in self.pool.reserves.values()
        }

    @cached_property
    def clock(self) -> Clock:
        """The pool projected to this block's timestamp."""
        return Clock(self.pool, self.head.timestamp)

    @cached_property
    def _clocks(self) -> dict[Timestamp, Clock]:
        return {}

    def _get_projection(self, moment: Timestamp) -> Clock:
        """Return the pool projected to a timestamp, computed once for all accounts."""
        if moment not in self._clocks:
            self._clocks[moment] = Clock(self.pool, moment)
        return self._clocks[moment]

    @cached_property
    def screen(self) -> Screen:
        """The screening pass over all accounts at this block, computed on first access."""
        factors, unpriced = screen.factors(self.clock, self.view.columns.codes)
        return Screen(view=self.view, factors=factors, unpriced=unpriced, exact=self._value_rows)

    def _value_rows(self, rows: Rows) -> Iterator[AccountHealth]:
        codes = self.view.columns.codes
        totals = Totals(self.clock, codes)
        for part, block in self.view.blocks(rows):
            names = Listed(self.view, part)
            for at, (account, data) in enumerate(zip(names, totals.of_block(block), strict=True)):
                if data is None:
                    yield self._compute_health(
                        account, decoded(block.taken(np.array([at])), codes)[0]
                    )
                else:
                    yield self._build_health(account, data)

    def tabulated(self) -> Tabulated:
        """Return all accounts with debt as columns, for what-if questions about prices."""
        return tabulated(self.view, self.clock)

    @cached_property
    def _healths(self) -> tuple[AccountHealth, ...]:
        return ordered(self._value_rows(np.flatnonzero(self.view.owes())))

    def liquidatable(self) -> Sequence[AccountHealth]:
        """Return the liquidatable accounts without valuing those far from the threshold."""
        return self.screen.liquidatable

    def below(self, health_factor: Wad) -> Sequence[AccountHealth]:
        """Return accounts with a lower health factor, and liquidatable or unpriced ones."""
        return self.screen.below(health_factor)

    def tiers(self, thresholds: Thresholds) -> Mapping[Tier, int]:
        """Return the number of accounts in each tier, without valuing all of them."""
        return self.screen.tiers(thresholds)

    def accounts(self) -> Sequence[AccountHealth]:
        """Return the health of every account with debt, exact, unpriced first, then worst first."""
        return self._healths

    def account(self, account: Address) -> AccountHealth | None:
        """Return one account's health. None if it has no debt, or never borrowed."""
        kept = self.kept(account)
        return None if kept is None or not kept.owes else self._compute_health(account, kept)

    def _compute_health(self, account: Address, kept: Account) -> AccountHealth:
        try:
            return self._build_health(account, self.clock.position(kept).data)
        except (Unpriced, Unread) as reason:
            return self._build_unpriced(account, str(reason))

    def _build_health(self, account: Address, data: AccountData) -> AccountHealth:
        return AccountHealth(
            market=self.market,
            account=account,
            health_factor=data.health_factor,
            collateral_base=data.collateral,
            debt_base=data.debt,
            liquidatable=data.health_factor < rules.LIQUIDATION_THRESHOLD,
        )

    def _build_unpriced(self, account: Address, reason: str) -> AccountHealth:
        return AccountHealth(
            market=self.market,
            account=account,
            health_factor=Wad(0),
            collateral_base=BaseCurrency(0),
            debt_base=BaseCurrency(0),
            liquidatable=False,
            unpriced=reason,
        )

    def balances(self, account: Address) -> tuple[tuple[Balance, ...], tuple[Balance, ...]]:
        """Return the account's collateral and its debts. Empty if it is unpriced."""
        kept = self.kept(account)
        if kept is None:
            return (), ()
        try:
            legs = self.clock.position(kept).legs.values()
        except (Unpriced, Unread):
            return (), ()
        collateral = (_build_balance(leg, leg.collateral, leg.collateral_value) for leg in legs)
        debts = (_build_balance(leg, leg.debt, leg.debt_value) for leg in legs)
        return (
            tuple(balance for balance in collateral if balance.amount),
            tuple(balance for balance in debts if balance.amount),
        )

    def everyone(self) -> Sequence[Address]:
        """Return every account that ever borrowed."""
        return self.borrowers.everyone

    def is_auditable(self, account: Address) -> bool:
        """Return whether the account is known and valued at this block."""
        return self._compute_position(account) is not None

    def audit_calls(self, account: Address) -> Sequence[Call]:
        """Return the pool's own ``getUserAccountData``."""
        return parity.account_data_calls(self.pool.structure.pool, account)

    def audited(
        self, account: Address, results: Sequence[CallResult]
    ) -> Sequence[Difference] | None:
        """Return the differences from ``getUserAccountData``. None if ours is unpriced."""
        position = self._compute_position(account)
        if position is None:
            return None
        return parity.differences(self.market, account, position.data, results)

    def exposure(self, account: Address) -> Exposure | None:
        """Return the account's legs with thresholds and bonuses. None if it is unpriced."""
        position = self._compute_position(account)
        return None if position is None else exposure_of(position)

    def exposures(self, accounts: Sequence[Address]) -> Iterator[tuple[Address, Exposure]]:
        """Yield the legs of each account that is valued."""
        for account, kept in self.borrowers.some(accounts):
            try:
                yield account, exposure_of(self.clock.position(kept))
            except (Unpriced, Unread):
                continue

    def advice(self, account: Address, target: Wad, holds_until: Timestamp) -> Advice | None:
        """Return the cures of an account. A time before the block counts as the block's."""
        kept = self.kept(account)
        if kept is None or not kept.owes:
            return None
        found = self._compute_advice_at(
            kept, target, Timestamp(max(holds_until, self.head.timestamp))
        )
        return replace(found, block_number=self.head.number, timestamp=self.head.timestamp)

    def _compute_advice_at(self, kept: Account, target: Wad, moment: Timestamp) -> Advice:
        if not self.pool.structure.supported:
            why = f"pool revision {self.pool.structure.revision} is observed only"
        else:
            try:
                return advised(kept, self.clock, self._get_projection(moment), target)
            except (Unpriced, Unread) as reason:
                why = f"the account cannot be valued: {reason}"
        return Advice(target=target, holds_until=moment, impossible=(why,))

    def cure_step(self, account: Address, cure: Cure) -> CureStep:
        """Return a cure as a call of the vault."""
        return cure_step(self.pool.structure.pool, account, cure)

    @property
    def clear_place(self) -> bytes:
        """The pool as an entry of the vault's list."""
        return place_of(self.pool.structure.pool)

    @property
    def loss_unit(self) -> tuple[str, int]:
        """The name of the unit in which the vault counts a loss, and its decimals.

        It is the oracle's base currency, usually US dollars.
        """
        word = "USD" if self.base_unit == USD_E8 else "of the base currency"
        return word, len(str(self.base_unit)) - 1

    def clear_step(self, account: Address) -> ClearStep:
        """Return an account's clearing as a call of the vault."""
        return clear_step(self.pool.structure.pool, account)

    def _compute_position(self, account: Address) -> Position | None:
        kept = self.kept(account)
        try:
            return None if kept is None else self.clock.position(kept)
        except (Unpriced, Unread):
            return None

    def flash_lenders(self, token: Address) -> tuple[Sequence[FlashLender], Sequence[Refusal]]:
        """Return the pool's flash loan of ``token``, or the reason for none."""
        lender = flash_lender(self.pool, token)
        return ((), (lender,)) if isinstance(lender, Refusal) else ((lender,), ())

    def bonus_at_most(
        self, health: AccountHealth, window: Window
    ) -> tuple[BaseCurrency, Gas] | None:
        """Return a bound from the account's debt, and the gas of the simplest account."""
        if not self.pool.structure.supported:
            return None
        until = window.deadline
        if until not in self._bounds:
            self._bounds[until] = bonus_bound(self.clock, self._get_projection(until))
        bound = self._bounds[until]
        if bound is None:
            return None
        return bound.of(health.debt_base), gas_of(0, self.pool.structure.rules)

    @cached_property
    def _bounds(self) -> dict[Timestamp, BonusBound | None]:
        return {}

    def opportunities(
        self, account: Address, window: Window
    ) -> tuple[Sequence[Opportunity], Sequence[Refusal]]:
        """Return the pairs that can be liquidated within ``window``, and the refused ones."""
        kept = self.kept(account)
        if kept is None:
            return (), (
                _build_refusal(SkipReason.NO_LONGER_LIQUIDATABLE, "the market does not know it"),
            )
        if not self.pool.structure.supported:
            revision = self.pool.structure.revision
            detail = f"pool revision {revision} is observed only"
            return (), (_build_refusal(SkipReason.UNSUPPORTED_REVISION, detail),)
        try:
            clocks = self._get_projection(window.earliest), self._get_projection(window.deadline)
            ends = clocks[0].position(kept), clocks[1].position(kept)
        except (Unpriced, Unread) as reason:
            return (), (_build_refusal(SkipReason.PRICE_UNAVAILABLE, str(reason)),)
        borrower = Unhealthy(
            pool=self.pool,
            clock=self.clock,
            clocks=clocks,
            account=account,
            kept=kept,
            window=window,
            ends=ends,
        )
        return borrower.pairs()


def _build_balance(leg: Leg, amount: TokenUnits, value: BaseCurrency) -> Balance:
    return Balance(
        token=leg.state.reserve.token,
        symbol=leg.state.reserve.symbol,
        decimals=leg.state.configuration.decimals,
        amount=amount,
        value=value,
    )


def _build_refusal(reason: SkipReason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail)
