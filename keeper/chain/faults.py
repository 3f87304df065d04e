"""Methods that endpoints fail to answer, for ``doctor`` and ``/readyz``.

A method is at fault from its first failure until an endpoint answers it. A refusal by a contract (a
revert, a used nonce) is an answer. Methods with an alternative are left out.
"""

import enum
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from keeper.chain.refusal import refusal_kind
from keeper.chain.refusal_kinds import RefusalKind
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    NotCanonical,
    RpcBusy,
    RpcMalformed,
    RpcRefused,
    RpcTooLarge,
    RpcUnavailable,
    SnapshotReorged,
    StateUnknown,
)

log = logging.getLogger(__name__)

OPTIONAL: Final = frozenset(
    {
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBlockReceipts",
        "eth_maxPriorityFeePerGas",
        "eth_newBlockFilter",
        "eth_simulateV1",
        "eth_subscribe",
        "eth_unsubscribe",
        "web3_clientVersion",
    }
)
"""Methods that the keeper does without; the lack is known to ``Capabilities``."""
SEND: Final = "eth_sendRawTransaction"
_NAMED_AT: Final = {
    "eth_call": 0,
    "eth_getBlockByNumber": 0,
    "eth_getLogs": 0,
    "eth_getTransactionCount": 1,
}
"""The place of the parameter that tells a method's forms apart."""
_METHODS: Final = ("eth_", "net_", "web3_")
"""How methods begin."""
_OPTIONAL_TAGS: Final = frozenset({"finalized", "pending", "safe"})
_WITHOUT_OVERRIDES: Final = 2

Request = tuple[str, Sequence[object]]
"""A method and its parameters."""

LASTING_BLOCKS: Final = 2
"""A fault that is older than so many blocks is said."""
FORGOTTEN_BLOCKS: Final = 6
FORGOTTEN_SECONDS: Final = 30.0
"""A fault that was not met for longer, and for so many blocks, is over."""


class AnswerClass(enum.StrEnum):
    """Class of a failed answer. The value is its display text."""

    UNKNOWN_BLOCK = "that it does not know the block"
    NOT_CANONICAL = "that the block is not canonical"
    PRUNED = "that it has not kept the state"
    METHOD_MISSING = "that it does not have the method"
    RATE_LIMITED = "that it is asked too often"
    TOO_LARGE = "that too much is asked"
    BUSY = "that it is busy"
    TIMEOUT = "that it took too long"
    INTERNAL = "with a fault of its own"
    REFUSED = "with a refusal"
    MALFORMED = "with what is no answer"
    OVERSIZED = "with far more than was asked"
    SILENT = "nothing"


CURES: Final[Mapping[AnswerClass, str]] = {
    AnswerClass.UNKNOWN_BLOCK: "its backends lag behind its heads: add a second endpoint",
    AnswerClass.NOT_CANONICAL: "it is on another branch: add a second endpoint",
    AnswerClass.PRUNED: "use a node that keeps the newest 128 states",
    AnswerClass.METHOD_MISSING: "use a node, or a plan, that has the method",
    AnswerClass.RATE_LIMITED: "use a larger plan, or add an endpoint of another provider",
    AnswerClass.TOO_LARGE: "raise the node's limits, or add another endpoint",
    AnswerClass.BUSY: "add a second endpoint",
    AnswerClass.TIMEOUT: "use a faster node, or raise its limits",
    AnswerClass.INTERNAL: "look at the node's log, or use another node",
    AnswerClass.REFUSED: "look at the node's log, or use another node",
    AnswerClass.MALFORMED: "the node, or a proxy before it, is broken: use another",
    AnswerClass.OVERSIZED: "the node, or a proxy before it, is broken: use another",
    AnswerClass.SILENT: "is it running, and is the way to it open?",
}

_BY_KIND: Final[Mapping[RefusalKind, AnswerClass]] = {
    RefusalKind.BLOCK_UNKNOWN: AnswerClass.UNKNOWN_BLOCK,
    RefusalKind.NOT_CANONICAL: AnswerClass.NOT_CANONICAL,
    RefusalKind.PRUNED: AnswerClass.PRUNED,
    RefusalKind.METHOD_MISSING: AnswerClass.METHOD_MISSING,
    RefusalKind.RATE_LIMITED: AnswerClass.RATE_LIMITED,
    RefusalKind.TOO_LARGE: AnswerClass.TOO_LARGE,
    RefusalKind.BATCH_LIMIT: AnswerClass.TOO_LARGE,
    RefusalKind.CALL_GAS_CAP: AnswerClass.TOO_LARGE,
    RefusalKind.BUSY: AnswerClass.BUSY,
    RefusalKind.TIMEOUT: AnswerClass.TIMEOUT,
    RefusalKind.INTERNAL: AnswerClass.INTERNAL,
}
_OF_THE_NODE: Final = frozenset(
    {
        AnswerClass.METHOD_MISSING,
        AnswerClass.RATE_LIMITED,
        AnswerClass.BUSY,
        AnswerClass.TIMEOUT,
        AnswerClass.INTERNAL,
    }
)
"""Refusals of a send that say something of the node; the others are about the transaction."""


class Asked(NamedTuple):
    """A method and its required form. The form is empty if the request is optional."""

    method: str = ""
    form: str = ""

    @classmethod
    def of(cls, method: str, params: Sequence[object]) -> "Asked":
        """Return the form of a request. Forms that nodes refuse separately are separate faults."""
        if method in OPTIONAL:
            return cls(method)
        place = _NAMED_AT.get(method)
        named = None if place is None or len(params) <= place else params[place]
        match method:
            case "eth_getBlockByNumber" if str(named).startswith("0x"):
                return cls(method, f"{method} by number")
            case "eth_getBlockByNumber" | "eth_getTransactionCount" if named in _OPTIONAL_TAGS:
                return cls(method)
            case "eth_getLogs" if isinstance(named, Mapping) and "blockHash" in named:
                return cls(method)
            case "eth_call" if len(params) > _WITHOUT_OVERRIDES or "to" not in _list_keys(named):
                return cls(method)
        return cls(method, method)


NOTHING: Final = Asked()


def _list_keys(named: object) -> Collection[object]:
    return named.keys() if isinstance(named, Mapping) else ("to",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A method that an endpoint does not answer, first and last seen in monotonic seconds.

    ``form`` is the form of the request, if nodes refuse one form and answer another.
    """

    endpoint: int
    method: str
    answered: AnswerClass
    form: str = ""
    since: float = 0.0
    last: float = 0.0
    is_of_content: bool = False
    """Whether it shows only where the answer is read."""

    @property
    def reason(self) -> str:
        """A text on the endpoint's answer."""
        return f"{self.method} answered {self.answered}"

    @property
    def cure(self) -> str:
        """A text on the remedy."""
        return CURES[self.answered]


def classify_answer(error: ChainError) -> AnswerClass:
    """Classify an endpoint's failed answer."""
    if isinstance(error, RpcRefused):
        return _BY_KIND.get(refusal_kind(error), AnswerClass.REFUSED)
    classes: Sequence[tuple[type[ChainError], AnswerClass]] = (
        (RpcBusy, AnswerClass.RATE_LIMITED),
        (RpcUnavailable, AnswerClass.SILENT),
        (RpcTooLarge, AnswerClass.OVERSIZED),
        (RpcMalformed, AnswerClass.MALFORMED),
        (StateUnknown, AnswerClass.PRUNED),
        (NotCanonical, AnswerClass.NOT_CANONICAL),
        (BlockUnknown, AnswerClass.UNKNOWN_BLOCK),
        (SnapshotReorged, AnswerClass.NOT_CANONICAL),
    )
    return next(
        (kind for raised, kind in classes if isinstance(error, raised)), AnswerClass.REFUSED
    )


def is_answer(method: str, error: ChainError) -> bool:
    """Return whether an error is an answer to the request, and no fault of the endpoint."""
    if not isinstance(error, RpcRefused):
        return False
    if method == SEND:
        return classify_answer(error) not in _OF_THE_NODE
    return refusal_kind(error) is RefusalKind.REVERTED


class Faults:
    """The methods that each endpoint fails to answer, from all requests to it.

    A fault that lasts longer than two blocks, ``block_seconds`` each, is logged once.
    """

    def __init__(self, block_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.block_seconds = block_seconds
        self._clock = clock
        self._faults: dict[tuple[int, str], Fault] = {}
        self._reported: set[tuple[int, str]] = set()
        self._answered_at: dict[str, float] = {}
        self._noted: ChainError | None = None

    def note_all(
        self, endpoint: int, requests: Sequence[Request], answers: Sequence[object]
    ) -> None:
        """Record the outcome of each request of a message."""
        for (method, params), answer in zip(requests, answers, strict=True):
            asked = Asked.of(method, params)
            self.note(endpoint, asked, answer if isinstance(answer, ChainError) else None)

    def note(self, endpoint: int, asked: Asked, error: ChainError | None) -> None:
        """Record an answer or an error."""
        self._noted = error
        if not asked.form:
            return
        if error is not None and not is_answer(asked.method, error):
            self._record(endpoint, asked, error, is_of_content=False)
            return
        fault = self._faults.get((endpoint, asked.form))
        if fault is None or not fault.is_of_content:
            self._clear(endpoint, asked)

    def note_content(self, endpoint: int, asked: Asked, error: ChainError) -> None:
        """Record an answer with invalid content, unless the same error was recorded already."""
        if asked.form and error is not self._noted:
            self._noted = error
            self._record(endpoint, asked, error, is_of_content=True)

    def accept(self, endpoint: int, asked: Asked) -> None:
        """Record that the content of an answer was valid."""
        fault = self._faults.get((endpoint, asked.form))
        if fault is not None and fault.is_of_content:
            self._clear(endpoint, asked)

    def _record(
        self, endpoint: int, asked: Asked, error: ChainError, *, is_of_content: bool
    ) -> None:
        now, key = self._clock(), (endpoint, asked.form)
        before = self._faults.get(key)
        fault = Fault(
            endpoint=endpoint,
            method=asked.method,
            form=asked.form,
            answered=classify_answer(error),
            since=now if before is None else before.since,
            last=now,
            is_of_content=is_of_content,
        )
        self._faults[key] = fault
        if key not in self._reported and self._is_lasting(fault, now):
            self._reported.add(key)
            log.warning(
                'endpoint_fails endpoint=%d method=%s answered="%s" cure="%s"',
                endpoint,
                asked.method,
                fault.answered,
                fault.cure,
            )

    def at(self, endpoint: int) -> Sequence[Fault]:
        """Return the faults of one endpoint, the newest last."""
        found = (fault for (place, _), fault in self._faults.items() if place == endpoint)
        return sorted(found, key=lambda fault: fault.last)

    def unanswered(self) -> Sequence[Fault]:
        """Return current faults that last for two blocks, with no answer from any endpoint."""
        now = self._clock()
        fresh = now - max(FORGOTTEN_BLOCKS * self.block_seconds, FORGOTTEN_SECONDS)
        never = float("-inf")
        found = (
            fault
            for fault in self._faults.values()
            if self._is_lasting(fault, now)
            and fault.last >= fresh
            and self._answered_at.get(fault.form, never) < fault.since
        )
        return sorted(found, key=lambda fault: fault.since)

    def _is_lasting(self, fault: Fault, now: float) -> bool:
        """Return whether a fault is old enough.

        A content fault must recur, since a reorg can cause it.
        """
        age = (fault.last if fault.is_of_content else now) - fault.since
        return age >= LASTING_BLOCKS * self.block_seconds

    def _clear(self, endpoint: int, asked: Asked) -> None:
        key = endpoint, asked.form
        self._answered_at[asked.form] = self._clock()
        self._faults.pop(key, None)
        if key in self._reported:
            self._reported.discard(key)
            log.info("endpoint_answers endpoint=%d method=%s", endpoint, asked.method)


def describe(faults: Sequence[Fault]) -> str:
    """Return why the keeper does not act, in one line. Empty without a fault."""
    lines = dict.fromkeys(
        f"endpoint {fault.endpoint}: {fault.reason}: {fault.cure}" for fault in faults
    )
    return "; ".join(lines)


def name_method(error: RpcMalformed | BlockUnknown, method: str) -> None:
    """Add the method to an error of an answer, and to its message if that lacks it."""
    if not method:
        return
    if isinstance(error, RpcMalformed):
        error.method = error.method or method
    if not any(sign in str(error) for sign in _METHODS):
        error.args = (f"{method}: {error}", *error.args[1:])
