"""
Answers that were not read to their end: the endpoint's fault, the question's, or a contract's.

A question that was too long is asked in smaller parts by its caller. A contract may return as
much as its gas pays for, at every endpoint alike; so where one endpoint has too much to say to
a call, another one is asked, and its answer tells.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from keeper.chain.pool import Pool
from keeper.domain.errors import RpcMalformed, RpcRefused, RpcTooLarge, RpcUnavailable
from keeper.domain.reads import CallResult

T = TypeVar("T")


class Asking(Protocol):
    """The part of the client that comparing needs."""

    pool: Pool

    async def ensure_identified(self, at: int) -> None:
        """Identify an endpoint over the connection that it has now."""
        ...


def may_pass(error: BaseException) -> bool:
    """Whether asking once more may help; what is rightly too long stays too long."""
    if isinstance(error, RpcTooLarge):
        return error.excessive
    return isinstance(error, RpcMalformed | RpcUnavailable)


def is_too_costly(error: BaseException) -> bool:
    """Whether another endpoint is to be asked, and not less of the same one."""
    return isinstance(error, RpcMalformed) and (error.excessive or is_too_large_by_contract(error))


def is_too_large_by_contract(error: RpcMalformed) -> bool:
    """Whether a contract may have returned what was too large."""
    return isinstance(error, RpcTooLarge) and error.by_contract


async def compare_elsewhere(
    rpc: Asking, ask: Callable[[int], Awaitable[T]], endpoint: int, error: RpcMalformed
) -> T:
    """
    Return what another endpoint answers to a call that ``endpoint`` had too much to say to.

    Raises:
        RpcTooLarge: there is no other, or none that answers with less.
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
        if not _refuses(answer):
            blame(rpc, endpoint, error)
        return answer
    raise error


def blame(rpc: Asking, endpoint: int, error: RpcMalformed) -> None:
    """Take note that it was the endpoint that had too much to say, and no contract."""
    rpc.pool.garbled(endpoint, RpcMalformed(str(error), excessive=True))


def _refuses(answer: object) -> bool:
    """Whether one of several calls failed: one node spells a revert's reason out, others do not."""
    return isinstance(answer, list) and any(
        isinstance(entry, RpcRefused) or (isinstance(entry, CallResult) and not entry.success)
        for entry in answer
    )
