"""
What may go wrong between a keeper and its node, by script and by seed.

A script is a list of ``Fault``; ``Faults`` decides with its own seeded chance which of them
meet a request, in the script's order, and ``log`` says afterwards which did. The proxy carries
them out: it holds messages back, answers by status, cuts connections. What only changes
a request or an answer is here. docs/faults.md has every kind with an example.
"""

import copy
import enum
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]

ANY_HASH = "0x" + "fa" * 32
NEVER = 3_600.0
SEND = "eth_sendRawTransaction"
BLOCK = "eth_getBlockByNumber"
NEWEST = ("eth_blockNumber", BLOCK, "eth_getTransactionCount", "eth_getBalance", "newHeads")


class Kind(enum.StrEnum):
    """What goes wrong."""

    # The message: the node has it, if ``delivered``, and the keeper gets no good answer.
    TIMEOUT = "timeout"
    STATUS = "status"
    LIMITED = "limited"
    RESET = "reset"
    TRUNCATED = "truncated"
    HTML = "html"
    BOMB = "bomb"
    LATENCY = "latency"
    # The answer is not what JSON-RPC says.
    WRONG_ID = "wrong_id"
    BOTH = "both"
    REFUSED = "refused"
    # A send.
    SWALLOWED = "swallowed"
    DROPPED = "dropped"
    # Heads.
    STALE_HEAD = "stale_head"
    BACKWARDS_HEAD = "backwards_head"
    FROZEN_HEAD = "frozen_head"
    OTHER_HASH = "other_hash"
    NO_FINALIZED = "no_finalized"
    DEAR = "dear"
    # Notifications on a websocket.
    SILENT = "silent"
    DUPLICATE = "duplicate"
    MISSING = "missing"
    REORDERED = "reordered"
    REMOVED_LOGS = "removed_logs"
    # The state of the chain.
    WRONG_CHAIN = "wrong_chain"
    STALE_NONCE = "stale_nonce"
    AHEAD_NONCE = "ahead_nonce"
    NO_RECEIPT = "no_receipt"
    FLIPPED_RECEIPT = "flipped_receipt"
    FOREIGN_RECEIPT = "foreign_receipt"
    ORPHAN_RECEIPT = "orphan_receipt"
    PARTIAL_LOGS = "partial_logs"


BROKEN = frozenset(
    {
        Kind.TIMEOUT,
        Kind.STATUS,
        Kind.LIMITED,
        Kind.RESET,
        Kind.TRUNCATED,
        Kind.HTML,
        Kind.BOMB,
    }
)
"""Kinds that meet the whole message; the proxy carries them out."""

METHODS: dict[Kind, tuple[str, ...]] = {
    Kind.SWALLOWED: (SEND,),
    Kind.DROPPED: (SEND,),
    Kind.STALE_HEAD: NEWEST,
    Kind.BACKWARDS_HEAD: ("eth_blockNumber", BLOCK),
    Kind.FROZEN_HEAD: ("eth_blockNumber", BLOCK, "newHeads"),
    Kind.OTHER_HASH: (BLOCK,),
    Kind.NO_FINALIZED: (BLOCK,),
    Kind.DEAR: ("eth_feeHistory",),
    Kind.SILENT: ("newHeads", "logs"),
    Kind.DUPLICATE: ("newHeads", "logs"),
    Kind.MISSING: ("newHeads", "logs"),
    Kind.REORDERED: ("newHeads", "logs"),
    Kind.REMOVED_LOGS: ("logs", "eth_getLogs"),
    Kind.WRONG_CHAIN: ("eth_chainId",),
    Kind.STALE_NONCE: ("eth_getTransactionCount",),
    Kind.AHEAD_NONCE: ("eth_getTransactionCount",),
    Kind.NO_RECEIPT: ("eth_getTransactionReceipt",),
    Kind.FLIPPED_RECEIPT: ("eth_getTransactionReceipt",),
    Kind.FOREIGN_RECEIPT: ("eth_getTransactionReceipt",),
    Kind.ORPHAN_RECEIPT: ("eth_getTransactionReceipt",),
    Kind.PARTIAL_LOGS: ("eth_getLogs",),
}
"""What a kind meets where the script names no methods; what is not here meets everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    One line of a script.

    It meets requests of ``methods`` (notifications are ``newHeads`` and ``logs``) with
    ``chance``, from the one after the first ``after`` on, ``times`` times at most.
    ``delivered`` says whether the node gets a message whose answer is lost. ``amount`` is
    blocks, nonces, per cent or copies, by kind; ``seconds`` how long.
    """

    kind: Kind
    methods: tuple[str, ...] = ()
    chance: float = 1.0
    after: int = 0
    times: int | None = None
    delivered: bool = True
    status: int = 500
    text: str = "the node is busy"
    seconds: float = NEVER
    amount: int = 10

    @property
    def wanted(self) -> tuple[str, ...]:
        """The methods that it meets; empty: all."""
        return self.methods or METHODS.get(self.kind, ())


@dataclass(slots=True)
class Faults:
    """A script under way: the same script and seed and requests give the same faults."""

    script: Sequence[Fault] = ()
    seed: int = 0
    log: list[tuple[str, Kind]] = field(default_factory=list)
    held: list[Message] = field(default_factory=list)
    _met: dict[int, int] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)
    _frozen: dict[Any, Any] = field(default_factory=dict)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - to be repeated, not kept secret

    def fired(self, method: str) -> list[Fault]:
        """Return what meets this request, and note it."""
        found = []
        for at, one in enumerate(self.script):
            if one.wanted and method not in one.wanted:
                continue
            self._seen[at] = self._seen.get(at, 0) + 1
            met = self._met.get(at, 0)
            if self._seen[at] <= one.after or (one.times is not None and met >= one.times):
                continue
            if one.chance < 1 and self._chance.random() >= one.chance:
                continue
            self._met[at] = met + 1
            self.log.append((method, one.kind))
            found.append(one)
        return found

    def asked(self, request: Message, fired: Sequence[Fault], newest: int) -> Message:
        """Return the request that goes to the node instead; ``newest`` is its head."""
        behind = sum(
            one.amount
            for one in fired
            if one.kind is Kind.STALE_HEAD
            or (one.kind is Kind.BACKWARDS_HEAD and self._seen_of(one) % 2 == 0)
        )
        if not behind or "latest" not in request.get("params", []):
            return request
        changed = copy.deepcopy(request)
        old = hex(max(0, newest - behind))
        changed["params"] = [old if one == "latest" else one for one in changed["params"]]
        return changed

    def answered(self, request: Message, answer: Message, fired: Sequence[Fault]) -> Message:
        """Return what the keeper gets instead of the node's answer."""
        for one in fired:
            change = CHANGES.get(one.kind)
            if one.kind is Kind.FROZEN_HEAD:
                answer = self._freeze(request, answer)
            elif one.kind is Kind.STALE_HEAD and request["method"] == "eth_blockNumber":
                answer = result(answer, hex(max(0, int(answer["result"], 16) - one.amount)))
            elif change is not None:
                answer = change(request, copy.deepcopy(answer), one)
        return answer

    def notified(self, document: Message) -> list[Message]:
        """Return what the keeper hears instead of one notification: nothing, it, or more."""
        what = document["params"]["result"]
        head = isinstance(what, dict) and "parentHash" in what
        heard = [document]
        for one in self.fired("newHeads" if head else "logs"):
            if one.kind in {Kind.SILENT, Kind.MISSING, Kind.FROZEN_HEAD, Kind.STALE_HEAD}:
                heard = []
            elif one.kind is Kind.DUPLICATE:
                heard = heard * max(2, one.amount)
            elif one.kind is Kind.REMOVED_LOGS and not head:
                gone = copy.deepcopy(document)
                gone["params"]["result"]["removed"] = True
                heard = [*heard, gone]
            elif one.kind is Kind.REORDERED:
                heard, self.held = ([*heard, *self.held], []) if self.held else ([], heard)
        return heard

    def _seen_of(self, fault: Fault) -> int:
        return self._seen.get(list(self.script).index(fault), 0)

    def _freeze(self, request: Message, answer: Message) -> Message:
        """Give the first newest block again, as if it were always the present one."""
        params = request.get("params", [])
        if request["method"] == BLOCK and params[:1] != ["latest"]:
            return answer
        first = self._frozen.setdefault(request["method"], answer.get("result"))
        if isinstance(first, dict):
            now = (answer.get("result") or {}).get("timestamp", first["timestamp"])
            first = {**first, "timestamp": now}
        return result(answer, first)


def result(answer: Message, value: Any) -> Message:
    """Return an answer with another result."""
    return {"jsonrpc": "2.0", "id": answer["id"], "result": value}


def refused(request: Message, text: str, code: int = -32000) -> Message:
    """Return the JSON-RPC error that answers a request."""
    return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": text}}


def _wrong_id(_request: Message, answer: Message, _fault: Fault) -> Message:
    return {**answer, "id": 987_654_321}


def _both(_request: Message, answer: Message, fault: Fault) -> Message:
    return {**answer, "error": {"code": -32000, "message": fault.text}}


def _refused(request: Message, _answer: Message, fault: Fault) -> Message:
    return refused(request, fault.text)


def _other_hash(_request: Message, answer: Message, _fault: Fault) -> Message:
    if answer.get("result"):
        answer["result"]["hash"] = ANY_HASH
    return answer


def _no_finalized(request: Message, answer: Message, _fault: Fault) -> Message:
    if request["params"][:1] in (["finalized"], ["safe"]):
        return refused(request, "'finalized' tag not supported on pre-merge network", -39001)
    return answer


def _dear(_request: Message, answer: Message, fault: Fault) -> Message:
    fees = answer["result"]["baseFeePerGas"]
    fees[-1] = hex(int(fees[-1], 16) * fault.amount)
    return answer


def _wrong_chain(_request: Message, answer: Message, fault: Fault) -> Message:
    return result(answer, hex(int(answer["result"], 16) + fault.amount))


def _stale_nonce(_request: Message, answer: Message, fault: Fault) -> Message:
    return result(answer, hex(max(0, int(answer["result"], 16) - fault.amount)))


def _ahead_nonce(_request: Message, answer: Message, fault: Fault) -> Message:
    return result(answer, hex(int(answer["result"], 16) + fault.amount))


def _no_receipt(_request: Message, answer: Message, _fault: Fault) -> Message:
    return result(answer, None)


def _receipt(**changes: Callable[[str], str]) -> Callable[[Message, Message, Fault], Message]:
    def change(_request: Message, answer: Message, _fault: Fault) -> Message:
        found = answer.get("result")
        if isinstance(found, dict):
            found.update({name: make(found[name]) for name, make in changes.items()})
        return answer

    return change


def _partial_logs(_request: Message, answer: Message, fault: Fault) -> Message:
    logs = answer.get("result") or []
    return result(answer, logs[: len(logs) - max(1, len(logs) * fault.amount // 100)])


def _removed_logs(request: Message, answer: Message, _fault: Fault) -> Message:
    if request["method"] != "eth_getLogs":
        return answer
    return result(answer, [{**one, "removed": True} for one in answer.get("result") or []])


CHANGES: dict[Kind, Callable[[Message, Message, Fault], Message]] = {
    Kind.WRONG_ID: _wrong_id,
    Kind.BOTH: _both,
    Kind.REFUSED: _refused,
    Kind.OTHER_HASH: _other_hash,
    Kind.NO_FINALIZED: _no_finalized,
    Kind.DEAR: _dear,
    Kind.WRONG_CHAIN: _wrong_chain,
    Kind.STALE_NONCE: _stale_nonce,
    Kind.AHEAD_NONCE: _ahead_nonce,
    Kind.NO_RECEIPT: _no_receipt,
    Kind.FLIPPED_RECEIPT: _receipt(status=lambda was: "0x0" if was == "0x1" else "0x1"),
    Kind.FOREIGN_RECEIPT: _receipt(**{"from": lambda _: "0x" + "fa" * 20}),
    Kind.ORPHAN_RECEIPT: _receipt(blockHash=lambda _: ANY_HASH),
    Kind.PARTIAL_LOGS: _partial_logs,
    Kind.REMOVED_LOGS: _removed_logs,
}


def parsed(text: str) -> list[Fault]:
    """
    Return the script written as ``kind[:name=value,...]``, one a line or between semicolons.

    ``timeout:methods=eth_sendRawTransaction,chance=0.3`` is one; several methods are
    joined by ``+``.
    """
    script = []
    for line in text.replace("\n", ";").split(";"):
        name, _, given = line.strip().partition(":")
        if not name:
            continue
        fields: dict[str, Any] = {}
        for part in filter(None, given.split(",")):
            key, _, value = part.partition("=")
            fields[key.strip()] = _value(key.strip(), value.strip())
        script.append(Fault(kind=Kind(name), **fields))
    return script


def _value(name: str, text: str) -> Any:
    if name == "methods":
        return tuple(text.split("+"))
    if name == "text":
        return text
    if name == "delivered":
        return text in {"true", "yes", "1"}
    return float(text) if name in {"chance", "seconds"} else int(text)
