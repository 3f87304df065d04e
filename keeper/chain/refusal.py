"""What a node's error object means: translated once, here, to our own errors."""

import re
from typing import Final, TypeGuard

from keeper.chain.abi import SELECTOR, WORD
from keeper.chain.endpoint import sanitised
from keeper.chain.fields import Json
from keeper.domain.errors import (
    ChainError,
    RpcBusy,
    RpcMalformed,
    RpcRefused,
    SnapshotReorged,
)

PINNED_METHODS: Final = frozenset(
    {
        "eth_call",
        "eth_estimateGas",
        "eth_getBalance",
        "eth_getCode",
        "eth_getLogs",
        "eth_getStorageAt",
        "eth_getTransactionCount",
        "eth_simulateV1",
    }
)
"""Methods whose answer depends on a block that the caller named."""

UNKNOWN_BLOCK: Final = (
    "header not found",
    "header for hash not found",
    "header for block not found",
    "not currently canonical",
    "unknown block",
    "block not found",
    "block does not exist",
    "block is not canonical",
    "no block with hash",
    "blockhash not found",
    "block hash not found",
    "resource not found",
    "could not find block",
    "cannot find block",
    "could not be found",
)
"""How nodes say that they do not know a block (geth, erigon, nethermind, besu, reth, anvil)."""

BUSY: Final = (
    "rate limit",
    "ratelimit",
    "too many requests",
    "exceeded the quota",
    "compute units per second",
    "request rate exceeded",
    "request limit reached",
    "rate exceeded",
    "credits limited",
    "concurrent requests capacity",
    "rps limit",
    "server is busy",
    "service unavailable",
    "temporarily unavailable",
)
"""How hosted nodes ask for patience (Alchemy, Infura, QuickNode, Chainstack, Ankr)."""

TOO_MANY: Final = 429
"""The code of a hosted node that asks for patience, also where the status is 200."""
LIMIT_EXCEEDED: Final = -32005
"""EIP-1474's code for a limit; some mean the size of the question by it, others its frequency."""
_SIZE: Final = (
    "range",
    "results",
    "response size",
    "batch size",
    "gas limit",
    "query returned",
    "logs",
    "blocks",
)

REVERTED: Final = 3
"""The error code of a revert."""

IN_EVM: Final = (
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
)
"""How nodes say that execution failed."""

TOO_MUCH: Final = (
    "too large",
    "too big",
    "too long",
    "timeout",
    "timed out",
    "time out",
    "limit",
    "gas cap",
    "intrinsic gas",
    "exceed",
    "deadline",
)
"""How nodes say that a smaller question may be answered."""

BATCH_LIMITS: Final = ("batch", "response too large", "timed out")
"""How nodes refuse entries of a batch because of the others (geth, Erigon, Besu, dRPC)."""

PRUNED: Final = (
    "prun",
    "history unavailable",
    "historical data",
    "history is not available",
    "ancient block",
    "older than the earliest",
    "earliest available block",
    "earliest block available",
)
"""How nodes say that they have thrown away what is asked for."""

TOO_MUCH_CODE: Final = (
    "code size",
    "codesize",
    "sizelimit",
    "initcode",
    "contract size",
    "code store",
    "must not begin with 0xef",
    "createcontract",
)
"""How nodes say that what a deployment returned cannot be a contract."""

_REVERT: Final = ("execution reverted", "reverted", "vm execution error")
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+")


def refusal(method: str, error: Json) -> ChainError:
    """Return the error that a node's error object stands for."""
    if not isinstance(error, dict):
        return RpcMalformed(f"the error of {method} is not an object")
    number, text = error.get("code"), error.get("message")
    if isinstance(number, bool) or not isinstance(number, int) or not isinstance(text, str):
        return RpcMalformed(f"the error of {method} has no code or no message")
    shown, said = sanitised(text), text.lower()
    reverted = number == REVERTED or said.startswith(_REVERT)
    if not reverted and method in PINNED_METHODS and any(sign in said for sign in UNKNOWN_BLOCK):
        return SnapshotReorged(f"the node does not know the block of {method}")
    if not reverted and _is_busy(number, said):
        seconds = _patience(error.get("data"))
        return RpcBusy(f"the node is busy: {shown}", seconds=seconds)
    return RpcRefused(
        f"the node refused {method}: {shown}",
        number=number,
        text=shown,
        data=_revert_data(error.get("data"), text),
    )


def asks_for_patience(answer: Json) -> bool:
    """Whether what is no JSON-RPC answer is a gateway's way to say: too many requests."""
    if not isinstance(answer, dict):
        return False
    inner = answer.get("error")
    documents = [answer, inner] if isinstance(inner, dict) else [answer]
    return any(
        one.get(key) in (TOO_MANY, str(TOO_MANY))
        for one in documents
        for key in ("code", "status", "statusCode")
    )


def _is_busy(number: int, said: str) -> bool:
    if number == TOO_MANY or any(sign in said for sign in BUSY):
        return True
    return number == LIMIT_EXCEEDED and not any(sign in said for sign in _SIZE)


def _patience(data: Json) -> float | None:
    """Return for how many seconds the node asks (Infura: ``data.rate.backoff_seconds``)."""
    if not isinstance(data, dict):
        return None
    rate = data.get("rate")
    found = rate.get("backoff_seconds") if isinstance(rate, dict) else data.get("retry_after")
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return max(0.0, float(found))


def _revert_data(given: Json, text: str) -> bytes:
    """Return the revert data, wherever this kind of node puts it."""
    if isinstance(given, dict):
        given = given.get("data", given.get("result"))
    found = _HEX.search(given) if isinstance(given, str) else None
    if found is not None:
        return bytes.fromhex(found.group()[2:])
    spelled = _HEX.search(text) if "revert" in text.lower() else None
    raw = bytes.fromhex(spelled.group()[2:]) if spelled is not None else b""
    return raw if len(raw) % WORD == SELECTOR else b""


def failed_in_evm(error: RpcRefused) -> bool:
    """Whether the call itself failed: reverted, ran out of gas, hit an invalid opcode."""
    said = error.text.lower()
    return error.number == REVERTED or any(sign in said for sign in IN_EVM)


def is_too_much(error: RpcRefused) -> bool:
    """Whether less may be answered: too long, too slow or too expensive for this node."""
    said = error.text.lower()
    return any(sign in said for sign in TOO_MUCH)


def concerns_batch(answer: object) -> TypeGuard[RpcRefused]:
    """Whether an entry of a batch was refused because of the others: alone it may be answered."""
    said = answer.text.lower() if isinstance(answer, RpcRefused) else ""
    return any(sign in said for sign in BATCH_LIMITS)


def is_pruned(error: RpcRefused) -> bool:
    """Whether the node no longer has so old blocks, whatever the size of the question."""
    said = error.text.lower()
    return any(sign in said for sign in PRUNED)


def is_too_much_code(error: RpcRefused) -> bool:
    """Whether a deployment was refused for the code it brings or returns, not for what it does."""
    said = error.text.lower()
    return any(sign in said for sign in TOO_MUCH_CODE)
