"""Classifies ``eth_sendRawTransaction`` errors. Unknown errors are ambiguous.

The wordings are the ones of go-ethereum (core/txpool/errors.go, core/error.go,
core/txpool/legacypool), reth (crates/rpc/rpc-eth-types/src/error,
crates/transaction-pool/src/error.rs), erigon (txnprovider/txpool/txpoolcfg), nethermind
(Nethermind.TxPool: AcceptTxResult and TxPoolErrorMessages), besu (RpcErrorType), anvil
(crates/anvil/src/eth/error.rs) and of the hosted providers that answer before their nodes. The
tests have each in full (tests/data/wordings.toml).
"""

import enum
import re
from collections.abc import Sequence
from typing import Final

from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.submission import AttemptState


class Answer(enum.StrEnum):
    """Outcome classes of ``eth_sendRawTransaction``."""

    ACCEPTED = "accepted"
    KNOWN = "known"  # the node had these very bytes
    NONCE_USED = "nonce_used"  # mined already, ours or another party's
    NONCE_AHEAD = "nonce_ahead"  # not taken: an earlier nonce has not reached this node
    UNDERPRICED = "underpriced"  # another attempt of the nonce is in the pool, or a floor is higher
    UNFUNDED = "unfunded"  # not taken: the account cannot pay for them
    RETRYABLE = "retryable"  # not taken now: the pool is full, or holds one too many of ours
    REFUSED = "refused"  # this transaction will never be accepted
    UNKNOWN = "unknown"  # they may be in a mempool


DONE_OR_THERE: Final = frozenset({Answer.ACCEPTED, Answer.KNOWN, Answer.NONCE_USED})
"""After these there is nothing left to send: the bytes are there, or their nonce is consumed."""

_TABLE: Final[Sequence[tuple[Answer, Sequence[str]]]] = (
    # An authorization inside the transaction, not its own nonce: before "nonce too low".
    (Answer.REFUSED, ("authority nonce too low",)),
    (
        Answer.KNOWN,
        (
            "already known",
            "alreadyknown",
            "already imported",
            "known transaction",
            "existing tx with same hash",
            "existing txn with same hash",
            "same hash was already imported",
            "transaction already exists",
            "already exists in the mempool",
            "already in mempool",
            "tx already in mempool",
            "already exists in cache",
        ),
    ),
    (
        Answer.NONCE_USED,
        ("nonce too low", "nonce is too low", "oldnonce", "nonce has already been used"),
    ),
    (
        Answer.NONCE_AHEAD,
        (
            "nonce too high",
            "nonce is too high",
            "nonce too far in the future",
            "nonce too far in future",
            "noncetoofarinfuture",
            "noncegap",
            "nonce gap",
            "nonce is too distant",
            "exceeds next nonce",
            "nonce out of range",
            "gapped nonce tx",
        ),
    ),
    (
        Answer.UNDERPRICED,
        (
            "underpriced",
            "feetoolow",
            "fee too low",
            "fee is too low",
            "replacementnotallowed",
            "could not replace existing tx",
            "insufficient gas price to replace",
            "replaced by transaction with higher tip",
            "below chain minimum",
            "priority fee below minimum",
            "gas price below configured minimum",
            "gas price below current base fee",
            "gas price below minimum",
            "gas price too low",
            "gas price is too low",
            "had higher priority",
            "same nonce in the tx pool",
            "max fee per gas less than block base fee",
            "gas price supplied is too low",
            "future transaction tries to replace pending",
        ),
    ),
    (
        Answer.UNFUNDED,
        (
            "insufficient funds",
            "insufficientfunds",
            "insufficient balance",
            "not enough funds",
            "upfront cost exceeds account balance",
            "would cause overdraft",
            "overdraws from account",
        ),
    ),
    (
        Answer.RETRYABLE,
        (
            "in flight transaction limit reached",
            "already reserved",
            "account limit exceeded",
            "txpool is full",
            "sub pool is full",
            "pool size constraints",
            "identified as a spammer",
            "pending transaction type conflict",
            "is syncing",
            "not yet in sync",
            "initial sync is still in progress",
            "temporarily banned",
            "authority has pending transaction",
            "invalid transaction with a lower nonce exists",
        ),
    ),
    (
        Answer.REFUSED,  # mutation: G3 refusal-words
        (
            "max priority fee per gas higher than",
            "max priority fee per gas exceeds max fee per gas",
            "max fee per gas higher than",
            "intrinsic gas",
            "intrinsicgas",
            "floor data gas",
            "floor data cost",
            "transaction gas limit",
            "exceeds block gas limit",
            "greater than the block gas limit",
            "gas limit reached",
            "gaslimitexceeded",
            "gas limit too high",
            "gas limit is too high",
            "exceeds maximum transaction gas",
            "exceeds max transaction gas",
            "exceeds the configured cap",
            "transaction fee cap exceeded",
            "oversized data",
            "transaction too large",
            "transaction cost overflow",
            "transaction invalid",
            "plugin has marked the transaction",
            "initcode size exceeded",
            "gas uint64 overflow",
            "gasuintoverflow",
            "negative value",
            "nonce has max value",
            "invalid sender",
            "failed to recover sender",
            "failedtoresolvesender",
            "sender not an eoa",
            "sender is not an eoa",
            "invalid signature",
            "invalidtxsignature",
            "invalidtxchainid",
            "cannot be higher than maxfeepergas",
            "invalid chain id",
            "wrong chainid",
            "signed for another chain",
            "transaction type not supported",
            "unsupported transaction type",
            "failed to decode",
            "rlptoolong",
        ),
    ),
)
"""Wordings in lower case, hyphens and underscores as spaces. The first match counts."""

_STATES: Final = {
    Answer.ACCEPTED: AttemptState.SENT,
    Answer.KNOWN: AttemptState.SENT,
    Answer.NONCE_USED: AttemptState.UNKNOWN,
    Answer.NONCE_AHEAD: AttemptState.REFUSED,
    Answer.UNDERPRICED: AttemptState.REFUSED,
    Answer.UNFUNDED: AttemptState.REFUSED,
    Answer.RETRYABLE: AttemptState.REFUSED,
    Answer.REFUSED: AttemptState.REFUSED,
    Answer.UNKNOWN: AttemptState.UNKNOWN,
}

# A word begins where the words do: "unknown transaction" is not a "known transaction".
_PATTERNS: Final = tuple(
    (answer, re.compile("|".join(rf"(?<![a-z]){re.escape(one)}" for one in words)))
    for answer, words in _TABLE
)
_SEPARATORS: Final = re.compile(r"[\s_-]+")


def classified(error: ChainError | None) -> Answer:
    """Classify the outcome of a send. None means that the node returned the hash."""
    if error is None:
        return Answer.ACCEPTED
    if not isinstance(error, RpcRefused):
        return Answer.UNKNOWN  # mutation: G3 unanswered-send
    said = _SEPARATORS.sub(" ", (error.text or str(error)).lower())
    return next((answer for answer, words in _PATTERNS if words.search(said)), Answer.UNKNOWN)


def state_after(answer: Answer) -> AttemptState:
    """Return the attempt's state after such an outcome."""
    return _STATES[answer]


_MOST_TELLING: Final = (
    Answer.ACCEPTED,
    Answer.KNOWN,
    Answer.NONCE_USED,
    Answer.UNKNOWN,  # an unanswering node may have accepted it
    Answer.UNDERPRICED,
    Answer.UNFUNDED,
    Answer.RETRYABLE,
    Answer.NONCE_AHEAD,
    Answer.REFUSED,
)


def together(answers: Sequence[Answer]) -> int:
    """Select the index of the most conclusive outcome of several nodes."""
    return min(range(len(answers)), key=lambda at: _MOST_TELLING.index(answers[at]))


def contradicts(answers: Sequence[Answer]) -> bool:
    """Return whether one node accepted an attempt that another refused as invalid or unfunded."""
    taken = Answer.ACCEPTED in answers or Answer.KNOWN in answers
    return taken and bool({Answer.REFUSED, Answer.UNFUNDED} & set(answers))
