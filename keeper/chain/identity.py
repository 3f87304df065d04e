"""Identifies the chain of an endpoint by its id and by a contract's code.

Two chains may have one id if one was forked from the other. An endpoint that no longer states its
id, although it did before, is checked by the code alone.
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
    """The part of the client that identification needs."""

    capabilities: Capabilities

    async def ask(self, at: int, method: str, *params: object) -> Json:
        """Send one request to one endpoint once."""
        ...


class Identity:
    """The expected chain of the endpoints.

    Without a setting ``chain_id`` is that of the first endpoint. ``landmark`` is a contract with
    code that distinguishes two chains of one id.
    """

    def __init__(self, rpc: Asking, chain_id: int | None) -> None:
        self.chain_id = chain_id
        self.landmark: Address | None = None
        self._rpc = rpc
        self._landmark_code: bytes | None = None
        self._served: dict[int, int] = {}

    async def find_fault(self, endpoint: int) -> str:
        """Return the fault of an endpoint's chain. Empty if there is none.

        Raises:
            RpcRefused: it does not state its chain.
        """
        served = await self.ask_chain_id(endpoint)
        if self.chain_id is None:
            self.chain_id = served
        if served != self.chain_id:  # mutation: G15 other-chain
            return f"serves chain {served}, not {self.chain_id}"
        self._served[endpoint] = served
        return await self._find_other_code(endpoint, self.landmark) if self.landmark else ""

    async def ask_chain_id(self, endpoint: int) -> int:
        """Fetch the chain id, or the network id, which is the same on nearly all chains."""
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
            served = _parse_network_id(await self._rpc.ask(endpoint, NETWORK))
        except (RpcRefused, RpcMalformed) as error:
            if endpoint not in self._served:
                raise refused or error from None
            served = self._served[endpoint]
        if refused is not None:
            capabilities.learn_lack(endpoint, Capability.CHAIN_ID, str(refused))
        return served

    async def _find_other_code(self, endpoint: int, landmark: Address) -> str:
        """Compare the landmark's code with that of the first endpoint."""
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
        if await self._fetch_code_by_call(endpoint, landmark) == self._landmark_code:
            reason = "it shows other code than it runs"
            self._rpc.capabilities.learn_lack(endpoint, Capability.CODE, reason)
            return ""
        return f"has other code at {checksum(landmark)}: it is another chain"

    async def _fetch_code_by_call(self, endpoint: int, landmark: Address) -> bytes | None:
        """Fetch the code that the endpoint runs at the landmark. None if it does not answer."""
        transaction = {"data": "0x" + code_reader(landmark).hex()}
        try:
            answer = await self._rpc.ask(endpoint, "eth_call", transaction, "latest")
            return data(answer, "the code")[1:]
        except RpcUnavailable:
            raise
        except ChainError:
            return None


def _parse_network_id(value: Json) -> int:
    """Parse a network id from decimal digits, or from 0x hex as some nodes return it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS:
        return int(value)
    return quantity(value, "the network's id")
