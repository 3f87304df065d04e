"""What a node's answer to a send proves. Everything that is not in the table proves nothing."""

import enum
from typing import Final

from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.submission import AttemptState


class Answer(enum.StrEnum):
    """The classes of answers to ``eth_sendRawTransaction``."""

    ACCEPTED = "accepted"
    KNOWN = "known"  # the node had these very bytes
    NONCE_USED = "nonce_used"  # mined already, by one of ours or by somebody
    UNDERPRICED = "underpriced"  # another attempt of the nonce is in the pool, or a floor is higher
    UNFUNDED = "unfunded"  # not taken: the account cannot pay for them
    REFUSED = "refused"  # these bytes were not taken
    UNKNOWN = "unknown"  # they may be in a mempool


_UNKNOWN_TRANSACTION: Final = "unknown transaction"
_TABLE: Final = (
    ("already known", Answer.KNOWN),
    ("alreadyknown", Answer.KNOWN),
    ("already imported", Answer.KNOWN),
    ("known transaction", Answer.KNOWN),
    ("nonce too low", Answer.NONCE_USED),
    ("nonce is too low", Answer.NONCE_USED),
    ("oldnonce", Answer.NONCE_USED),
    ("underpriced", Answer.UNDERPRICED),
    ("fee too low to compete", Answer.UNDERPRICED),
    ("insufficient funds", Answer.UNFUNDED),
    ("insufficientfunds", Answer.UNFUNDED),
    ("max fee per gas less than block base fee", Answer.REFUSED),
    ("max priority fee per gas higher than max fee per gas", Answer.REFUSED),
    ("intrinsic gas too low", Answer.REFUSED),
    ("exceeds block gas limit", Answer.REFUSED),
    ("gas limit too high", Answer.REFUSED),
    ("exceeds maximum transaction gas", Answer.REFUSED),
    ("exceeds max transaction gas", Answer.REFUSED),
    ("invalid sender", Answer.REFUSED),
    ("invalid chain id", Answer.REFUSED),
    ("failed to decode", Answer.REFUSED),
    ("nonce too high", Answer.REFUSED),
    ("nonce is too high", Answer.REFUSED),
    ("nonce too far in the future", Answer.REFUSED),
)
"""Words of geth, reth, erigon, nethermind and anvil, in lower case; the first match counts."""

_STATES: Final = {
    Answer.ACCEPTED: AttemptState.SENT,
    Answer.KNOWN: AttemptState.SENT,
    Answer.NONCE_USED: AttemptState.UNKNOWN,
    Answer.UNDERPRICED: AttemptState.REFUSED,
    Answer.UNFUNDED: AttemptState.REFUSED,
    Answer.REFUSED: AttemptState.REFUSED,
    Answer.UNKNOWN: AttemptState.UNKNOWN,
}


def classified(error: ChainError | None) -> Answer:
    """Return what the outcome of a send proves; None stands for the node's own hash."""
    if error is None:
        return Answer.ACCEPTED
    if not isinstance(error, RpcRefused):
        return Answer.UNKNOWN
    said = (error.text or str(error)).lower()
    if _UNKNOWN_TRANSACTION in said:
        return Answer.UNKNOWN
    return next((answer for words, answer in _TABLE if words in said), Answer.UNKNOWN)


def state_after(answer: Answer) -> AttemptState:
    """Return what is known about the bytes after such an answer."""
    return _STATES[answer]
