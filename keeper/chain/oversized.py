"""Answers beyond their size limit, caused by the endpoint, the request or a contract.

The caller divides a request that was too large. A contract may return as much as its gas pays for,
at every endpoint alike. If one endpoint exceeds the limit for a call, another endpoint's answer
decides.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from keeper.chain.pool import Pool
from keeper.domain.errors import RpcMalformed, RpcRefused, RpcTooLarge, RpcUnavailable
from keeper.domain.reads import CallResult

T = TypeVar("T")


class Asking(Protocol):
    """The part of the client that the comparison needs."""

    pool: Pool

    async def ensure_identified(self, at: int) -> None:
        """Identify an endpoint over its present connection."""
        ...


def may_pass(error: BaseException) -> bool:
    """Return whether a retry may help. A legitimately large answer stays too large."""
    if isinstance(error, RpcTooLarge):
        return error.excessive
    return isinstance(error, RpcMalformed | RpcUnavailable)


def is_too_costly(error: BaseException) -> bool:
    """Return whether to ask another endpoint instead of sending a smaller request."""
    return isinstance(error, RpcMalformed) and (error.excessive or is_too_large_by_contract(error))


def is_too_large_by_contract(error: RpcMalformed) -> bool:
    """Return whether a contract may have returned the excess."""
    return isinstance(error, RpcTooLarge) and error.by_contract


async def compare_elsewhere(
    rpc: Asking, ask: Callable[[int], Awaitable[T]], endpoint: int, error: RpcMalformed
) -> T:
    """Return another endpoint's answer to a call with an excessive answer at ``endpoint``.

    Raises:
        RpcTooLarge: there is no other, or none with a smaller answer.
        RpcRefused: another one refuses the call, for instance because it reverts.
    """
    for other in rpc.pool.alive():
        if other == endpoint:
            continue
        try:
            await rpc.ensure_identified(other)
            answer = await ask(other)
        except (RpcMalformed, RpcUnavailable):
            continue
        if not _has_failed_call(answer):
            blame(rpc, endpoint, error)
        return answer
    raise error


def blame(rpc: Asking, endpoint: int, error: RpcMalformed) -> None:
    """Record that the endpoint and no contract caused the excess."""
    rpc.pool.garbled(endpoint, RpcMalformed(str(error), excessive=True))


def _has_failed_call(answer: object) -> bool:
    """Return whether a call of several failed. Only some nodes return a revert's reason."""
    return isinstance(answer, list) and any(
        isinstance(entry, RpcRefused) or (isinstance(entry, CallResult) and not entry.success)
        for entry in answer
    )
