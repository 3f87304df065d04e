"""The opportunity of one liquidatable account of a market, over the landing window."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from keeper.domain.account import HEALTH_FACTOR_NO_DEBT
from keeper.domain.decision import SkipReason
from keeper.domain.opportunity import (
    Afterwards,
    ExecutorStep,
    FlashLender,
    LiquidityKey,
    Outcome,
    Refusal,
    Window,
)
from keeper.domain.units import (
    UINT256_MAX,
    WAD,
    Address,
    BaseCurrency,
    Gas,
    MarketKey,
    TokenUnits,
    Wad,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.calls import liquidation_step
from keeper.protocols.morpho_blue.lenders import callback
from keeper.protocols.morpho_blue.model import Market, OraclePrice, Position, Shares, State
from keeper.protocols.morpho_blue.rules import Liquidation

LIQUIDATION_GAS: Final = Gas(170_000)
"""
``liquidate`` on cold slots, interest, fee and the rate model's update included.

At most 156 051 measured for a transaction of it alone, with plain tokens and an oracle of two
feeds; the rest, with the headroom of every limit, is for oracles that read more.
"""

AMOUNT_MARGIN: Final = 10**6
"""A partial amount stays this share (one in ...) below everything."""

LEAST_UNITS: Final = 1_000
"""A partial amount spends and seizes at least so many units, for roundings to be small."""


@dataclass(frozen=True)
class PositionOpportunity:
    """A debtor's position as an ``Opportunity``.

    ``first`` and ``last`` are the market at the window's ends, at the snapshot's price. A debt
    share only grows in between, so that the ends bound everything. There is no close factor, so any
    part may be repaid. A part is given by collateral, which then is exact at any timestamp. The
    whole is given by shares, which leaves no debt, or for an insolvent account by collateral, which
    leaves bad debt to the suppliers.
    """

    morpho: Address
    market_read: Market
    account: Address
    position: Position
    window: Window
    first: State
    last: State
    price: OraclePrice
    loan_price: BaseCurrency
    gas: Gas

    @property
    def market(self) -> MarketKey:
        """The market."""
        return self.market_read.key

    @property
    def spend_token(self) -> Address:
        """The loan token."""
        return self.market_read.params.loan_token

    @property
    def receive_token(self) -> Address:
        """The collateral token."""
        return self.market_read.params.collateral_token

    @property
    def own_funding(self) -> tuple[FlashLender, ...]:
        """The callback. Morpho pays the collateral before it takes the repayment."""
        return (callback(self.morpho, self.spend_token),)

    @cached_property
    def partial(self) -> tuple[TokenUnits, TokenUnits] | None:
        """Smallest and largest partial amount. None if only the whole amount is allowed."""
        low, high = self._least, self._largest
        if low > high or isinstance(self._compute_part(low), Refusal):
            return None
        return (low, high) if isinstance(self._compute_part(high), Outcome) else None

    @cached_property
    def bonus_at_most(self) -> BaseCurrency:
        """The incentive on the largest repayment, plus a few units for rounding."""
        worth = rules.repayment(self.position.collateral, self.price, self.factor)
        repaid = min(worth, rules.assets_up(self.position.borrow_shares, self.last)) + 1
        gain = mul_div_ceil(repaid, self.factor - WAD, WAD) + LEAST_UNITS
        return BaseCurrency(mul_div_ceil(gain, self.loan_price, 10**self.market_read.loan.decimals))

    def outcome(self, amount: TokenUnits) -> Outcome | Refusal:
        """Return the amounts at every timestamp of the window, or the reason for a refusal."""
        if amount <= 0:
            return _build_refusal(SkipReason.DUST, "nothing to repay")
        if amount == UINT256_MAX:
            return self._everything
        if amount > self._largest:
            return _build_refusal(
                SkipReason.UNCERTAIN_THRESHOLD, "more than a part of the position"
            )
        return self._compute_part(amount)

    def step(self, amount: TokenUnits) -> ExecutorStep:
        """Return the executor's step for ``amount``."""
        shares = self.position.borrow_shares if amount == UINT256_MAX and self._clears else 0
        seized = 0 if shares else self._compute_seized(amount)
        return liquidation_step(
            self.morpho,
            self.market_read.params,
            self.account,
            seized=seized,
            repaid_shares=shares,
        )

    def after(self, amount: TokenUnits) -> Afterwards | None:
        """Return the account after ``amount``, in the same block.

        The remaining debt is the smaller number of shares of both ends, since a larger repayment
        reverts.
        """
        done = [self._compute_liquidation(amount, state) for state in (self.first, self.last)]
        if done[0] is None or done[1] is None:
            return None
        debtor, first = rules.after_liquidation(self.position, self.first, done[0])
        later, last = rules.after_liquidation(self.position, self.last, done[1])
        if not debtor.borrow_shares:
            return Afterwards(health_factor=HEALTH_FACTOR_NO_DEBT)
        health = rules.health(debtor, first, self.price, self.market_read.params.lltv)
        if not (health.liquidatable and debtor.collateral and later.collateral):
            return Afterwards(health_factor=health.factor)
        fewest = Shares(min(debtor.borrow_shares, later.borrow_shares))
        left = replace(debtor, borrow_shares=fewest)
        rest = replace(self, position=left, first=first, last=last)
        return Afterwards(health_factor=health.factor, opportunities=(rest,))

    def _compute_liquidation(self, amount: TokenUnits, state: State) -> Liquidation | None:
        """Return the liquidation of ``amount`` at one end of the window. None if it is refused."""
        if amount == UINT256_MAX and self._clears:
            return self._liquidate_by_shares(state)
        return self._liquidate_by_collateral(self._compute_seized(amount), state)

    @cached_property
    def factor(self) -> Wad:
        """Liquidation incentive factor of the market."""
        return rules.incentive(self.market_read.params.lltv)

    @cached_property
    def _clears(self) -> bool:
        """Whether the collateral covers the whole debt until the deadline."""
        done = self._liquidate_by_shares(self.last)
        return done is not None and done.seized > 0

    def _liquidate_by_shares(self, state: State) -> Liquidation | None:
        return rules.by_shares(
            self.position.borrow_shares, self.position, state, self.price, self.factor
        )

    def _liquidate_by_collateral(self, seized: int, state: State) -> Liquidation | None:
        return rules.by_collateral(seized, self.position, state, self.price, self.factor)

    @cached_property
    def _everything(self) -> Outcome | Refusal:
        everything = TokenUnits(UINT256_MAX)
        if not self._clears:
            return self._compute_seizing(self.position.collateral, everything)
        first, last = self._liquidate_by_shares(self.first), self._liquidate_by_shares(self.last)
        if first is None or last is None or first.seized == 0:
            return _build_refusal(SkipReason.DUST, "the debt is not worth a unit of collateral")
        return self._build_amounts(everything, first, last.repaid)

    def _compute_part(self, amount: TokenUnits) -> Outcome | Refusal:
        if min(amount, self._compute_seized(amount)) < 1:
            return _build_refusal(SkipReason.DUST, "too little to seize a single unit")
        return self._compute_seizing(self._compute_seized(amount), amount)

    def _compute_seized(self, amount: int) -> TokenUnits:
        """Return the collateral to seize such that no more than ``amount`` is spent."""
        if amount == UINT256_MAX:
            return self.position.collateral
        return rules.seizure(max(0, amount - self._rounding), self.price, self.factor)

    def _compute_seizing(self, seized: TokenUnits, amount: TokenUnits) -> Outcome | Refusal:
        """Return the amounts of seizing this collateral.

        Its price in debt is highest at the deadline.
        """
        first = self._liquidate_by_collateral(seized, self.first)
        if first is None:
            detail = "the debt may or may not be covered by the collateral"
            return _build_refusal(SkipReason.UNCERTAIN_THRESHOLD, detail)
        most = rules.repayment(seized, self.price, self.factor) + self._rounding
        return self._build_amounts(amount, first, TokenUnits(max(most, first.repaid)))

    def _build_amounts(self, amount: TokenUnits, first: Liquidation, most: TokenUnits) -> Outcome:
        """Return the amounts of ``first``. By shares it seizes more later, otherwise the same."""
        return Outcome(
            amount=amount,
            spend=first.repaid,
            spend_at_most=most,
            receive=first.seized,
            receive_at_least=first.seized,
            drawn=((self._build_key(self.receive_token), first.seized),),
            repaid=((self._build_key(self.spend_token), first.repaid),),
            bad_debt=first.bad_debt,
        )

    @cached_property
    def _rounding(self) -> int:
        """The most that is spent beyond the debt's worth of collateral.

        The debt is rounded up to a share and that up to a unit, which is one share, rounded up.
        """
        return rules.assets_up(1, self.last)

    @cached_property
    def _least(self) -> TokenUnits:
        worth = rules.repayment(LEAST_UNITS, self.price, self.factor)
        return TokenUnits(max(LEAST_UNITS, worth) + self._rounding)

    @cached_property
    def _largest(self) -> TokenUnits:
        """The largest partial amount, within both debt and collateral at either end."""
        by_debt = rules.assets_down(self.position.borrow_shares, self.first)
        by_collateral = mul_div_floor(
            rules.quoted(self.position.collateral, self.price), WAD, self.factor
        )
        largest = min(by_debt, by_collateral)
        return TokenUnits(largest - largest // AMOUNT_MARGIN - self._rounding)

    def _build_key(self, token: Address) -> LiquidityKey:
        return LiquidityKey(holder=self.morpho, token=token)


def _build_refusal(reason: SkipReason, detail: str) -> Refusal:
    return Refusal(reason=reason, detail=detail)
