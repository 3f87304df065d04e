"""
Ticks and square root prices, bit for bit as the pools compute them.

Source: Uniswap/v3-core ``contracts/libraries/TickMath.sol``, release 1.0.1 on npm.
"""

import functools
from typing import Final

MIN_TICK: Final = -887272
MAX_TICK: Final = 887272
MIN_SQRT_RATIO: Final = 4295128739
MAX_SQRT_RATIO: Final = 1461446703485210103287273052203988822378723970342

LOWEST_PRICE: Final = MIN_SQRT_RATIO + 1
"""Where a sale of token0 stops when it names no limit (QuoterV2, SwapRouter)."""

HIGHEST_PRICE: Final = MAX_SQRT_RATIO - 1
"""Where a sale of token1 stops when it names no limit."""

_FACTORS: Final = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)

_ROUNDS: Final = 14
_PER_LOG2: Final = 255738958999603826347141
_LOG_BELOW: Final = 3402992956809132418596140100660247210
_LOG_ABOVE: Final = 291339464771989622907027621153398088495


@functools.lru_cache(maxsize=1 << 16)
def sqrt_ratio_at_tick(tick: int) -> int:
    """
    Return sqrt(1.0001**tick) * 2**96, rounded up.

    Raises:
        ValueError: the tick is outside of what pools know.
    """
    magnitude = abs(tick)
    if magnitude > MAX_TICK:
        raise ValueError(f"there is no tick {tick}")
    ratio = 1 << 128
    for bit, factor in enumerate(_FACTORS):
        if magnitude >> bit & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = (2**256 - 1) // ratio
    return -(-ratio >> 32)


def tick_at_sqrt_ratio(sqrt_price: int) -> int:
    """Return the greatest tick with a square root price of at most ``sqrt_price``.

    Raises:
        ValueError: no pool can have the price.
    """
    if not MIN_SQRT_RATIO <= sqrt_price < MAX_SQRT_RATIO:
        raise ValueError("the price is outside of what pools know")
    ratio = sqrt_price << 32
    msb = ratio.bit_length() - 1
    mantissa = ratio >> (msb - 127) if msb > 127 else ratio << (127 - msb)  # noqa: PLR2004 - the contract's fixed point
    log2 = msb - 128 << 64
    for step in range(_ROUNDS):
        mantissa = mantissa * mantissa >> 127
        carry = mantissa >> 128
        log2 |= carry << (63 - step)
        mantissa >>= carry
    log = log2 * _PER_LOG2
    low, high = log - _LOG_BELOW >> 128, log + _LOG_ABOVE >> 128
    return high if low == high or sqrt_ratio_at_tick(high) <= sqrt_price else low
