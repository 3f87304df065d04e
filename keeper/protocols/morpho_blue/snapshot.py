"""One market at one block, with all accounts exact and their opportunities."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

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
    UINT256_MAX,
    Address,
    BaseCurrency,
    MarketKey,
    Timestamp,
    TokenUnits,
    Wad,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.domain.value import TokenPrice
from keeper.protocols.morpho_blue import facts, parity, rules, screen
from keeper.protocols.morpho_blue.accounts import decoded
from keeper.protocols.morpho_blue.advice import Case, advised
from keeper.protocols.morpho_blue.calls import cure_step, place_of
from keeper.protocols.morpho_blue.clearing import cleared
from keeper.protocols.morpho_blue.exposure import exposure_of
from keeper.protocols.morpho_blue.lenders import flash_loan
from keeper.protocols.morpho_blue.model import Irm, Market, OraclePrice, Position, State, Token
from keeper.protocols.morpho_blue.opportunity import LIQUIDATION_GAS, PositionOpportunity
from keeper.protocols.morpho_blue.reader import USD_UNIT
from keeper.protocols.morpho_blue.rules import Health
from keeper.protocols.morpho_blue.tabulated import tabulated
from keeper.risk.screen import Screen, ordered
from keeper.risk.table import NO_LEGS, Tabulated
from keeper.risk.tiers import Thresholds, Tier

TOO_MUCH: Final = "the collateral at this price is more than the contract can count"


@dataclass(frozen=True)
class MorphoSnapshot:
    """An isolated market at one block, as a ``MarketSnapshot``.

    ``state`` is as stored, ``price`` the oracle's answer (None if it fails), ``usd`` the dollar
    price of every token with a feed, ``held`` Morpho's balances of the market's tokens. ``view``
    has the positions of accounts that ever borrowed here, ``notes`` are warnings that concern the
    whole deployment.
    """

    head: Head
    morpho: Address
    read: Market
    state: State
    price: OraclePrice | None
    usd: Mapping[Address, BaseCurrency]
    tokens: Mapping[Address, Token]
    held: Mapping[Address, TokenUnits]
    view: View
    notes: tuple[str, ...] = ()

    @cached_property
    def positions(self) -> Accounts[Position]:
        """Every account that ever borrowed here, decoded from the columns on access."""
        return Accounts(self.view, decoded)

    @property
    def market(self) -> MarketKey:
        """The market key with protocol, deployment and market id."""
        return self.read.key

    @property
    def base_unit(self) -> BaseCurrency:
        """One US dollar."""
        return USD_UNIT

    @cached_property
    def prices(self) -> Mapping[Address, TokenPrice]:
        """Prices by feed, else by the oracle. Empty if the loan token has no price."""
        if self._loan_price is None:
            return {}
        found = dict(self.usd)
        collateral = self.read.collateral
        if collateral.address not in found and self.price is not None:
            worth = self._to_base_floor(10**collateral.decimals)
            if worth:
                found[collateral.address] = worth
        return {
            token: TokenPrice(
                token=token,
                symbol=self.tokens[token].symbol,
                decimals=self.tokens[token].decimals,
                price=price,
            )
            for token, price in found.items()
        }

    @cached_property
    def liquidity(self) -> Mapping[LiquidityKey, TokenUnits]:
        """Morpho's whole balances of the market's tokens."""
        return {
            LiquidityKey(holder=self.morpho, token=token): held for token, held in self.held.items()
        }

    @cached_property
    def warnings(self) -> Sequence[str]:
        """The market's problems, one line each."""
        found = [*self.notes]
        if self._trouble:
            found.append(f"{self.read.name}: {self._trouble}")
        if self._loan_price is None:
            found.append(facts.unpriced(self.read))
        return tuple(found)

    def readings(self) -> Sequence[Reading]:
        """Return both prices, in dollars if the loan token has a price, else in loan tokens."""
        return facts.readings(self.read, self.price, self._loan_price or USD_UNIT)

    def facts(self) -> Sequence[Fact]:
        """Return the market's terms, and the reason if it cannot be valued."""
        return facts.facts(self.read, self.state, self._trouble)

    @cached_property
    def _trouble(self) -> str:
        return facts.trouble(self.read, self.price)

    @cached_property
    def _now(self) -> State:
        return rules.accrued(self.state, self.read.irm, self.head.timestamp)

    @cached_property
    def _states(self) -> dict[Timestamp, State]:
        return {}

    def _get_state(self, moment: Timestamp) -> State:
        """Return the market accrued to a timestamp, computed once for all accounts."""
        if moment not in self._states:
            self._states[moment] = rules.accrued(self.state, self.read.irm, moment)
        return self._states[moment]

    @property
    def _loan_price(self) -> BaseCurrency | None:
        return self.usd.get(self.read.params.loan_token)

    def _to_base_floor(self, collateral: int) -> BaseCurrency:
        """Return collateral in base currency by oracle and feed, rounded down once.

        0 if unpriced.
        """
        per_loan = self._loan_price or 0
        scale = rules.ORACLE_PRICE_SCALE * 10**self.read.loan.decimals
        return BaseCurrency(mul_div_floor(collateral * (self.price or 0), per_loan, scale))

    def _to_debt_base_ceil(self, assets: int) -> BaseCurrency:
        """Return loan units in base currency, rounded up. 0 if the loan token has no price."""
        return BaseCurrency(
            mul_div_ceil(assets, self._loan_price or 0, 10**self.read.loan.decimals)
        )

    @cached_property
    def screen(self) -> Screen:
        """The screening pass over all accounts at this block, computed on first access."""
        price, lltv = None if self._trouble else self.price, self.read.params.lltv
        factors, unpriced = screen.factors(self._now, price, lltv, self.view.columns.codes)
        return Screen(view=self.view, factors=factors, unpriced=unpriced, exact=self._value_rows)

    def _value_rows(self, rows: Rows) -> Iterator[AccountHealth]:
        for part, block in self.view.blocks(rows):
            kept = decoded(block, self.view.columns.codes)
            yield from map(self._build_health, Listed(self.view, part), kept)

    def tabulated(self) -> Tabulated:
        """Return all accounts with debt as columns, for what-if questions about prices."""
        if self._trouble or self.price is None:
            return Tabulated(legs=NO_LEGS, unvalued=self.screen.debtors)
        return tabulated(self.view, self.read, self._now, self.price, self._loan_price)

    @cached_property
    def _healths(self) -> tuple[AccountHealth, ...]:
        return ordered(self._value_rows(np.flatnonzero(self.view.owes())))

    def accounts(self) -> Sequence[AccountHealth]:
        """Return the health of every account with debt, exact, unpriced first, then worst first."""
        return self._healths

    def liquidatable(self) -> Sequence[AccountHealth]:
        """Return the liquidatable accounts without valuing those far from the threshold."""
        return self.screen.liquidatable

    def below(self, health_factor: Wad) -> Sequence[AccountHealth]:
        """Return accounts with a lower health factor, and liquidatable or unpriced ones."""
        return self.screen.below(health_factor)

    def tiers(self, thresholds: Thresholds) -> Mapping[Tier, int]:
        """Return the number of accounts in each tier, without valuing all of them."""
        return self.screen.tiers(thresholds)

    def account(self, account: Address) -> AccountHealth | None:
        """Return one account's health. None if it has no debt, or never borrowed here."""
        position = self.positions.get(account)
        if position is None or position.borrow_shares == 0:
            return None
        return self._build_health(account, position)

    def _build_health(self, account: Address, position: Position) -> AccountHealth:
        health = self._compute_health(position, self._now)
        unpriced = (self._trouble or TOO_MUCH) if health is None else ""
        pledged = BaseCurrency(0) if health is None else self._to_base_floor(position.collateral)
        owed = BaseCurrency(0) if health is None else self._to_debt_base_ceil(health.borrowed)
        return AccountHealth(
            market=self.market,
            account=account,
            health_factor=Wad(0) if health is None else health.factor,
            collateral_base=pledged,
            debt_base=owed,
            liquidatable=health is not None and health.liquidatable,
            unpriced=unpriced,
        )

    def _compute_health(self, position: Position, state: State) -> Health | None:
        """Return a debtor's health. None if the contract itself could not compute it."""
        if self._trouble or self.price is None or not self._is_countable(position):
            return None
        return rules.health(position, state, self.price, self.read.params.lltv)

    def balances(self, account: Address) -> tuple[tuple[Balance, ...], tuple[Balance, ...]]:
        """Return the account's collateral and its debt. Values are zero if unpriced."""
        position = self.positions.get(account)
        if position is None or self.read.irm is Irm.UNKNOWN:
            return (), ()
        owed, pledged = rules.assets_up(position.borrow_shares, self._now), position.collateral
        collateral = _build_balance(self.read.collateral, pledged, self._to_base_floor(pledged))
        debt = _build_balance(self.read.loan, owed, self._to_debt_base_ceil(owed))
        return (collateral,) if pledged else (), (debt,) if owed else ()

    def everyone(self) -> Sequence[Address]:
        """Return every account that ever borrowed here."""
        return self.positions.everyone

    def is_auditable(self, account: Address) -> bool:
        """Return whether the account is known and the market can be valued."""
        position = self.positions.get(account)
        return position is not None and not self._trouble and self._is_countable(position)

    def audit_calls(self, account: Address) -> Sequence[Call]:
        """Return the calls for the contract's totals, position and verdict, interest accrued."""
        return parity.position_calls(self.morpho, self.read, account)

    def audited(
        self, account: Address, results: Sequence[CallResult]
    ) -> Sequence[Difference] | None:
        """Return the differences from the contract. None if ours is unpriced."""
        if not self.is_auditable(account):
            return None
        health = self.account(account)
        ours = parity.Ours(
            market=self.read,
            state=self.state,
            position=self.positions[account],
            liquidatable=health is not None and health.liquidatable,
        )
        return parity.differences(ours, account, results)

    def exposure(self, account: Address) -> Exposure | None:
        """Return collateral and debt in loan units by the oracle. None if it is unpriced."""
        position = self.positions.get(account)
        return None if position is None else self._compute_position_exposure(position)

    def exposures(self, accounts: Sequence[Address]) -> Iterator[tuple[Address, Exposure]]:
        """Yield the exposure of each account that is valued."""
        for account, position in self.positions.some(accounts):
            found = self._compute_position_exposure(position)
            if found is not None:
                yield account, found

    def _compute_position_exposure(self, position: Position) -> Exposure | None:
        health = self._compute_health(position, self._now)
        if health is None or self.price is None:
            return None
        worth = rules.quoted(position.collateral, self.price)
        return exposure_of(self.read, worth, health.borrowed, self._loan_price)

    def advice(self, account: Address, target: Wad, holds_until: Timestamp) -> Advice | None:
        """Return the cures of an account. A time before the block counts as the block's."""
        position = self.positions.get(account)
        if position is None or position.borrow_shares == 0:
            return None
        found = self._advise(position, target, Timestamp(max(holds_until, self.head.timestamp)))
        return replace(found, block_number=self.head.number, timestamp=self.head.timestamp)

    def _advise(self, position: Position, target: Wad, moment: Timestamp) -> Advice:
        if self._trouble or self.price is None or not self._is_countable(position):
            why = f"the account cannot be valued: {self._trouble or TOO_MUCH}"
            return Advice(target=target, holds_until=moment, impossible=(why,))
        case = Case(
            market=self.read,
            position=position,
            now=self._now,
            then=replace(self._get_state(moment), last_update=moment),
            price=self.price,
            collateral_price=self._to_base_floor(10**self.read.collateral.decimals),
            loan_price=self._loan_price or BaseCurrency(0),
        )
        return advised(case, target)

    def cure_step(self, account: Address, cure: Cure) -> CureStep:
        """Return a cure as a call of the vault."""
        return cure_step(self.morpho, self.read.params, account, cure)

    @property
    def clear_place(self) -> bytes:
        """The market as an entry of the vault's list."""
        return place_of(self.morpho, self.read.params)

    @property
    def loss_unit(self) -> tuple[str, int]:
        """The loan token's symbol and decimals, in which the vault counts a loss."""
        return self.read.loan.symbol, self.read.loan.decimals

    def clear_step(self, account: Address) -> ClearStep | None:
        """Return an account's clearing as a call of the vault. None without a dollar price."""
        position = self.positions.get(account)
        if position is None:
            return None
        prices = (self.price, self._loan_price)
        return cleared(self.morpho, self.read, (account, position), self._now, prices)

    def _is_countable(self, position: Position) -> bool:
        """Return whether the contract can represent the collateral's value at this price."""
        return position.collateral * (self.price or 0) <= UINT256_MAX

    def opportunities(
        self, account: Address, window: Window
    ) -> tuple[Sequence[Opportunity], Sequence[Refusal]]:
        """Return the account's liquidation within ``window``, or the reason for none."""
        position = self.positions.get(account)
        if position is None or position.borrow_shares == 0:
            return (), (
                _refuse(SkipReason.NO_LONGER_LIQUIDATABLE, "the account owes nothing here"),
            )
        if self.read.irm is Irm.UNKNOWN:
            return (), (_refuse(SkipReason.UNSUPPORTED_REVISION, self._trouble),)
        first, last = self._get_state(window.earliest), self._get_state(window.deadline)
        health = self._compute_health(position, first)
        if health is None or self.price is None:
            detail = self._trouble or "the contract cannot count the collateral at this price"
            return (), (_refuse(SkipReason.PRICE_UNAVAILABLE, detail),)
        if not health.liquidatable:
            detail = f"owes {health.borrowed} of at most {health.most}"
            return (), (_refuse(SkipReason.NO_LONGER_LIQUIDATABLE, detail),)
        if position.collateral == 0:
            return (), (_refuse(SkipReason.NO_COLLATERAL, "nothing is left to seize"),)
        found = PositionOpportunity(
            morpho=self.morpho,
            market_read=self.read,
            account=account,
            position=position,
            window=window,
            first=first,
            last=last,
            price=self.price,
            loan_price=self._loan_price or BaseCurrency(0),
            gas=LIQUIDATION_GAS,
        )
        return (found,), ()

    def flash_lenders(self, token: Address) -> tuple[Sequence[FlashLender], Sequence[Refusal]]:
        """Return Morpho's flash loan of ``token``, or the reason for none."""
        held = self.held.get(token, 0)
        if not held:
            return (), (_refuse(SkipReason.NO_FUNDING, f"Morpho holds no {token}"),)
        return (flash_loan(self.morpho, token, TokenUnits(held)),), ()


def _build_balance(token: Token, amount: TokenUnits, value: BaseCurrency) -> Balance:
    return Balance(
        token=token.address,
        symbol=token.symbol,
        decimals=token.decimals,
        amount=amount,
        value=value,
    )


def _refuse(reason: SkipReason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail)
