"""The only way a transaction leaves: once, on one connection, never repeated here."""

from eth_hash.auto import keccak

from keeper.chain.fields import hash32
from keeper.chain.rpc import Rpc
from keeper.domain.errors import RpcMalformed
from keeper.domain.units import TransactionHash


class Sender:
    """Hands signed bytes to the node."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def send_raw(self, raw: bytes) -> TransactionHash:
        """
        Send once and return the transaction's hash.

        Raises:
            RpcRefused: the node said no ("nonce too low" and "already known" included).
            RpcUnavailable: no answer; the bytes may be in a mempool all the same.
            RpcMalformed: an answer that is none, or another transaction's hash; as above.
        """
        answer = await self._rpc.request("eth_sendRawTransaction", "0x" + raw.hex())
        sent = TransactionHash(hash32(answer, "the transaction's hash"))
        if sent != "0x" + keccak(raw).hex():
            raise RpcMalformed("the node returned another transaction's hash")
        return sent
