"""Bloom filter of a block's header, which shows the addresses and topics its logs may have.

Only a hint. On a busy chain nearly all of its bits are set, and some nodes leave it empty. Source:
the execution specs' ``bloom.py``, three bits of 2048 for each address and topic.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from eth_hash.auto import keccak

from keeper.domain.reads import Log, LogFilter

BLOOM_BITS: Final = 2048
BLOOM_BYTES: Final = BLOOM_BITS // 8


def may_hold(bloom: str, wanted: LogFilter) -> bool:
    """Return whether a block with this bloom may have a matching log. False positives occur."""
    try:
        bits = int(bloom, 16)
    except ValueError:
        return False
    groups = [[bytes.fromhex(one[2:]) for one in wanted.addresses], *wanted.topics]
    return bits != 0 and all(
        not group or any(_is_in_bloom(bits, one) for one in group) for group in groups
    )


def bloom_of(logs: Iterable[Log]) -> int:
    """Return the bloom of a block that has exactly these logs."""
    entries = {entry for log in logs for entry in (bytes.fromhex(log.address[2:]), *log.topics)}
    bits = 0
    for entry in entries:
        for place in _compute_bits(entry):
            bits |= 1 << place
    return bits


def _is_in_bloom(bits: int, value: bytes) -> bool:
    return all(bits >> place & 1 for place in _compute_bits(value))


def _compute_bits(value: bytes) -> Iterator[int]:
    digest = keccak(value)
    return (int.from_bytes(digest[at : at + 2]) % BLOOM_BITS for at in (0, 2, 4))
