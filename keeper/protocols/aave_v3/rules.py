"""Exact integer rules of a pool for account data and liquidation calls."""

import enum
from collections.abc import Callable
from typing import Final, NamedTuple

from keeper.domain.account import HEALTH_FACTOR_NO_DEBT
from keeper.domain.units import (
    BPS,
    RAY,
    WAD,
    BaseCurrency,
    Bps,
    TokenUnits,
    Wad,
    mul_div_ceil,
    mul_div_floor,
    mul_div_half_up,
)
from keeper.protocols.aave_v3.rulebook import Rules

LIQUIDATION_THRESHOLD: Final = Wad(WAD)
"""Below it an account may be liquidated. Source: ``ValidationLogic``, all versions."""

CLOSE_FACTOR_THRESHOLD: Final = Wad(95 * WAD // 100)
"""At or below it everything may be repaid, and the sentinel does not count."""

DEFAULT_CLOSE_FACTOR: Final = Bps(5_000)

BASE_8: Final = 10**8
MIN_FULL_CLOSE_VALUE: Final = BaseCurrency(2_000 * BASE_8)
"""``MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD`` since 3.3, fixed in units of 1e-8 there."""

MIN_LEFTOVER_VALUE: Final = BaseCurrency(MIN_FULL_CLOSE_VALUE // 2)
"""``MIN_LEFTOVER_BASE`` since 3.3."""


def percent_mul(value: int, percentage: int) -> int:
    """Return a share in bps, halves up. Source: ``PercentageMath.percentMul``."""
    return mul_div_half_up(value, percentage, BPS)


def percent_div(value: int, percentage: int) -> int:
    """Return ``value`` divided by a share, halves up. Source: ``PercentageMath.percentDiv``."""
    return mul_div_half_up(value, BPS, percentage)


MulDiv = Callable[[int, int, int], int]

_DIRECTED: Final = (mul_div_floor, mul_div_ceil, mul_div_ceil)
_NEAREST: Final = (mul_div_half_up, mul_div_half_up, mul_div_floor)


def roundings(rules: Rules) -> tuple[MulDiv, MulDiv, MulDiv]:
    """Return the mul-div functions for supply balance, debt balance and debt value."""
    return _DIRECTED if rules.directed_rounding else _NEAREST


def supply_balance(scaled: int, index: int, rules: Rules) -> TokenUnits:
    """Return the supplied balance, interest included.

    Rounds to nearest up to 3.4 (``rayMul``), down from 3.5 (``TokenMath.getATokenBalance``).
    """
    return TokenUnits(roundings(rules)[0](scaled, index, RAY))


def debt_balance(scaled: int, index: int, rules: Rules) -> TokenUnits:
    """Return the variable debt, interest included.

    Rounds to nearest up to 3.4 (``rayMul``), up from 3.5 (``TokenMath.getVTokenBalance``).
    """
    return TokenUnits(roundings(rules)[1](scaled, index, RAY))


def scaled(amount: int, index: int, rules: Rules) -> int:
    """Return the change of the scaled balance by a supply, or of the scaled debt by a repayment.

    Rounds to nearest up to 3.4 (``rayDiv``), down from 3.5 (``TokenMath.getATokenMintScaledAmount``
    and ``getVTokenBurnScaledAmount``).
    """
    divide = mul_div_floor if rules.directed_rounding else mul_div_half_up
    return divide(amount, RAY, index)


def debt_value(amount: int, price: int, unit: int, rules: Rules) -> BaseCurrency:
    """Return a debt in base currency, rounded down up to 3.4 and up (``mulDivCeil``) from 3.5."""
    return BaseCurrency(roundings(rules)[2](amount, price, unit))


class AccountData(NamedTuple):
    """The figures of ``Pool.getUserAccountData`` that a liquidation needs."""

    collateral: BaseCurrency
    debt: BaseCurrency
    health_factor: Wad


class Sums(NamedTuple):
    """An account's totals in base currency. ``weighted`` is collateral times thresholds (bps)."""

    total: int
    weighted: int
    debt: int

    @property
    def average_threshold(self) -> int:
        """The collateral's average threshold (bps, rounded down), which counts up to 3.4."""
        return self.weighted // self.total if self.total else 0

    def health_factor(self, rules: Rules) -> Wad:
        """Return the pool's health factor.

        Up to 3.4 the threshold is averaged (down), applied (halves up) and divided (halves up).
        From 3.5 the weighted sum is divided by the debt (halves up), then by 10 000 (down).

        Source: ``GenericLogic.calculateUserAccountData``, core-v3 1.19.3 and aave-v3-origin at
        6138e1fd (unchanged at fd1fbd91).
        """
        if self.debt == 0:
            return HEALTH_FACTOR_NO_DEBT
        if rules.directed_rounding:
            return Wad(mul_div_half_up(self.weighted, WAD, self.debt) // BPS)
        weighted = percent_mul(self.total, self.average_threshold)
        return Wad(mul_div_half_up(weighted, WAD, self.debt))

    def data(self, rules: Rules) -> AccountData:
        """Return the totals with the health factor."""
        return AccountData(
            collateral=BaseCurrency(self.total),
            debt=BaseCurrency(self.debt),
            health_factor=self.health_factor(rules),
        )

    def health_factor_at_least(self) -> int:
        """Return a lower bound of the health factor in any version.

        It is monotonic. An average that is rounded down loses less than one bps of the collateral.
        """
        if self.debt == 0:
            return HEALTH_FACTOR_NO_DEBT
        return mul_div_floor((self.weighted - self.total) // BPS - 1, WAD, self.debt)


class Pair(NamedTuple):
    """One debt and one collateral of an account at one timestamp, with the account's data."""

    data: AccountData
    debt: TokenUnits
    debt_price: BaseCurrency
    debt_unit: int
    collateral: TokenUnits
    collateral_price: BaseCurrency
    collateral_unit: int
    bonus: Bps
    protocol_fee: Bps

    def collateral_value(self, amount: int) -> BaseCurrency:
        """Return collateral in base currency, rounded down."""
        return BaseCurrency(mul_div_floor(amount, self.collateral_price, self.collateral_unit))


class Close(enum.StrEnum):
    """The share of the pair's debt that one call may repay."""

    HEALTHY_HALF = "half"  # the default close factor applies
    ALL_UNHEALTHY = "all: health factor"
    ALL_SMALL = "all: small value"


class Liquidation(NamedTuple):
    """Effect of one call. ``seized`` is before, ``received`` after the protocol's fee."""

    close: Close
    repaid: TokenUnits
    seized: TokenUnits
    received: TokenUnits
    capped: bool
    all_collateral: bool
    all_debt: bool
    debt_left: BaseCurrency
    collateral_left: BaseCurrency

    @property
    def leaves_both(self) -> bool:
        """Whether debt and collateral of the pair both remain."""
        return not (self.all_debt or self.all_collateral)


def close_of(pair: Pair, rules: Rules) -> Close:
    """Return the close factor that applies.

    Source: ``LiquidationLogic._calculateDebt`` (core-v3 1.19.3) and ``executeLiquidationCall``
    (aave-v3-origin 5431379f, rounding from 6138e1fd).
    """
    if pair.data.health_factor <= CLOSE_FACTOR_THRESHOLD:
        return Close.ALL_UNHEALTHY
    if rules.value_thresholds and (
        pair.collateral_value(pair.collateral) < MIN_FULL_CLOSE_VALUE
        or debt_value(pair.debt, pair.debt_price, pair.debt_unit, rules) < MIN_FULL_CLOSE_VALUE
    ):
        return Close.ALL_SMALL
    return Close.HEALTHY_HALF


def most_repayable(pair: Pair, rules: Rules) -> TokenUnits:
    """Return the most that one call may repay of the pair's debt."""
    if close_of(pair, rules) is not Close.HEALTHY_HALF:
        return pair.debt
    return half_repayable(pair, rules)


def half_repayable(pair: Pair, rules: Rules) -> TokenUnits:
    """Return the most that one call may repay under the default close factor.

    Up to 3.2 half of the pair's debt (halves up). From 3.3 half of the account's whole debt (halves
    up in base currency, then down in token units) if the pair's is more.

    Source: ``LiquidationLogic._calculateDebt`` (core-v3 1.19.3) and ``executeLiquidationCall``
    (aave-v3-origin 5431379f).
    """
    if not rules.value_thresholds:
        return TokenUnits(percent_mul(pair.debt, DEFAULT_CLOSE_FACTOR))
    half = percent_mul(pair.data.debt, DEFAULT_CLOSE_FACTOR)
    if debt_value(pair.debt, pair.debt_price, pair.debt_unit, rules) <= half:
        return pair.debt
    return TokenUnits(mul_div_floor(half, pair.debt_unit, pair.debt_price))


def liquidation(pair: Pair, debt_to_cover: int, rules: Rules) -> Liquidation:
    """Return the effect of ``liquidationCall`` with ``debt_to_cover``, without the leftover rule.

    Source: ``LiquidationLogic._calculateAvailableCollateralToLiquidate``, core-v3 1.19.3. The debt
    needed rounds up from 6138e1fd (3.5), the seizure down and the fee up from fd1fbd91 (3.7).
    """
    close = close_of(pair, rules)
    most = pair.debt if close is not Close.HEALTHY_HALF else half_repayable(pair, rules)
    repaid = min(debt_to_cover, most)
    base = pair.debt_price * repaid * pair.collateral_unit
    base //= pair.collateral_price * pair.debt_unit
    seized = (
        mul_div_floor(base, pair.bonus, BPS)
        if rules.floored_seizure
        else percent_mul(base, pair.bonus)
    )
    if seized > pair.collateral:
        seized = pair.collateral
        value = pair.collateral_price * seized * pair.debt_unit
        value //= pair.debt_price * pair.collateral_unit
        divide = mul_div_ceil if rules.directed_rounding else mul_div_half_up
        repaid = divide(value, BPS, pair.bonus)
    received = seized - _compute_protocol_fee(seized, pair, rules)
    return Liquidation(
        close=close,
        repaid=TokenUnits(repaid),
        seized=TokenUnits(seized),
        received=TokenUnits(received),
        capped=debt_to_cover > most,
        all_collateral=seized >= pair.collateral,
        all_debt=repaid >= pair.debt,
        debt_left=debt_value(pair.debt - repaid, pair.debt_price, pair.debt_unit, rules),
        collateral_left=pair.collateral_value(pair.collateral - seized),
    )


def _compute_protocol_fee(seized: int, pair: Pair, rules: Rules) -> int:
    """Return the protocol's share of the bonus, in collateral."""
    if pair.protocol_fee == 0:
        return 0
    if rules.floored_seizure:
        bonus = seized - mul_div_floor(seized, BPS, pair.bonus)
        return mul_div_ceil(bonus, pair.protocol_fee, BPS)
    return percent_mul(seized - percent_div(seized, pair.bonus), pair.protocol_fee)


def leaves_dust(done: Liquidation, rules: Rules, margin: int = 0) -> bool:
    """Return whether the leftover rule forbids the remaining debt and collateral.

    ``margin`` (base currency) is added to the required leftover.

    Source: ``LiquidationLogic.executeLiquidationCall``, aave-v3-origin 5431379f (3.3).
    """
    if not rules.value_thresholds or not done.leaves_both:
        return False
    return min(done.debt_left, done.collateral_left) < MIN_LEFTOVER_VALUE + margin


def flash_fee(amount: int, premium: Bps, rules: Rules) -> TokenUnits:
    """Return the fee of ``flashLoanSimple``, rounded halves up up to 3.4 and up from 3.5.

    Source: ``FlashLoanLogic.executeFlashLoanSimple``, core-v3 1.19.3 and 6138e1fd.
    """
    multiply = mul_div_ceil if rules.directed_rounding else mul_div_half_up
    return TokenUnits(multiply(amount, premium, BPS))
