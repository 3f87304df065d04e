"""A block at the tip of the chain, and what a decision was read at."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.units import Address, BlockHash, Gas, Timestamp, Wei

_NOBODY: Final = Address("0x" + "0" * 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """
    One block's header, as far as the keeper needs it.

    ``miner`` is its coinbase; the zero address where the node does not say.
    """

    number: int
    hash: BlockHash
    parent_hash: BlockHash
    timestamp: Timestamp
    base_fee: Wei
    gas_limit: Gas
    gas_used: Gas
    miner: Address = _NOBODY


class BlockTag(enum.StrEnum):
    """A block that the node names."""

    FINALIZED = "finalized"


BlockName = int | BlockHash | BlockTag | None
"""A block as people name it: by number, hash or tag; None for the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOverride:
    """
    State that a read assumes and the chain does not have (yet): a contract's code, above all.

    ``storage`` are words by their places, both of 32 bytes; other places stay as they are. An empty
    ``code`` and a ``balance`` of None leave the account's own.
    """

    address: Address
    code: bytes
    storage: tuple[tuple[bytes, bytes], ...] = ()
    balance: Wei | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """
    What every read of one decision is pinned to: a block hash and an overlay.

    The overlay is empty for a mined block. A pending oracle update is an overlay
    on the block before it, so that acting early is another trigger of the same
    pipeline and not another pipeline.
    """

    block_hash: BlockHash
    overlay: tuple[CodeOverride, ...] = ()
