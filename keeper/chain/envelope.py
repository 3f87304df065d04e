"""Validates JSON-RPC 2.0 envelopes."""

from collections.abc import Sequence
from typing import Final

from keeper.chain.fields import Json
from keeper.chain.refusal import (
    asks_for_patience,
    is_unknown_transaction,
    null_answer,
    refusal,
)
from keeper.domain.errors import ChainError, RpcBusy, RpcMalformed

MAX_ERROR_TEXT: Final = 128 * 1024
"""A contract may revert with megabytes, and nobody reads so much of a reason."""


def checked_answer(answer: Json, number: int, method: str) -> Json | ChainError:
    """Return the result, or the node's error as a ChainError, of the answer to a request.

    Raises:
        RpcMalformed: not an answer, or one to another request than ``number``.
        RpcBusy: not an answer, but a gateway's rate limit.
    """
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        if asks_for_patience(answer):
            raise RpcBusy(f"the node is busy: no answer to {method}")
        raise RpcMalformed(f"the answer to {method} is not JSON-RPC 2.0")
    has_result, error = "result" in answer, answer.get("error")
    if has_result == (error is not None):
        raise RpcMalformed(f"the answer to {method} needs a result or an error, not both")
    given = answer.get("id")
    # mutation: F12 answer-id
    if isinstance(given, bool) or (given != number and not (given is None and error is not None)):
        raise RpcMalformed(f"the answer to {method} has another request's id")
    if error is not None:
        refused = refusal(method, _trim_error(error))
        return None if is_unknown_transaction(method, refused) else refused
    result = answer["result"]
    missing = null_answer(method) if result is None else None
    return result if missing is None else missing


def checked_batch(
    answer: Json, ids: Sequence[int], methods: Sequence[str]
) -> list[Json | ChainError]:
    """Return a batch's answers in the order of the requests.

    Raises:
        RpcMalformed: an answer is missing, duplicated or to another request.
        RpcBusy: the node limits the rate of requests.
    """
    whole = answer[0] if isinstance(answer, list) and len(answer) == 1 < len(ids) else answer
    if isinstance(whole, dict):  # the whole batch was refused; geth says it of the first request
        refused = checked_answer(whole, ids[0], "the batch")
        if isinstance(refused, ChainError):
            raise refused
    if not isinstance(answer, list) or len(answer) != len(ids):
        raise RpcMalformed("the answer to a batch has another length")
    by_id: dict[int, Json] = {}
    for item in answer:
        number = item.get("id") if isinstance(item, dict) else None
        if isinstance(number, bool) or not isinstance(number, int) or number in by_id:
            raise RpcMalformed("the answer to a batch has a doubled or a missing id")
        by_id[number] = item
    if by_id.keys() != set(ids):
        raise RpcMalformed("the answer to a batch has another request's id")
    return [
        checked_answer(by_id[number], number, method)
        for number, method in zip(ids, methods, strict=True)
    ]


def _trim_error(error: Json) -> Json:
    """Return an error object with its texts cut to the maximum length."""
    if not isinstance(error, dict):
        return error
    return {key: _cut(value) for key, value in error.items()}


def _cut(value: Json) -> Json:
    if isinstance(value, dict):  # some put the revert data one level deeper
        return {
            key: inner if isinstance(inner, dict | list) else _cut(inner)
            for key, inner in value.items()
        }
    return value[:MAX_ERROR_TEXT] if isinstance(value, str) else value
