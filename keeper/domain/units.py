"""Integer units of account, and the only arithmetic that converts between them.

Every amount is an ``int`` in the smallest unit of its type. Arithmetic on these types yields a
plain ``int``. Wrap the result to state its unit.
"""

from typing import Final, NewType

Address = NewType("Address", str)
"""Twenty bytes as EIP-55 checksummed hex; made by ``chain.abi.checksum`` at the edge only."""

BlockHash = NewType("BlockHash", str)
"""Thirty-two bytes as 0x-prefixed lower-case hex."""

TransactionHash = NewType("TransactionHash", str)
"""Thirty-two bytes as 0x-prefixed lower-case hex."""

MarketKey = NewType("MarketKey", str)
"""
``protocol:identity``, as in ``aave_v3:0x...`` (the identity is the protocol's own).

A deployment that holds isolated markets adds each one's name: ``protocol:identity:market``.
"""

Wei = NewType("Wei", int)  # native coin, 1e18 = 1 ether
TokenUnits = NewType("TokenUnits", int)  # one ERC-20, 10**decimals = 1 token
BaseCurrency = NewType("BaseCurrency", int)  # oracle quote, one whole unit = the market's base unit
Bps = NewType("Bps", int)  # 10_000 = 100 %
Pips = NewType("Pips", int)  # 1_000_000 = 100 % (Uniswap v3 fees)
Wad = NewType("Wad", int)  # 1e18 = 1.0
Ray = NewType("Ray", int)  # 1e27 = 1.0
Gas = NewType("Gas", int)  # units of gas
Timestamp = NewType("Timestamp", int)  # seconds since the epoch, the chain's clock

WAD: Final = 10**18
RAY: Final = 10**27
BPS: Final = 10_000
PIPS: Final = 10**6
GWEI: Final = 10**9
USD_E8: Final = 10**8  # one dollar, where dollars are counted in 1e-8
UINT256_MAX: Final = 2**256 - 1

MAX_TRANSACTION_GAS: Final = Gas(2**24)
"""The most gas one transaction may ask for (EIP-7825)."""


def deployment(market: MarketKey) -> MarketKey:
    """Return the deployment that a market belongs to. An undivided market is its own."""
    return MarketKey(":".join(market.split(":")[:2]))


def mul_div_floor(x: int, y: int, denominator: int) -> int:
    """Return ``x * y / denominator``, rounded down."""
    return x * y // denominator


def mul_div_ceil(x: int, y: int, denominator: int) -> int:
    """Return ``x * y / denominator``, rounded up."""
    return -(-x * y // denominator)


def mul_div_half_up(x: int, y: int, denominator: int) -> int:
    """Return ``x * y / denominator``, rounded to nearest, halves up."""
    return (x * y + denominator // 2) // denominator
