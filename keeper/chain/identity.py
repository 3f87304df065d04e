"""
Which chain an endpoint serves: by its id, and by a contract's code.

Two chains may have one id, where one was forked off the other. An endpoint that no longer says its
id, although it has said it once, is held against the code alone.
"""

from typing import Final, Protocol

from keeper.chain.abi import checksum
from keeper.chain.capabilities import Capabilities, Capability
from keeper.chain.code_readers import code_reader
from keeper.chain.fields import Json, data, quantity
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    RpcBusy,
    RpcMalformed,
    RpcRefused,
    RpcUnavailable,
)
from keeper.domain.units import Address

NETWORK: Final = "net_version"
MOST_DIGITS: Final = 20


class Asking(Protocol):
    """The part of the client that identifying needs."""

    capabilities: Capabilities

    async def ask(self, at: int, method: str, *params: object) -> Json:
        """Ask one endpoint once."""
        ...


class Identity:
    """
    The chain that the endpoints are expected to serve.

    ``chain_id`` is that of the first endpoint where the settings name none. ``landmark`` is a
    contract whose code tells two chains of one id apart.
    """

    def __init__(self, rpc: Asking, chain_id: int | None) -> None:
        self.chain_id = chain_id
        self.landmark: Address | None = None
        self._rpc = rpc
        self._landmark_code: bytes | None = None
        self._served: dict[int, int] = {}

    async def find_fault(self, endpoint: int) -> str:
        """
        Return what is wrong with the chain that an endpoint serves; empty if nothing is.

        Raises:
            RpcRefused: it does not say which chain it serves.
        """
        served = await self.ask_chain_id(endpoint)
        if self.chain_id is None:
            self.chain_id = served
        if served != self.chain_id:
            return f"serves chain {served}, not {self.chain_id}"
        self._served[endpoint] = served
        return await self._find_other_code(endpoint, self.landmark) if self.landmark else ""

    async def ask_chain_id(self, endpoint: int) -> int:
        """Ask for the chain's id, else for the network's, which is the same on nearly all."""
        capabilities, refused = self._rpc.capabilities, None
        if capabilities.has(endpoint, Capability.CHAIN_ID):
            try:
                served = quantity(await self._rpc.ask(endpoint, "eth_chainId"), "the chain id")
            except (RpcRefused, RpcMalformed, RpcBusy) as error:
                refused = error
            else:
                capabilities.learn_success(endpoint, Capability.CHAIN_ID)
                return served
        try:
            served = _network(await self._rpc.ask(endpoint, NETWORK))
        except (RpcRefused, RpcMalformed) as error:
            if endpoint not in self._served:
                raise refused or error from None
            served = self._served[endpoint]
        if refused is not None:
            capabilities.learn_lack(endpoint, Capability.CHAIN_ID, str(refused))
        return served

    async def _find_other_code(self, endpoint: int, landmark: Address) -> str:
        """Compare the landmark's code with what the first endpoint said of it."""
        try:
            code = data(
                await self._rpc.ask(endpoint, "eth_getCode", landmark, "latest"), "the code"
            )
        except (RpcRefused, RpcMalformed, BlockUnknown):
            return ""  # a node that shows no code cannot be told apart by it
        if not self._landmark_code:
            self._landmark_code = code
        if code == self._landmark_code:
            return ""
        if await self._code_by_call(endpoint, landmark) == self._landmark_code:
            reason = "it shows other code than it runs"
            self._rpc.capabilities.learn_lack(endpoint, Capability.CODE, reason)
            return ""
        return f"has other code at {checksum(landmark)}: it is another chain"

    async def _code_by_call(self, endpoint: int, landmark: Address) -> bytes | None:
        """Return the code that the endpoint runs at the landmark; None where it does not say."""
        transaction = {"data": "0x" + code_reader(landmark).hex()}
        try:
            answer = await self._rpc.ask(endpoint, "eth_call", transaction, "latest")
            return data(answer, "the code")[1:]
        except RpcUnavailable:
            raise
        except ChainError:
            return None


def _network(value: Json) -> int:
    """Return a network's id from decimal digits, or from 0x hex as some nodes have it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS:
        return int(value)
    return quantity(value, "the network's id")
