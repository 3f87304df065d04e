"""One pair of a liquidatable account. Amounts of any repayment over the landing window."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

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
    BPS,
    UINT256_MAX,
    Address,
    BaseCurrency,
    Gas,
    MarketKey,
    TokenUnits,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.calls import liquidation_step
from keeper.protocols.aave_v3.model import Reserve
from keeper.protocols.aave_v3.rulebook import Rules
from keeper.protocols.aave_v3.rules import Close, Liquidation, Pair

HEALTH_MARGIN: Final = 10**10
"""How far (wad) the health factor keeps from 1 and from 0.95 over the window."""

VALUE_MARGIN: Final = 10**6
"""How far (base currency) values keep from the pool's thresholds: a hundredth of a dollar."""

AMOUNT_MARGIN: Final = 10**6
"""A partial amount stays this share (one in ...) below what the pool would cut it to."""

PREMIUM_MARGIN: Final = 10_000
"""One in so many units of collateral that flash loans before this plan may have added."""

LEAST_UNITS: Final = 1_000
"""A partial amount spends and seizes at least so many units, for roundings to be small."""


@dataclass(frozen=True)
class PairOpportunity:
    """A pair of debt and collateral as an ``Opportunity``.

    ``first`` and ``last`` are the pair at the window's ends, at the snapshot's prices. Between them
    interest moves every figure in one direction, so that the ends bound it. ``continued`` returns
    the account after a call from its liquidations at both ends.
    """

    market: MarketKey
    account: Address
    pool: Address
    rules: Rules
    debt: Reserve
    collateral: Reserve
    window: Window
    first: Pair
    last: Pair
    payable: TokenUnits
    gas: Gas
    continued: Callable[[Liquidation, Liquidation], Afterwards | None] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def spend_token(self) -> Address:
        """The debt token."""
        return self.debt.token

    @property
    def receive_token(self) -> Address:
        """The collateral token, as underlying."""
        return self.collateral.token

    @property
    def own_funding(self) -> tuple[FlashLender, ...]:
        """Empty, since the pool takes the repayment before it pays out."""
        return ()

    @cached_property
    def partial(self) -> tuple[TokenUnits, TokenUnits] | None:
        """Smallest and largest partial amount. None if only the whole amount is allowed."""
        low, high = self._compute_least(), self._compute_largest()
        if low > high or isinstance(self.outcome(low), Refusal):
            return None
        if isinstance(self.outcome(high), Refusal):
            return None
        return low, high

    @cached_property
    def bonus_at_most(self) -> BaseCurrency:
        """Received minus spent for the whole amount, plus two units of each token."""
        pair = self.first
        first, last = self._everything
        gain = max(0, _compute_gain(pair, first), _compute_gain(self.last, last))
        units = mul_div_ceil(2, pair.debt_price, pair.debt_unit)
        units += mul_div_ceil(2, pair.collateral_price, pair.collateral_unit)
        return BaseCurrency(gain + units)

    def outcome(self, amount: TokenUnits) -> Outcome | Refusal:
        """Return the amounts at every timestamp of the window, or the reason for a refusal."""
        if amount <= 0:
            return Refusal(reason=SkipReason.DUST, detail="nothing to repay")
        first, last = self._everything if amount == UINT256_MAX else self._calculate_ends(amount)
        refusal = self._find_refusal(amount, first, last)
        if refusal is not None:
            return refusal
        moves = first.received != last.received
        return Outcome(
            amount=amount,
            spend=first.repaid,
            spend_at_most=TokenUnits(
                max(first.repaid, last.repaid) + self._compute_premium_growth(first)
            ),
            receive=first.received,
            receive_at_least=TokenUnits(min(first.received, last.received) - 2 * moves),
            drawn=((self._build_key(self.collateral), first.received),),
            repaid=((self._build_key(self.debt), first.repaid),),
        )

    def after(self, amount: TokenUnits) -> Afterwards | None:
        """Return the account after ``amount``, in the same block."""
        if self.continued is None:
            return None
        return self.continued(
            *(self._everything if amount == UINT256_MAX else self._calculate_ends(amount))
        )

    @cached_property
    def _everything(self) -> tuple[Liquidation, Liquidation]:
        return self._calculate_ends(TokenUnits(UINT256_MAX))

    def _calculate_ends(self, amount: TokenUnits) -> tuple[Liquidation, Liquidation]:
        """Return the liquidation at both ends of the window."""
        first = rules.liquidation(self.first, amount, self.rules)
        return first, rules.liquidation(self.last, amount, self.rules)

    def _compute_premium_growth(self, done: Liquidation) -> int:
        """Return the extra repayment for collateral added by flash loans in the same block."""
        if not (self.rules.premium_to_suppliers and done.all_collateral):
            return 0
        return mul_div_ceil(done.repaid, 1, PREMIUM_MARGIN)

    def step(self, amount: TokenUnits) -> ExecutorStep:
        """Return the executor's step for ``amount``."""
        return liquidation_step(self.pool, self.account, amount)

    def _find_refusal(self, amount: int, first: Liquidation, last: Liquidation) -> Refusal | None:
        if min(first.repaid, first.received, last.received) <= 0:
            return Refusal(reason=SkipReason.DUST, detail="too little to seize a single unit")
        if any(rules.leaves_dust(done, self.rules) for done in (first, last)):
            return Refusal(
                reason=SkipReason.MUST_NOT_LEAVE_DUST,
                detail=f"would leave debt worth {first.debt_left} and collateral worth "
                f"{first.collateral_left} (base currency)",
            )
        doubt = self._find_doubt(amount, first, last)
        if doubt:
            return Refusal(reason=SkipReason.UNCERTAIN_THRESHOLD, detail=doubt)
        most = max(first.received, last.received)
        if most > self.payable:
            return Refusal(
                reason=SkipReason.RESERVE_ILLIQUID,
                detail=f"pays out {most} {self.collateral.symbol}, holds {self.payable}",
            )
        return None

    def _find_doubt(self, amount: int, first: Liquidation, last: Liquidation) -> str:
        """Return the threshold that may be crossed before the deadline. Empty if none."""
        healths = [pair.data.health_factor for pair in (self.first, self.last)]
        if max(healths) >= rules.LIQUIDATION_THRESHOLD - HEALTH_MARGIN:
            return "the health factor may reach 1"
        if self._close_is_uncertain and amount > self._compute_half():
            return "another close factor may apply"
        if (first.all_collateral, first.all_debt) != (last.all_collateral, last.all_debt):
            return "may or may not take everything"
        if amount != UINT256_MAX and (first.capped or last.capped):
            return "more than the pool lets one call repay"
        if any(rules.leaves_dust(done, self.rules, VALUE_MARGIN) for done in (first, last)):
            return "what is left is close to the least that must be left"
        return ""

    @cached_property
    def _close_is_uncertain(self) -> bool:
        """Whether the close factor may change within the window."""
        closes = {rules.close_of(pair, self.rules) for pair in (self.first, self.last)}
        return len(closes) > 1 or any(self._close_is_near(pair) for pair in (self.first, self.last))

    def _compute_half(self) -> int:
        """Return the most that may be repaid under either close factor, with the margin."""
        least = min(rules.half_repayable(pair, self.rules) for pair in (self.first, self.last))
        return least - least // AMOUNT_MARGIN

    def _close_is_near(self, pair: Pair) -> bool:
        """Return whether health factor or values are near the close factor's thresholds."""
        health = abs(pair.data.health_factor - rules.CLOSE_FACTOR_THRESHOLD)
        return health <= HEALTH_MARGIN or (
            self.rules.value_thresholds and self._value_is_near(pair)
        )

    def _value_is_near(self, pair: Pair) -> bool:
        if rules.close_of(pair, self.rules) is Close.ALL_UNHEALTHY:
            return False
        owed = rules.debt_value(pair.debt, pair.debt_price, pair.debt_unit, self.rules)
        values = (owed, pair.collateral_value(pair.collateral))
        return any(abs(value - rules.MIN_FULL_CLOSE_VALUE) <= VALUE_MARGIN for value in values)

    def _compute_least(self) -> TokenUnits:
        """Return an amount that spends and seizes enough units at either end."""
        pair = self.first
        worth = mul_div_ceil(
            LEAST_UNITS * pair.collateral_price,
            pair.debt_unit,
            pair.collateral_unit * pair.debt_price,
        )
        return TokenUnits(max(LEAST_UNITS, worth))

    def _compute_largest(self) -> TokenUnits:
        """Return the largest partial amount that no threshold limits at either end."""
        return TokenUnits(min(self._compute_largest_for(pair) for pair in (self.first, self.last)))

    def _compute_largest_for(self, pair: Pair) -> int:
        keep = rules.MIN_LEFTOVER_VALUE + 2 * VALUE_MARGIN if self.rules.value_thresholds else 0
        keep_debt = mul_div_ceil(keep, pair.debt_unit, pair.debt_price)
        kept = mul_div_ceil(keep, pair.collateral_unit, pair.collateral_price) + LEAST_UNITS
        seizable = min(pair.collateral - kept, self.payable)
        worth = mul_div_floor(
            seizable * pair.collateral_price, pair.debt_unit, pair.collateral_unit
        )
        by_collateral = mul_div_floor(worth, BPS, pair.debt_price * pair.bonus)
        most = (
            self._compute_half()
            if self._close_is_uncertain
            else rules.most_repayable(pair, self.rules)
        )
        largest = min(most, pair.debt - keep_debt, by_collateral)
        return largest - largest // AMOUNT_MARGIN - LEAST_UNITS

    @staticmethod
    def _build_key(reserve: Reserve) -> LiquidityKey:
        return LiquidityKey(holder=reserve.a_token, token=reserve.token)


def _compute_gain(pair: Pair, done: Liquidation) -> int:
    """Return received minus spent, in base currency. May be negative."""
    spent = mul_div_floor(done.repaid, pair.debt_price, pair.debt_unit)
    return pair.collateral_value(done.received) - spent
