"""Parses fields of a node's answers with checks of type, length and range."""

import re
from collections.abc import Mapping
from typing import Final

from keeper.chain.abi import checksum
from keeper.domain.errors import RpcMalformed
from keeper.domain.head import Head
from keeper.domain.reads import Log
from keeper.domain.units import (
    UINT256_MAX,
    Address,
    BlockHash,
    Gas,
    Timestamp,
    TransactionHash,
    Wei,
)

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What a JSON document decodes to."""

UINT64_MAX: Final = 2**64 - 1
MAX_TOPICS: Final = 4
HASH_BYTES: Final = 32
LAST_SECOND: Final = 100_000_000_000
"""The year 5138; in milliseconds, 1973."""

_QUANTITY: Final = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def quantity(value: Json, what: str, *, most: int = UINT256_MAX) -> int:
    """Parse a quantity (0x hex without leading zeros) of at most ``most``."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise RpcMalformed(f"{what} is not a quantity")
    number = int(value, 16)
    if number > most:
        raise RpcMalformed(f"{what} is out of range")
    return number


def hash32(value: Json, what: str) -> str:
    """Parse thirty-two bytes as lower-case hex."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise RpcMalformed(f"{what} is not a 32-byte hash")
    return value.lower()


def address(value: Json, what: str) -> Address:
    """Parse an address and compute its checksum."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise RpcMalformed(f"{what} is not an address")
    return checksum(value.lower())


def data(value: Json, what: str) -> bytes:
    """Parse bytes from 0x hex of even length."""
    if not isinstance(value, str) or not value.startswith("0x") or not value.isascii():
        raise RpcMalformed(f"{what} is not bytes")
    try:
        raw = bytes.fromhex(value[2:])
    except ValueError:
        raise RpcMalformed(f"{what} is not bytes") from None
    if 2 * len(raw) != len(value) - 2:  # fromhex() overlooks white space
        raise RpcMalformed(f"{what} is not bytes")
    return raw


def document(value: Json, what: str) -> Mapping[str, Json]:
    """Parse a JSON object."""
    if not isinstance(value, dict):
        raise RpcMalformed(f"{what} is not an object")
    return value


def sequence(value: Json, what: str) -> list[Json]:
    """Parse a JSON array."""
    if not isinstance(value, list):
        raise RpcMalformed(f"{what} is not an array")
    return value


def head_of(value: Json) -> Head:
    """Parse the head from a block or a newHeads notification."""
    block = document(value, "the block")
    return Head(
        number=quantity(block.get("number"), "the block's number", most=UINT64_MAX),
        hash=BlockHash(hash32(block.get("hash"), "the block's hash")),
        parent_hash=BlockHash(hash32(block.get("parentHash"), "the block's parent hash")),
        timestamp=_parse_timestamp(block.get("timestamp")),
        base_fee=Wei(quantity(block.get("baseFeePerGas") or "0x0", "the block's base fee")),
        gas_limit=Gas(min(quantity(block.get("gasLimit"), "the block's gas limit"), UINT64_MAX)),
        gas_used=Gas(quantity(block.get("gasUsed"), "the block's gas used", most=UINT64_MAX)),
        miner=_parse_miner(block.get("miner")),
    )


def _parse_timestamp(value: Json) -> Timestamp:
    """Parse a block's timestamp. RpcMalformed if the chain does not count in seconds."""
    seconds = quantity(value, "the block's timestamp", most=UINT64_MAX)
    if seconds > LAST_SECOND:
        raise RpcMalformed(
            "the block's timestamp is not in seconds",
            hint="interest and deadlines go by seconds: this chain, or node, cannot be used",
        )
    return Timestamp(seconds)


def _parse_miner(value: Json) -> Address:
    """Parse a block's coinbase. The zero address if the node omits it."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        return Address("0x" + "0" * 40)
    return checksum(value)


class LogReader:
    """Decodes logs. Caches the few addresses that recur."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}

    def logs_of(self, value: Json) -> list[Log]:
        """Decode the logs of an ``eth_getLogs`` answer. Pending logs are left out."""
        return [self.log_of(item) for item in sequence(value, "the logs") if not is_pending(item)]

    def log_of(self, value: Json) -> Log:
        """Decode one log of a mined block."""
        log = document(value, "a log")
        topics = sequence(log.get("topics"), "a log's topics")
        if len(topics) > MAX_TOPICS:
            raise RpcMalformed("a log has more than four topics")
        removed = log.get("removed") or False
        if not isinstance(removed, bool):
            raise RpcMalformed("a log's removed flag is not a boolean")
        return Log(
            address=self._decode_address(log.get("address")),
            topics=tuple(_decode_topic(topic) for topic in topics),
            data=data(log.get("data"), "a log's data"),
            block_number=quantity(log.get("blockNumber"), "a log's block", most=UINT64_MAX),
            block_hash=BlockHash(hash32(log.get("blockHash"), "a log's block hash")),
            transaction_hash=TransactionHash(
                hash32(log.get("transactionHash"), "a log's transaction")
            ),
            index=quantity(log.get("logIndex"), "a log's index", most=UINT64_MAX),
            removed=removed,
        )

    def _decode_address(self, value: Json) -> Address:
        if not isinstance(value, str):
            raise RpcMalformed("a log's address is not an address")
        known = self._addresses.get(value)
        if known is None:
            known = self._addresses[value] = address(value, "a log's address")
        return known


def is_pending(log: Json) -> bool:
    """Return whether a log is of a pending transaction, without block and index."""
    return isinstance(log, dict) and log.get("blockHash", log) is log.get("logIndex", log) is None


def _decode_topic(value: Json) -> bytes:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise RpcMalformed("a log's topic is not 32 bytes")
    return bytes.fromhex(value[2:])
