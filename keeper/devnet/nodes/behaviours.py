"""Misbehaviours of a node in one form of request, as its answers show them."""

import enum
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.devnet.nodes.forms import (
    BATCH,
    OTHER_FIELDS,
    READ_FIELDS,
    Message,
    block_of,
    emptied,
    form_of,
    without_fields,
)


class Behaviour(enum.StrEnum):
    """Misbehaviours of a node in place of a correct answer."""

    REFUSED = "refused"
    NULL = "null"
    EMPTY = "empty"
    MISSING = "missing"
    LATE_50_MS = "late-50ms"
    LATE_1_S = "late-1s"
    TRUNCATED = "truncated"
    HUGE = "huge"
    DISAPPEARS = "disappears"
    ONE_IN_TWENTY = "one-in-20"


LATE_SECONDS: Final[Mapping[Behaviour, float]] = {
    Behaviour.LATE_50_MS: 0.05,
    Behaviour.LATE_1_S: 1.0,
}
UNSENT: Final = frozenset({Behaviour.REFUSED, Behaviour.DISAPPEARS, Behaviour.ONE_IN_TWENTY})
"""Behaviours of which the node itself hears nothing: a refused send is not in its pool."""
SPOILT: Final = frozenset({Behaviour.TRUNCATED, Behaviour.HUGE})
"""Behaviours that spoil the message and not the answer."""

_EVERY: Final = 20
_TRANSACTIONS: Final = ("eth_getTransactionReceipt", "eth_getTransactionByHash")
_BLOCKS: Final = ("eth_getBlockByHash", "eth_getBlockByNumber", "eth_getBlockReceipts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One form of request with the node's misbehaviour. ``name`` is the missing field's."""

    form: str
    behaviour: Behaviour
    name: str = ""

    def __str__(self) -> str:
        """Return it as ``--cell`` takes it."""
        field_name = f" {self.name}" if self.name else ""
        return f"{self.form}:{self.behaviour}{field_name}"


@dataclass(slots=True, kw_only=True)
class Misbehaviour:
    """
    The troubles of one endpoint while it runs.

    ``crashed`` begins what disappears in mid-run. ``met`` counts what each trouble did.
    Blocks up to the ``old_height`` are known to a node that is late, too.
    """

    troubles: tuple[Trouble, ...]
    old_height: int = 0
    crashed: bool = False
    met: Counter[Trouble] = field(default_factory=Counter)
    _calls: dict[str, int] = field(default_factory=dict)
    _born: dict[str, float] = field(default_factory=dict)

    def crash(self) -> None:
        """Start the crash. Disappearances start now, the count of twenty with the next answer."""
        self.crashed = True
        self._calls.clear()

    def active(self, form: str) -> Trouble | None:
        """Return the trouble of the next answer of a form, which is counted."""
        trouble = next((one for one in self.troubles if one.form == form), None)
        if trouble is None:
            return None
        if trouble.behaviour is Behaviour.DISAPPEARS and not self.crashed:
            return None
        if trouble.behaviour is Behaviour.ONE_IN_TWENTY:
            count = self._calls.get(form, 0)
            self._calls[form] = count + 1
            if count % _EVERY:
                return None
        return trouble

    def delay(self, trouble: Trouble, request: Message) -> float:
        """Compute the delay of an answer that depends on no block and no transaction."""
        if block_of(request) or request["method"] in _TRANSACTIONS:
            return 0.0
        late = LATE_SECONDS.get(trouble.behaviour, 0.0)
        self.met[trouble] += late > 0.0
        return late

    def refused(self, trouble: Trouble, request: Message) -> Message | None:
        """Build the answer in the node's place. None if the node is asked."""
        if trouble.behaviour in UNSENT:
            self.met[trouble] += 1
            return _build_error(request, *_choose_refusal(trouble, request))
        block = block_of(request)
        is_old = block is not None and int(block, 16) <= self.old_height
        if not is_old and self._is_young(trouble, block):
            self.met[trouble] += 1
            if request["method"] in _BLOCKS:
                return _build_result(request, None)
            return _build_error(request, -32000, "header not found")
        return None

    def changed(self, trouble: Trouble, request: Message, answer: Message) -> Message:
        """Alter the node's answer by the trouble."""
        behaviour, result = trouble.behaviour, answer.get("result")
        if "result" not in answer or behaviour in SPOILT:
            return answer
        if behaviour in LATE_SECONDS:
            hidden = request["method"] in _TRANSACTIONS and result is not None
            if hidden and self._is_young(trouble, str(request["params"][0])):
                self.met[trouble] += 1
                return _build_result(request, None)
            return answer
        self.met[trouble] += 1
        if behaviour is Behaviour.NULL:
            return _build_result(request, None)
        if behaviour is Behaviour.EMPTY:
            return _build_result(request, emptied(result))
        return _build_result(request, _cut(result, trouble.name))

    def _is_young(self, trouble: Trouble, what: str | None) -> bool:
        """Return whether a block or a transaction was first seen too recently."""
        late = LATE_SECONDS.get(trouble.behaviour)
        if late is None or what is None:
            return False
        now = time.monotonic()
        return now - self._born.setdefault(what, now) < late


def notified(trouble: Trouble, notification: Message) -> Message | None:
    """Alter the head of a subscription's notification. None if it is suppressed."""
    params = notification["params"]
    head = params["result"]
    if trouble.behaviour in UNSENT:
        return None
    if trouble.behaviour is Behaviour.NULL:
        head = None
    elif trouble.behaviour is Behaviour.EMPTY:
        head = emptied(head)
    elif trouble.behaviour is Behaviour.MISSING:
        head = _cut(head, trouble.name)
    return notification | {"params": params | {"result": head}}


def forms_in(document: object) -> list[str]:
    """List the forms of a message, of each request and of the batch itself."""
    if isinstance(document, list):
        return [BATCH, *(form_of(request) for request in document)]
    return [form_of(document)] if isinstance(document, dict) else []


def is_notification(document: object) -> bool:
    """Whether a message of the node answers nothing."""
    return isinstance(document, dict) and "method" in document


def _cut(result: object, name: str) -> object:
    """Return a result without a field, or without all those that the keeper does not read."""
    if name == OTHER_FIELDS:
        return without_fields(result, READ_FIELDS, others=True)
    return without_fields(result, (name,))


def _choose_refusal(trouble: Trouble, request: Message) -> tuple[int, str]:
    """Choose code and message, a missing method in several wordings or a temporary fault."""
    method = str(request["method"])
    if trouble.behaviour is Behaviour.REFUSED:
        return -32600, f"Unsupported method: {method}"
    if trouble.behaviour is Behaviour.DISAPPEARS:
        return 35, "method is not available on freetier, please upgrade to paid tier"
    return -32603, "Internal error"


def _build_error(request: Message, code: int, message: str) -> Message:
    return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}}


def _build_result(request: Message, result: object) -> Message:
    return {"jsonrpc": "2.0", "id": request["id"], "result": result}
