"""Translates a node's error object to the keeper's errors."""

import re
from typing import Final, TypeGuard

from keeper.chain.abi import SELECTOR, WORD
from keeper.chain.endpoint import sanitised
from keeper.chain.fields import Json
from keeper.chain.refusal_kinds import TOO_MANY, RefusalKind, classify_refusal, is_bare_limit
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    NotCanonical,
    RpcBusy,
    RpcMalformed,
    RpcRefused,
    StateUnknown,
)

PINNED_METHODS: Final = frozenset(
    {
        "eth_call",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_getBalance",
        "eth_getBlockReceipts",
        "eth_getCode",
        "eth_getLogs",
        "eth_getStorageAt",
        "eth_getTransactionCount",
        "eth_simulateV1",
    }
)
"""Methods whose answer depends on a block that the caller named."""
NEVER_NULL: Final = PINNED_METHODS - {"eth_simulateV1"}
"""Methods that answer ``null`` only where they lack the block, or are not offered at all."""
OF_TRANSACTIONS: Final = frozenset({"eth_getTransactionByHash", "eth_getTransactionReceipt"})
"""Methods that answer ``null`` for a transaction that the node does not know."""
UNKNOWN_TRANSACTION: Final = ("not found", "unknown transaction", "could not find")
"""How nodes refuse to tell of such a transaction, where they do not answer ``null``."""
LOGS_METHOD: Final = "eth_getLogs"
METHOD_NOT_FOUND: Final = -32601
"""JSON-RPC's code for a method that the node does not offer."""

_BUSY: Final = frozenset({RefusalKind.RATE_LIMITED, RefusalKind.BUSY})
_TOO_MUCH: Final = frozenset(
    {
        RefusalKind.TOO_LARGE,
        RefusalKind.CALL_GAS_CAP,
        RefusalKind.BATCH_LIMIT,
        RefusalKind.TIMEOUT,
    }
)
_OF_THE_QUESTION: Final = _TOO_MUCH | {RefusalKind.REVERTED}
"""What a smaller or another question would meet differently, and another endpoint would not."""
_MAY_PASS: Final = frozenset({RefusalKind.INTERNAL, RefusalKind.OTHER})
INVALID_REQUEST: Final = frozenset({-32600, -32602})
"""JSON-RPC's codes for a question that the node does not understand."""
_PERHAPS_TOO_MUCH: Final = ("limit", "intrinsic gas", "exceed")
"""Words of nodes that are not in the table, which may mean that less would be answered."""

BATCH_LIMITS: Final = ("batch", "response too large", "timed out")
"""How nodes refuse entries of a batch because of the others (geth, Erigon, Besu, dRPC)."""

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

_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+")


def refusal(method: str, error: Json) -> ChainError:
    """Translate a node's error object to an error."""
    if not isinstance(error, dict):
        return RpcMalformed(f"the error of {method} is not an object")
    number, text = error.get("code"), error.get("message")
    if isinstance(number, bool) or not isinstance(number, int) or not isinstance(text, str):
        return RpcMalformed(f"the error of {method} has no code or no message")
    shown, kind = sanitised(text), classify_refusal(number, text)
    if method == LOGS_METHOD and is_bare_limit(number, text):
        kind = RefusalKind.TOO_LARGE
    unknown = _translate_missing_block(method, kind) if method in PINNED_METHODS else None
    if unknown is not None:
        return unknown
    if kind in _BUSY:
        seconds = _parse_backoff(error.get("data"))
        return RpcBusy(f"the node is busy: {shown}", seconds=seconds)
    return RpcRefused(
        f"the node refused {method}: {shown}",
        number=number,
        text=shown,
        data=_extract_revert_data(error.get("data"), text),
    )


def null_answer(method: str) -> BlockUnknown | None:
    """Translate ``null`` as an answer to an error. None if ``null`` is legitimate."""
    if method not in NEVER_NULL:
        return None
    return BlockUnknown(f"the node answered {method} with null")


def is_unknown_transaction(method: str, error: ChainError) -> bool:
    """Return whether a node refuses a transaction because it does not know it."""
    if method not in OF_TRANSACTIONS or not isinstance(error, RpcRefused):
        return False
    kind, said = refusal_kind(error), error.text.lower()
    if kind is RefusalKind.BLOCK_UNKNOWN:
        return True
    unclear = kind in (RefusalKind.OTHER, RefusalKind.INTERNAL)
    return unclear and any(sign in said for sign in UNKNOWN_TRANSACTION)


def is_unknown_block(error: RpcRefused) -> bool:
    """Return whether a refused query of a header means that the node does not have the block."""
    return refusal_kind(error) is RefusalKind.BLOCK_UNKNOWN


def _translate_missing_block(method: str, kind: RefusalKind) -> BlockUnknown | None:
    """Return the error for a missing block or its state. None for any other kind."""
    if kind is RefusalKind.BLOCK_UNKNOWN:
        return BlockUnknown(f"the node does not know the block of {method}")
    if kind is RefusalKind.NOT_CANONICAL:
        return NotCanonical(f"the node calls the block of {method} not canonical")
    if kind is RefusalKind.PRUNED and method != LOGS_METHOD:
        return StateUnknown(f"the node does not have the state of the block of {method}")
    return None


def asks_for_patience(answer: Json) -> bool:
    """Return whether an answer that is no JSON-RPC is a gateway's rate limit."""
    if not isinstance(answer, dict):
        return False
    inner = answer.get("error")
    documents = [answer, inner] if isinstance(inner, dict) else [answer]
    return any(
        one.get(key) in (TOO_MANY, str(TOO_MANY))
        for one in documents
        for key in ("code", "status", "statusCode")
    )


def _parse_backoff(data: Json) -> float | None:
    """Return the node's back-off seconds (as in Infura's ``data.rate.backoff_seconds``)."""
    if not isinstance(data, dict):
        return None
    rate = data.get("rate")
    found = rate.get("backoff_seconds") if isinstance(rate, dict) else data.get("retry_after")
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return max(0.0, float(found))


def _extract_revert_data(given: Json, text: str) -> bytes:
    """Extract the revert data from any of the nodes' formats."""
    if isinstance(given, dict):
        given = given.get("data", given.get("result"))
    found = _HEX.search(given) if isinstance(given, str) else None
    if found is not None:
        return bytes.fromhex(found.group()[2:])
    spelled = _HEX.search(text) if "revert" in text.lower() else None
    raw = bytes.fromhex(spelled.group()[2:]) if spelled is not None else b""
    return raw if len(raw) % WORD == SELECTOR else b""


def refusal_kind(error: RpcRefused) -> RefusalKind:
    """Return the kind of a refusal."""
    return classify_refusal(error.number, error.text)


def failed_in_evm(error: RpcRefused) -> bool:
    """Return whether the call itself failed (revert, out of gas, invalid opcode)."""
    return refusal_kind(error) is RefusalKind.REVERTED


def is_too_much(error: RpcRefused) -> bool:
    """Return whether a smaller request may succeed, after one too long, slow or expensive."""
    kind, said = refusal_kind(error), error.text.lower()
    if kind is RefusalKind.OTHER:
        return any(sign in said for sign in _PERHAPS_TOO_MUCH)
    return kind in _TOO_MUCH


def may_be_answered_elsewhere(error: RpcRefused) -> bool:
    """Return whether another endpoint may answer a request that this one refused."""
    of_the_question = refusal_kind(error) in _OF_THE_QUESTION or error.data
    return not (of_the_question or is_too_much(error) or is_too_much_code(error))


def is_momentary(error: RpcRefused) -> bool:
    """Return whether the same endpoint may answer a retry."""
    is_passing = refusal_kind(error) in _MAY_PASS and error.number not in INVALID_REQUEST
    return is_passing and may_be_answered_elsewhere(error)


def concerns_batch(answer: object) -> TypeGuard[RpcRefused]:
    """Return whether an entry was refused because of the rest of its batch."""
    if not isinstance(answer, RpcRefused):
        return False
    said = answer.text.lower()
    is_limit = refusal_kind(answer) is RefusalKind.BATCH_LIMIT
    return is_limit or any(sign in said for sign in BATCH_LIMITS)


def is_pruned(error: RpcRefused) -> bool:
    """Return whether the node has pruned such old blocks, whatever the size of the request."""
    return refusal_kind(error) is RefusalKind.PRUNED


def is_too_much_code(error: RpcRefused) -> bool:
    """Return whether a deployment was refused for its code size and not its execution."""
    said = error.text.lower()
    return any(sign in said for sign in TOO_MUCH_CODE)
