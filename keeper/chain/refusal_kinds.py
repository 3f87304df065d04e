"""Classifies node refusals by code and message.

The messages with their sources are ``tests/data/wordings.toml``. They cover geth, reth, Nethermind,
Erigon, Besu, op-geth, Nitro and the hosted providers. One code may have several meanings (-32005 is
a rate limit at Infura, a batch limit at Besu), so the message is checked before the code.
"""

import enum
import re
from collections.abc import Mapping, Sequence
from typing import Final


class RefusalKind(enum.StrEnum):
    """Kind of a refusal, which decides the reaction."""

    BLOCK_UNKNOWN = "block_unknown"  # not there yet: ask again, or another endpoint
    NOT_CANONICAL = "not_canonical"  # known, but on another branch
    PRUNED = "pruned"  # the state or the history is no longer kept
    METHOD_MISSING = "method_missing"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"  # the range, the results or the request
    BATCH_LIMIT = "batch_limit"
    CALL_GAS_CAP = "call_gas_cap"
    REVERTED = "reverted"  # the EVM ran and failed
    BUSY = "busy"  # for this moment, whatever is asked
    TIMEOUT = "timeout"
    INTERNAL = "internal"  # a fault of the node's
    OTHER = "other"


REVERT_CODE: Final = 3
LIMIT_EXCEEDED: Final = -32005
"""EIP-1474's code for a limit; some mean the size of the question by it, others its frequency."""
TOO_MANY: Final = 429
"""The code of a hosted node that asks for patience, also where the status is 200."""

_REVERTS: Final = ("execution reverted", "reverted", "vm execution error")
"""Beginnings of a revert's message; what follows them is the contract's own text."""

_EVM: Final = (
    "revert",
    "out of gas",
    "outofgas",
    "invalid opcode",
    "opcode",
    "invalid jump",
    "stack underflow",
    "stack overflow",
    "evm error",
    "vm execution error",
    "gas uint64 overflow",
    "could not be completed due to an exception",
)

_EXACT: Final[Mapping[str, RefusalKind]] = {
    "invalid input": RefusalKind.NOT_CANONICAL,  # Besu's whole message for it
    "timeout": RefusalKind.TIMEOUT,
}

_RATE_LIMITED: Final = (
    "rate limit",
    "ratelimit",
    "rate-limited",
    "too many requests",
    "exceeded the quota",
    "compute units per second",
    "request rate exceeded",
    "request limit reached",
    "requests limited to",
    "rate exceeded",
    "credits limited",
    "concurrent requests capacity",
    "rps limit",
    "requests per second",
    "capacity limit exceeded",
    "limit for your current plan",
    "reached the free tier",
    "reached the quota",
    "quota exceeded",
    "count exceeded",
)

_BUSY: Final = (
    "server is busy",
    "service unavailable",
    "temporarily unavailable",
    "temporarily not available",
    "too much load",
    "no available upstream",
    "no server available",
)

_BATCH: Final = (
    "batch too large",
    "batch size",
    "batch limit",
    "batch request was too large",
    "batch response was too large",
    "batched requests are not supported",
    "batch requests are not supported",
    "maxbatchresponsebodysize",
    "batch of more than",
    "methods in the batch",
)

_PRUNED: Final = (
    "prun",
    "history unavailable",
    "historical data",
    "history is not available",
    "history has expired",
    "historical state",
    "no historical rpc",
    "missing trie node",
    "no state available",
    "world state unavailable",
    "state recreation",
    "state is not available",
    "archive",
    "ancient block",
    "older than the earliest",
    "earliest available block",
    "earliest block available",
)

_NOT_CANONICAL: Final = ("not currently canonical", "block is not canonical")

_BLOCK_UNKNOWN: Final = (
    "header not found",
    "header for hash not found",
    "header for block not found",
    "unknown block",
    "block not found",
    "block does not exist",
    "no block with hash",
    "blockhash not found",
    "block hash not found",
    "resource not found",
    "could not find block",
    "cannot find block",
    "could not be found",
    "beyond current head",
    "beyond head block",
    "has not been executed yet",
    "no state found for block",
    "indexing is not yet complete",
    "indexing is in progress",
    "after last accepted block",
    "blockoutofrange",
    "unfinalized data",
)

_METHOD_MISSING: Final = (
    "does not exist/is not available",
    "unsupported method",
    "method not found",
    "method not enabled",
    "method not supported",
    "method is not available",
    "method is not supported",
    "method is not allowed",
    "method is not whitelisted",
    "but the namespace",
    "notifications not supported",
)

_TIMEOUT: Final = ("timeout", "timed out", "time out", "deadline")

_TOO_LARGE: Final = (
    "block range",
    "max range",
    "maximum rpc range",
    "ranges over",
    "range is too",
    "range too",
    "exceeds limit of",
    "limited to a",
    "blocks distance",
    "too many blocks",
    "too many calls",
    "too many logs",
    "too many results",
    "narrow your filter",
    "max results",
    "returned more than",
    "response size",
    "response too large",
    "is too big",
    "too large",
    "too big",
    "too long",
    "addresses or topics",
    "current limit is",
)

_CALL_GAS_CAP: Final = (
    "gas cap",
    "gas limit",
    "intrinsic gas too high",
    "client adjustable limit",
)

_WORDS: Final[Sequence[tuple[RefusalKind, Sequence[str]]]] = (
    (RefusalKind.RATE_LIMITED, _RATE_LIMITED),
    (RefusalKind.BATCH_LIMIT, _BATCH),
    (RefusalKind.BLOCK_UNKNOWN, ("has not been executed yet", "beyond current head")),
    (RefusalKind.PRUNED, _PRUNED),
    (RefusalKind.NOT_CANONICAL, _NOT_CANONICAL),
    (RefusalKind.BLOCK_UNKNOWN, _BLOCK_UNKNOWN),
    (RefusalKind.METHOD_MISSING, _METHOD_MISSING),
    (RefusalKind.BUSY, _BUSY),
    (RefusalKind.TIMEOUT, _TIMEOUT),
    (RefusalKind.TOO_LARGE, _TOO_LARGE),
    (RefusalKind.CALL_GAS_CAP, _CALL_GAS_CAP),
)
"""In the order in which they are looked for: what is more particular comes first."""

_PATTERNS: Final = (
    # Erigon puts the hash or the number between the words, others the range's two ends.
    (RefusalKind.BLOCK_UNKNOWN, re.compile(r"block #?(0x)?[0-9a-f]+ not found")),
    (RefusalKind.BLOCK_UNKNOWN, re.compile(r"begin \(\d+\) > latest \(\d+\)")),
    (RefusalKind.METHOD_MISSING, re.compile(r"method '?\w+'? (is not|does not exist|not)\b")),
)

_CODES: Final[Mapping[int, RefusalKind]] = {
    4444: RefusalKind.PRUNED,
    -39001: RefusalKind.BLOCK_UNKNOWN,
    TOO_MANY: RefusalKind.RATE_LIMITED,
    -402: RefusalKind.RATE_LIMITED,  # the status of an account that has to be paid for
    -32601: RefusalKind.METHOD_MISSING,
    -32604: RefusalKind.METHOD_MISSING,
}
"""Codes that mean one thing, whatever the words."""

_CODES_WITHOUT_WORDS: Final[Mapping[int, RefusalKind]] = {
    REVERT_CODE: RefusalKind.REVERTED,
    -32015: RefusalKind.REVERTED,
    -32001: RefusalKind.BLOCK_UNKNOWN,
    -32002: RefusalKind.INTERNAL,
    -32004: RefusalKind.METHOD_MISSING,
    LIMIT_EXCEEDED: RefusalKind.RATE_LIMITED,
    -32016: RefusalKind.TIMEOUT,
    -32017: RefusalKind.TIMEOUT,
    -32603: RefusalKind.INTERNAL,
    -38026: RefusalKind.TOO_LARGE,
    500: RefusalKind.INTERNAL,
}
"""What a code means where the words say nothing."""


def classify_refusal(number: int, text: str) -> RefusalKind:
    """Classify a JSON-RPC error by its code and its message."""
    said = text.strip().lower()
    if said.startswith(_REVERTS):
        return RefusalKind.REVERTED
    if number in _CODES:
        return _CODES[number]
    if said in _EXACT:
        return _EXACT[said]
    if number == REVERT_CODE:
        # Alchemy's code for a block that is not there yet, too; a revert has more words.
        return RefusalKind.BLOCK_UNKNOWN if said in _BLOCK_UNKNOWN else RefusalKind.REVERTED
    if any(sign in said for sign in _EVM):
        return RefusalKind.REVERTED
    return _find_kind_by_words(said) or _CODES_WITHOUT_WORDS.get(number, RefusalKind.OTHER)


def _find_kind_by_words(said: str) -> RefusalKind | None:
    for kind, signs in _WORDS:
        if any(sign in said for sign in signs):
            return kind
    return next((kind for kind, pattern in _PATTERNS if pattern.search(said)), None)


def is_bare_limit(number: int, text: str) -> bool:
    """Return whether the node only states a limit, so that the method decides its meaning."""
    return number == LIMIT_EXCEEDED and _find_kind_by_words(text.lower()) is None
