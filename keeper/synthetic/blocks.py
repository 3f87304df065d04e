"""Blocks and addresses of a chain that there is not."""

from hashlib import sha256
from typing import Final

from keeper.chain.abi import checksum
from keeper.domain.head import Head
from keeper.domain.units import Address, BlockHash, Gas, Timestamp, Wei

NOW: Final = Timestamp(1_800_000_000)
"""When the first block of every made-up book is."""


def made_address(what: str, number: int) -> Address:
    """Derive a constant address from a name and a number."""
    return checksum(sha256(f"{what} {number}".encode()).digest()[:20])


def block_after(parent: Head | None, seconds: int) -> Head:
    """Build the block ``seconds`` after its parent, or the first one without a parent."""
    number = 1 if parent is None else parent.number + 1
    before = _hash(0) if parent is None else parent.hash
    moment = NOW if parent is None else Timestamp(parent.timestamp + seconds)
    return Head(
        number=number,
        hash=_hash(number),
        parent_hash=before,
        timestamp=moment,
        base_fee=Wei(10**9),
        gas_limit=Gas(36_000_000),
        gas_used=Gas(18_000_000),
    )


def _hash(number: int) -> BlockHash:
    return BlockHash("0x" + sha256(str(number).encode()).hexdigest())
