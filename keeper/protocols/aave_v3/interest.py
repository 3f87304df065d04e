"""Exact interest. Indices of a reserve at any timestamp since its last update."""

from typing import Final

from keeper.domain.units import RAY, Ray, Timestamp, TokenUnits, mul_div_half_up
from keeper.protocols.aave_v3.model import Holding, ReserveState

SECONDS_PER_YEAR: Final = 365 * 24 * 3600


def ray_mul(x: int, y: int) -> int:
    """Return ``x * y`` in ray, halves up. Source: ``WadRayMath.rayMul``, all versions."""
    return mul_div_half_up(x, y, RAY)


def linear_interest(rate: int, elapsed: int) -> Ray:
    """
    Return the growth of one unit supplied, rounded down.

    Source: ``MathUtils.calculateLinearInterest``, core-v3 1.19.3 to aave-v3-origin fd1fbd91.
    """
    return Ray(RAY + rate * elapsed // SECONDS_PER_YEAR)


def compounded_interest(rate: int, elapsed: int, *, polynomial: bool) -> Ray:
    """Return the growth of one unit owed.

    Uses three terms of the binomial expansion per second up to 3.3, and three terms of the
    exponential from 3.4. Source: ``MathUtils.calculateCompoundedInterest``, core-v3 1.19.3 and
    aave-v3-origin at d7a64127 (unchanged at fd1fbd91).
    """
    if elapsed == 0:
        return Ray(RAY)
    if polynomial:
        x = rate * elapsed // SECONDS_PER_YEAR
        return Ray(RAY + x + ray_mul(x, x // 2 + ray_mul(x, x // 6)))
    squared = ray_mul(rate, rate) // SECONDS_PER_YEAR**2
    cubed = ray_mul(squared, rate) // SECONDS_PER_YEAR
    second = elapsed * (elapsed - 1) * squared // 2
    third = elapsed * (elapsed - 1) * max(elapsed - 2, 0) * cubed // 6
    return Ray(RAY + rate * elapsed // SECONDS_PER_YEAR + second + third)


def supply_index(state: ReserveState, now: Timestamp) -> Ray:
    """
    Return the liquidity index at ``now``.

    Source: ``ReserveLogic.getNormalizedIncome``, all versions.
    """
    elapsed = now - state.last_update
    if elapsed == 0:
        return state.liquidity_index
    return Ray(ray_mul(linear_interest(state.liquidity_rate, elapsed), state.liquidity_index))


def debt_index(state: ReserveState, now: Timestamp, *, polynomial: bool) -> Ray:
    """
    Return the variable borrow index at ``now``.

    Source: ``ReserveLogic.getNormalizedDebt``, all versions.
    """
    elapsed = now - state.last_update
    if elapsed == 0:
        return state.variable_index
    growth = compounded_interest(state.variable_rate, elapsed, polynomial=polynomial)
    return Ray(ray_mul(growth, state.variable_index))


def stable_debt(holding: Holding, now: Timestamp) -> TokenUnits:
    """Return a debt at a stable rate, interest included.

    Source: ``StableDebtToken.balanceOf``, core-v3 1.19.3.
    """
    if holding.stable_principal == 0:
        return TokenUnits(0)
    growth = compounded_interest(holding.stable_rate, now - holding.stable_since, polynomial=False)
    return TokenUnits(ray_mul(holding.stable_principal, growth))
