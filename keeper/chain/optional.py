"""Optional reads from any endpoint that supports them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from keeper.chain.capabilities import Capability
from keeper.chain.rpc import Rpc
from keeper.domain.errors import ChainError, RpcBusy, RpcRefused, RpcUnavailable
from keeper.domain.units import Address

T = TypeVar("T")

PENDING: Final = "pending"
OPTIONAL_SECONDS: Final = 2.0
"""How long one endpoint may take to answer what is optional."""


async def read_optional(
    rpc: Rpc, capability: Capability, ask: Callable[[int], Awaitable[T]]
) -> T | None:
    """Return the answer of the first endpoint with a capability. None if none has it.

    Any failure except an outage is a lack, since a node may refuse a method with a rate limit, with
    null, or never answer it.

    Raises:
        RpcUnavailable: an endpoint without a known lack of the capability is unreachable.
    """

    async def attempt(best: int) -> T | None:
        others = [place for place in rpc.pool.alive() if place != best]
        for endpoint in (best, *others):
            if not rpc.capabilities.has(endpoint, capability):
                continue
            try:
                await rpc.ensure_identified(endpoint)
                async with asyncio.timeout(OPTIONAL_SECONDS):
                    answer = await ask(endpoint)
            except TimeoutError:
                reason = f"no answer within {OPTIONAL_SECONDS:g} s"
            except ChainError as error:
                if isinstance(error, RpcUnavailable) and not isinstance(error, RpcBusy):
                    raise
                reason = str(error)
            else:
                rpc.capabilities.learn_success(endpoint, capability)
                return answer
            rpc.capabilities.learn_lack(endpoint, capability, reason)
        return None

    return await rpc.read_with(attempt)


class CountsNonces(Protocol):
    """Reads an account's nonces. May raise ``ChainError``."""

    async def transaction_count(self, address: Address, block: str = "latest") -> int:
        """Fetch the account's nonce at ``latest`` or ``pending``."""
        ...


async def fetch_pending_nonce(chain: CountsNonces, address: Address) -> int | None:
    """Fetch an account's nonce including pending transactions. None if no node states it."""
    try:
        return await chain.transaction_count(address, PENDING)
    except RpcRefused:
        return None
