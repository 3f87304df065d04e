"""Errors that the keeper raises.

KeeperError
├── ConfigError            wrong or missing setting, bad usage            exit 2
├── EnvironmentFault       the machine, a contract or a file is not fit   exit 3
│   └── ChainError         an adapter could not read the chain
│       ├── RpcUnavailable     retry the read
│       │   └── RpcBusy            rate limited. Retry after its delay
│       ├── RpcRefused         the node answered with an error. Do not retry unchanged
│       ├── RpcMalformed       the node's answer is not what was asked for
│       │   └── RpcTooLarge        exceeds the size limit. Request less
│       ├── HistoryPruned      this node has pruned the requested data
│       ├── EndpointsDisagree  two nodes contradict each other. Sign nothing
│       ├── BlockUnknown       the block is not served yet. Retry while it is young
│       │   ├── StateUnknown       its header is known, its state is not
│       │   └── NotCanonical       the node calls another block canonical. Verify it
│       ├── SnapshotReorged    drop this block's work, wait for the next head
│       └── MarketUnreadable   one market's own contracts misbehave. Quarantine it
├── JournalError           no journal, no signing                         exit 4
├── ForeignKeyUse          another program signs with this key           exit 5
├── BreakerOpen            a limit stopped the keeper                     exit 6
├── DeliveryFailed         a channel did not accept a message             exit 3
└── SubmissionError        a transaction did not reach a final receipt
    ├── NotBroadcast       nothing left this process. Safe to plan again
    └── OutcomeUnknown     signed bytes may be in a mempool. Keep the nonce

Every error is one line. ``hint`` says how to fix it. No message holds a
secret or an endpoint's URL.
"""

from typing import ClassVar


class KeeperError(Exception):
    """Base class of all expected errors. ``code`` is stable for scripts."""

    code: ClassVar[str] = "keeper_error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(KeeperError):
    """A setting is missing, unknown or out of range, or a command was misused."""

    code = "config"
    exit_code = 2


class EnvironmentFault(KeeperError):
    """The machine, a file or a contract is not fit for the task."""

    code = "environment"
    exit_code = 3


class ChainError(EnvironmentFault):
    """The chain could not be read."""

    code = "chain"


class RpcUnavailable(ChainError):
    """The endpoint did not answer in time. A read may be retried."""

    code = "rpc_unavailable"


class RpcBusy(RpcUnavailable):
    """The endpoint limits the rate of requests. Retry after ``seconds``, if it said so."""

    code = "rpc_busy"

    def __init__(self, message: str = "", *, seconds: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


class RpcRefused(ChainError):
    """
    The node answered with a JSON-RPC error.

    ``number`` is the JSON-RPC code, ``text`` the node's own message with
    anything that looks like an address of an endpoint removed, ``data`` the revert data.
    """

    code = "rpc_refused"

    def __init__(
        self,
        message: str = "",
        *,
        number: int = 0,
        text: str = "",
        data: bytes = b"",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.number = number
        self.text = text
        self.data = data


class RpcMalformed(ChainError):
    """The node's answer has the wrong id, type, length or range.

    An ``excessive`` answer is larger than any valid one, so the endpoint is not used for some
    minutes. ``method`` is the JSON-RPC method if the node's response itself is malformed, and empty
    if only the data of a contract in it is.
    """

    code = "rpc_malformed"
    method = ""

    def __init__(self, message: str = "", *, hint: str = "", excessive: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.excessive = excessive


class HistoryPruned(ChainError):
    """The node no longer has logs as old as the market. Another node must supply them once."""

    code = "history_pruned"


class RpcTooLarge(RpcMalformed):
    """The node's answer exceeds the size limit. A smaller request may succeed.

    With ``by_contract`` a contract may have returned as much, so another endpoint's answer decides
    whether this one is ``excessive``.
    """

    code = "rpc_too_large"

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        excessive: bool = False,
        by_contract: bool = False,
    ) -> None:
        super().__init__(message, hint=hint, excessive=excessive)
        self.by_contract = by_contract


class EndpointsDisagree(ChainError):
    """Two endpoints contradict each other about a nonce, a receipt or a block.

    Nothing is signed.
    """

    code = "endpoints_disagree"


class BlockUnknown(ChainError):
    """An endpoint does not have a block. While the block is young, the read may be repeated."""

    code = "block_unknown"


class StateUnknown(BlockUnknown):
    """An endpoint has a block's header, but not its state."""


class NotCanonical(BlockUnknown):
    """An endpoint says that a block is not canonical. Unproven until its header is compared."""


class SnapshotReorged(ChainError):
    """The block that a snapshot was read at is no longer canonical."""

    code = "snapshot_reorged"


class MarketUnreadable(ChainError):
    """One market's contracts do not answer like the protocol's. Other markets continue."""

    code = "market_unreadable"


class JournalError(KeeperError):
    """The journal cannot be opened, locked or written. Nothing is signed."""

    code = "journal"
    exit_code = 4


class ForeignKeyUse(KeeperError):
    """A transaction of the keeper's key is not in its journal."""

    code = "foreign_key_use"
    exit_code = 5


class BreakerOpen(KeeperError):
    """A spending limit or a run of failures stopped the keeper."""

    code = "breaker_open"
    exit_code = 6


class NotTold(KeeperError):
    """A channel did not accept a message. It may have arrived nevertheless.

    ``retry_after`` is the wait that the channel asked for in seconds, or None. ``final`` means that
    a retry of this message would fail too.
    """

    code = "not_told"
    exit_code = 3

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        retry_after: float | None = None,
        final: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.final = final


class SubmissionError(KeeperError):
    """A transaction did not reach a final receipt."""

    code = "submission"
    exit_code = 3


class NotBroadcast(SubmissionError):
    """Nothing was sent, so the same plan may be tried again."""

    code = "not_broadcast"


class OutcomeUnknown(SubmissionError):
    """A signed transaction may still be mined. Its nonce stays in use."""

    code = "outcome_unknown"
