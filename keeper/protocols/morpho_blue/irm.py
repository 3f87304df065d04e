"""AdaptiveCurveIrm in exact signed integers with divisions toward zero.

Source: morpho-org/morpho-blue-irm ``AdaptiveCurveIrm`` and ``ExpLib``, proven against the bytecode
that ``@morpho-org/morpho-blue-bundlers`` 1.1.2 carries.
"""

from typing import Final

from keeper.domain.units import WAD

_YEAR: Final = 365 * 24 * 3_600

CURVE_STEEPNESS: Final = 4 * WAD
TARGET_UTILIZATION: Final = 9 * WAD // 10
ADJUSTMENT_SPEED: Final = 50 * WAD // _YEAR
INITIAL_RATE_AT_TARGET: Final = WAD // 25 // _YEAR
MIN_RATE_AT_TARGET: Final = WAD // 1_000 // _YEAR
MAX_RATE_AT_TARGET: Final = 2 * WAD // _YEAR

LN_2: Final = 693_147_180_559_945_309
LN_WEI: Final = -41_446_531_673_892_822_312
WEXP_UPPER_BOUND: Final = 93_859_467_695_000_404_319
WEXP_UPPER_VALUE: Final = (
    57_716_089_161_558_943_949_701_069_502_944_508_345_128_422_502_756_744_429_568
)


def divided(x: int, y: int) -> int:
    """Return ``x / y`` rounded toward zero, as the EVM divides signed integers."""
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) == (y < 0) else -quotient


def w_exp(x: int) -> int:
    """Return e^x in wads.

    With x = q ln 2 + r it is the second-order Taylor polynomial of r, shifted by q. Source:
    ``ExpLib.wExp``.
    """
    if x < LN_WEI:
        return 0
    if x >= WEXP_UPPER_BOUND:
        return WEXP_UPPER_VALUE
    half = -(LN_2 // 2) if x < 0 else LN_2 // 2
    q = divided(x + half, LN_2)
    r = x - q * LN_2
    exp_r = WAD + r + r * r // WAD // 2
    return exp_r << q if q >= 0 else exp_r >> -q


def borrow_rate(
    supply_assets: int, borrow_assets: int, rate_at_target: int, elapsed: int
) -> tuple[int, int]:
    """
    Return the average rate over ``elapsed`` seconds and the rate at target after them.

    Both are wads per second. Utilisation is rounded down.

    Source: ``AdaptiveCurveIrm._borrowRate``.
    """
    utilization = borrow_assets * WAD // supply_assets if supply_assets else 0
    above = utilization > TARGET_UTILIZATION
    norm = WAD - TARGET_UTILIZATION if above else TARGET_UTILIZATION
    error = divided((utilization - TARGET_UTILIZATION) * WAD, norm)
    if rate_at_target == 0:
        return _curve(INITIAL_RATE_AT_TARGET, error), INITIAL_RATE_AT_TARGET
    adaptation = divided(ADJUSTMENT_SPEED * error, WAD) * elapsed
    if adaptation == 0:
        return _curve(rate_at_target, error), rate_at_target
    end = _compute_rate_at_target(rate_at_target, adaptation)
    middle = _compute_rate_at_target(rate_at_target, divided(adaptation, 2))
    average = (rate_at_target + end + 2 * middle) // 4
    return _curve(average, error), end


def _compute_rate_at_target(rate_at_target: int, adaptation: int) -> int:
    moved = rate_at_target * w_exp(adaptation) // WAD
    return min(max(moved, MIN_RATE_AT_TARGET), MAX_RATE_AT_TARGET)


def _curve(rate_at_target: int, error: int) -> int:
    coefficient = WAD - WAD * WAD // CURVE_STEEPNESS if error < 0 else CURVE_STEEPNESS - WAD
    return (divided(coefficient * error, WAD) + WAD) * rate_at_target // WAD
