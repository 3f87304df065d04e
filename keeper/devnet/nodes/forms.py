"""Forms of requests, a method with the way it names its block or its call."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

Message = dict[str, Any]

READ_FIELDS: Final = frozenset(
    {
        *("number", "hash", "parentHash", "timestamp", "baseFeePerGas", "gasLimit", "gasUsed"),
        *("address", "topics", "data", "blockNumber", "blockHash", "logIndex", "removed"),
        *("transactionHash", "transactionIndex", "status", "effectiveGasPrice", "from", "logs"),
        *("logsBloom", "reward", "oldestBlock", "calls", "transactions"),
    }
)
"""
Fields that the keeper reads, each left out in a cell of its own.

All others are left out together in one more: that it goes well shows that none is missing here.
"""
OTHER_FIELDS: Final = "all-others"

SEND: Final = "eth_sendRawTransaction"
BATCH: Final = "batch of requests"
"""The form of a message with several requests."""
NEW_HEADS: Final = "newHeads notification"
"""The form of what a subscription to heads sends unasked."""
NEW_HEADS_REQUEST: Final = "eth_subscribe newHeads"

_BLOCK_AT: Final[Mapping[str, int]] = {
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_simulateV1": 1,
    "eth_getBlockByNumber": 0,
    "eth_getBlockReceipts": 0,
}
"""The place of the block among a method's parameters."""
_TRANSACTION_AND_OVERRIDES: Final = 2


def form_of(request: Message) -> str:
    """Classify the form of one request."""
    method, params = str(request["method"]), request.get("params") or []
    if method == "eth_getLogs":
        return f"{method} by {'hash' if 'blockHash' in params[0] else 'range'}"
    if method == "eth_subscribe":
        return f"{method} {params[0]}"
    if method == "eth_call" and len(params) > _TRANSACTION_AND_OVERRIDES:
        return f"{method} with overrides"
    if method == "eth_call" and "to" not in params[0]:
        return f"{method} without a contract"
    place = _BLOCK_AT.get(method)
    if place is None or len(params) <= place:
        return method
    return f"{method} {_classify_block(params[place])}"


def _classify_block(block: object) -> str:
    if isinstance(block, dict):
        return "by hash"
    text = str(block)
    return "by number" if text.startswith("0x") else text


def block_of(request: Message) -> str | None:
    """Return the hash or the number (as hex) of a request's only block, if any."""
    method, params = str(request["method"]), request.get("params") or []
    if method == "eth_getLogs":
        block = params[0].get("blockHash") or params[0].get("toBlock")
    elif method in ("eth_getBlockByHash", "eth_getBlockByNumber"):
        block = params[0]
    else:
        place = _BLOCK_AT.get(method)
        given = params[place] if place is not None and len(params) > place else None
        block = given.get("blockHash") if isinstance(given, dict) else given
    return block if isinstance(block, str) and block.startswith("0x") else None


def fields_of(result: object) -> Sequence[str]:
    """Return the fields of a result that is an object, or a list of objects."""
    if isinstance(result, list):
        result = next((item for item in result if isinstance(item, dict)), None)
    return sorted(result) if isinstance(result, dict) else ()


def without_fields(result: object, names: Collection[str], *, others: bool = False) -> object:
    """Return a result without these fields in each of its objects, or with only these."""
    if isinstance(result, list):
        return [without_fields(item, names, others=others) for item in result]
    if isinstance(result, dict):
        return {key: value for key, value in result.items() if (key in names) is others}
    return result


def emptied(result: object) -> object:
    """Return the empty value of a result's type."""
    if isinstance(result, list):
        return []
    return {} if isinstance(result, dict) else "0x"
