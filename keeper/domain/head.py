"""Block headers, and the block and state overrides that reads are pinned to."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.units import Address, BlockHash, Gas, Timestamp, Wei

_NOBODY: Final = Address("0x" + "0" * 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The fields of a block header that the keeper uses.

    ``miner`` is its coinbase, or the zero address if the node does not state it.
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
    """A block tag of JSON-RPC."""

    FINALIZED = "finalized"


BlockName = int | BlockHash | BlockTag | None
"""A block as people name it: by number, hash or tag; None for the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOverride:
    """State override of one account for a read, mostly a contract's code.

    ``storage`` maps slots to words, 32 bytes each. Other slots keep their values. An empty ``code``
    and a ``balance`` of None leave the account's own.
    """

    address: Address
    code: bytes
    storage: tuple[tuple[bytes, bytes], ...] = ()
    balance: Wei | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Block hash and state overlay that all reads of one decision are pinned to.

    The overlay is empty for a mined block. A pending oracle update is an overlay on the block
    before it, so that acting early uses the same pipeline. ``landing`` holds the block fields of
    the expected block, as overrides of the pinned block's. A node without block overrides ignores
    them.
    """

    block_hash: BlockHash
    overlay: tuple[CodeOverride, ...] = ()
    landing: tuple[tuple[str, str], ...] = ()
