"""
Amounts between two prices, and the price an amount leads to, bit for bit as the pools compute them.

``liquidity`` is the pool's active liquidity, prices are square roots times 2**96.
A sale of token0 moves the price down (``zero_for_one``), one of token1 up.

Source: Uniswap/v3-core ``contracts/libraries/SqrtPriceMath.sol`` and
``SwapMath.sol``, release 1.0.1 on npm. The contract divides twice where this divides
once by the product: nested floors, and nested ceilings, of quotients are the same.
"""

from typing import Final

from keeper.domain.units import PIPS

RESOLUTION: Final = 96
_Q96: Final = 1 << RESOLUTION
_UINT256: Final = 1 << 256


def amount0_floor(lower: int, upper: int, liquidity: int) -> int:
    """Return token0 between two prices, rounded down."""
    return (liquidity << RESOLUTION) * (upper - lower) // (lower * upper)


def amount0_ceil(lower: int, upper: int, liquidity: int) -> int:
    """Return token0 between two prices, rounded up."""
    return -(-(liquidity << RESOLUTION) * (upper - lower) // (lower * upper))


def amount1_floor(lower: int, upper: int, liquidity: int) -> int:
    """Return token1 between two prices, rounded down."""
    return liquidity * (upper - lower) >> RESOLUTION


def amount1_ceil(lower: int, upper: int, liquidity: int) -> int:
    """Return token1 between two prices, rounded up."""
    return -(-liquidity * (upper - lower) >> RESOLUTION)


def whole_step(
    price: int, target: int, liquidity: int, fee: int, *, zero_for_one: bool
) -> tuple[int, int]:
    """Return the input (fee included, rounded up) and output (rounded down) up to ``target``."""
    if zero_for_one:
        taken = amount0_ceil(target, price, liquidity)
        paid = amount1_floor(target, price, liquidity)
    else:
        taken = amount1_ceil(price, target, liquidity)
        paid = amount0_floor(price, target, liquidity)
    return taken - (-taken * fee // (PIPS - fee)), paid


def step_in(
    price: int, liquidity: int, amount_in: int, fee: int, *, zero_for_one: bool
) -> tuple[int, int]:
    """Return the price after selling ``amount_in``, and the output.

    The amount must be less than the whole step's. All of it is spent, and the rounding remainder of
    the price is fee.
    """
    net = amount_in * (PIPS - fee) // PIPS
    if zero_for_one:
        after = _compute_price_after_token0(price, liquidity, net)
        return after, amount1_floor(after, price, liquidity)
    after = price + (net << RESOLUTION) // liquidity
    return after, amount0_floor(price, after, liquidity)


def step_out(
    price: int, liquidity: int, amount_out: int, fee: int, *, zero_for_one: bool
) -> tuple[int, int]:
    """Return the price after buying ``amount_out``, and the input, fee included.

    The amount must be less than the whole step's. The price may still reach its end.
    """
    if zero_for_one:
        after = price + (-amount_out << RESOLUTION) // liquidity
        taken = amount0_ceil(after, price, liquidity)
    else:
        numerator = liquidity << RESOLUTION
        after = -(-numerator * price // (numerator - amount_out * price))
        taken = amount1_ceil(price, after, liquidity)
    return after, taken - (-taken * fee // (PIPS - fee))


def _compute_price_after_token0(price: int, liquidity: int, amount: int) -> int:
    """Return the price after an input of token0, rounded up (coarse above 256 bits)."""
    if amount == 0:
        return price
    numerator, product = liquidity << RESOLUTION, amount * price
    if product < _UINT256 and numerator + product < _UINT256:
        return -(-numerator * price // (numerator + product))
    return -(-numerator // (numerator // price + amount))
