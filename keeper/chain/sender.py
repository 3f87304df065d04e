"""Sends a signed transaction through one endpoint, once, without retries."""

from eth_hash.auto import keccak

from keeper.chain.fields import hash32
from keeper.chain.rpc import Rpc
from keeper.domain.errors import RpcMalformed
from keeper.domain.units import TransactionHash


class Sender:
    """Sends signed transactions to the node."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def send_raw(self, raw: bytes) -> TransactionHash:
        """Send once and return the transaction's hash.

        Raises:
            RpcRefused: the node refused it (including "nonce too low" and "already known").
            RpcUnavailable: no answer. The transaction may be in a mempool nevertheless.
            RpcMalformed: an invalid answer, or another transaction's hash.
        """
        # mutation: F03 send-once
        answer = await self._rpc.request("eth_sendRawTransaction", "0x" + raw.hex())
        sent = TransactionHash(hash32(answer, "the transaction's hash"))
        if sent != "0x" + keccak(raw).hex():
            raise RpcMalformed("the node returned another transaction's hash")
        return sent
