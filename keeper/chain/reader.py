"""Chain reader. Checked reads, each pinned to one block."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

from keeper.chain import fields
from keeper.chain.accounts import AccountReads
from keeper.chain.aggregator import Aggregator
from keeper.chain.awaiting import BLOCK_SECONDS
from keeper.chain.batching import BATCH
from keeper.chain.capabilities import Capability
from keeper.chain.deployless import Deployless
from keeper.chain.endpoint import Endpoint, endpoint, sanitised
from keeper.chain.fields import Json
from keeper.chain.finalized import read_finalized
from keeper.chain.header_ranges import read_heads
from keeper.chain.headers import read_head
from keeper.chain.http import HttpTransport
from keeper.chain.ipc import IpcTransport
from keeper.chain.logs import LogSource, Windows
from keeper.chain.multicall import MULTICALL3, Limits
from keeper.chain.optional import PENDING, read_optional
from keeper.chain.pinned import PinnedReads
from keeper.chain.pinning import Pinning
from keeper.chain.records import Receipt, SeenTransaction, receipt_of, transaction_of
from keeper.chain.rpc import Rpc
from keeper.chain.simulation import Simulations
from keeper.chain.standing import Rules
from keeper.chain.transport import Timeouts, Transport
from keeper.chain.websocket import WebSocketTransport
from keeper.domain.errors import (
    ConfigError,
    RpcMalformed,
    RpcRefused,
    RpcUnavailable,
)
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, CallResult, Log, LogFilter, LogTable
from keeper.domain.units import Address, BlockHash, Gas, TransactionHash, Wei


class NodeReader:
    """
    ``ChainReader`` over JSON-RPC.

    ``requests`` counts by method.
    """

    def __init__(
        self,
        rpc: Rpc,
        *,
        multicall: Address | None = MULTICALL3,
        limits: Limits | None = None,
        windows: Windows | None = None,
    ) -> None:
        self.rpc = rpc
        bounds = limits or Limits()
        self.pinning = Pinning(rpc)
        self._logs = LogSource(rpc, windows)
        self._simulations = Simulations(rpc, self.pinning)
        self.reads = PinnedReads(rpc, self.pinning, bounds.gas)
        self._deployless = Deployless(self.reads)
        self._accounts = AccountReads(self.reads, self._deployless)
        self._aggregator = Aggregator(self.reads, self._deployless, multicall, bounds)
        self._pinned: Head | None = None

    @property
    def warnings(self) -> Sequence[str]:
        """The endpoints' lacks with the alternatives, without duplicates."""
        lacks = self.rpc.capabilities.lacks()
        return list(dict.fromkeys(f"{lack.capability}: {lack.instead}" for lack in lacks))

    @property
    def requests(self) -> Counter[str]:
        """Number of requests by method."""
        return self.rpc.requests

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Fetch a block's header. BlockUnknown if no node has such a block."""
        if self._pinned is not None and block == self._pinned.hash:
            return self._pinned
        head = await read_head(self.rpc, block)
        self.rpc.pool.blocks.note(head)
        return head

    def pin(self, head: Head) -> None:
        """Pin this header, since a command reads everything at one block."""
        self._pinned = head

    async def heads(self, first: int, last: int) -> list[Head]:
        """Fetch the headers of a range, both ends included. BlockUnknown if one is missing."""
        numbers = range(first, last + 1)
        parts = [numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH)]
        return [head for part in parts for head in await read_heads(self.rpc, part)]

    async def finalized(self) -> Head | None:
        """Fetch the newest finalized block. None if no endpoint has one."""
        return await read_finalized(self.rpc)

    async def aggregate(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read all the calls at one block, in few requests. A failed call fails alone."""
        return await self._aggregator.aggregate(calls, basis)

    async def call(
        self,
        call: Call,
        basis: Basis,
        *,
        sender: Address | None = None,
        fees: Mapping[str, object] | None = None,
    ) -> bytes:
        """Read one call with these fee fields. A revert raises ``RpcRefused`` with its data."""
        data = "0x" + call.data.hex()
        return await self.reads.call(call.target, data, basis, sender=sender, fees=fees)

    async def deployless(self, initcode: bytes, basis: Basis) -> bytes:
        """Run undeployed code and return its result (a read)."""
        return await self._deployless.run(initcode, basis)

    async def block_logs(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Fetch the logs of one block, by hash."""
        return await self._logs.in_block(wanted, block_hash)

    async def logs_between(self, wanted: LogFilter, first: int, last: int) -> list[Log]:
        """Fetch the logs of a range, both ends included, in windows that the node accepts."""
        return await self._logs.between(wanted, first, last)

    async def scan_logs(
        self, wanted: LogFilter, first: int, last: int, took: Callable[[LogTable, int], None]
    ) -> None:
        """Scan the logs of a long range. ``took`` gets them with the last block covered."""
        await self._logs.scan(wanted, first, last, took)

    async def code(self, address: Address, basis: Basis) -> bytes:
        """Fetch a contract's code. Empty if there is none."""
        return await self._accounts.code(address, basis)

    async def balance(self, address: Address, basis: Basis) -> Wei:
        """Fetch an account's native balance."""
        return await self._accounts.balance(address, basis)

    async def transaction_count(self, address: Address, block: str = "latest") -> int:
        """Fetch the account's nonce at ``latest``, ``pending`` or another tag.

        Raises:
            RpcRefused: also if no endpoint counts pending transactions.
        """
        if block == PENDING:
            return await self._fetch_pending_count(address)

        def nonce_of(answer: Json) -> int:
            return fields.quantity(answer, "the nonce", most=fields.UINT64_MAX)

        return await self.rpc.read_parsed(nonce_of, "eth_getTransactionCount", address, block)

    async def _fetch_pending_count(self, address: Address) -> int:
        async def ask(endpoint: int) -> int:
            answer = await self.rpc.ask(endpoint, "eth_getTransactionCount", address, PENDING)
            return fields.quantity(answer, "the pending nonce", most=fields.UINT64_MAX)

        count = await read_optional(self.rpc, Capability.PENDING_NONCE, ask)
        if count is None:
            raise RpcRefused("no endpoint counts the transactions that wait")
        return count

    async def fee_history(self, blocks: int, percentile: int) -> tuple[list[Wei], list[Wei]]:
        """Fetch base fees (the next block's last) and the percentile's rewards per block."""
        answer = fields.document(
            await self.rpc.read("eth_feeHistory", hex(blocks), "latest", [percentile]),
            "the fee history",
        )
        base = [
            Wei(fields.quantity(fee, "a base fee"))
            for fee in fields.sequence(answer.get("baseFeePerGas"), "the base fees")
        ]
        rewards = [
            Wei(fields.quantity(fee, "a reward"))
            for block in fields.sequence(answer.get("reward") or [], "the rewards")
            for fee in fields.sequence(block, "a block's rewards")
        ]
        if not base or len(base) > blocks + 1 or len(rewards) not in (0, len(base) - 1):
            raise RpcMalformed("the fee history has another length")
        return base, rewards

    async def chain_id(self) -> int:
        """Fetch the chain's id."""
        return await self.rpc.read_with(self.rpc.identity.ask_chain_id)

    async def client_version(self) -> str:
        """Fetch the node's client version."""
        return sanitised(await self.rpc.read("web3_clientVersion"))

    async def receipt(self, transaction: TransactionHash) -> Receipt | None:
        """Fetch a mined transaction's receipt. None if the node has none."""
        return await self.rpc.read_parsed(
            lambda answer: self.receipt_from(answer, transaction),
            "eth_getTransactionReceipt",
            transaction,
        )

    def receipt_from(self, answer: Json, transaction: TransactionHash) -> Receipt | None:
        """Parse the receipt of an answer. None if there is none."""
        return None if answer is None else receipt_of(answer, transaction, self._logs.logs_of)

    async def transaction(self, transaction: TransactionHash) -> SeenTransaction | None:
        """Fetch a transaction that the node knows, mined or pending. None if it does not."""
        return await self.rpc.read_parsed(
            lambda answer: None if answer is None else transaction_of(answer, transaction),
            "eth_getTransactionByHash",
            transaction,
        )

    async def estimate_gas(self, transaction: Mapping[str, object], basis: Basis) -> Gas:
        """Estimate the transaction's gas. A revert raises ``RpcRefused``."""
        return await self._simulations.estimate(transaction, basis)

    async def simulate_v1(
        self, payload: Mapping[str, object], basis: Basis
    ) -> list[Mapping[str, Json]]:
        """Simulate blocks of calls on top of the pinned block and return the node's blocks.

        ``payload`` is the method's first parameter. The caller puts the overlay there.
        """
        return await self._simulations.simulate(payload, basis)

    async def close(self) -> None:
        """Close every connection."""
        await self.rpc.close()


def transport(place: Endpoint, timeouts: Timeouts) -> Transport:
    """Build the transport to an endpoint. It connects later."""
    if place.scheme == "ipc":
        return IpcTransport(place, timeouts)
    if place.scheme in ("ws", "wss"):
        return WebSocketTransport(place, timeouts)
    return HttpTransport(place, timeouts)


@contextlib.asynccontextmanager
async def connect(
    endpoints: Iterable[str],
    *,
    multicall: Address | None = MULTICALL3,
    timeouts: Timeouts | None = None,
    chain_id: int | None = None,
    limits: Limits | None = None,
    rules: Rules | None = None,
    block_seconds: float = BLOCK_SECONDS,
) -> AsyncIterator[NodeReader]:
    """Connect to the endpoints that serve the chain. Reads use the best.

    ``block_seconds`` is the patience with an announced block.

    Raises:
        ConfigError: no endpoint, or they serve another chain than ``chain_id``.
        RpcUnavailable: none answers.
    """
    times = timeouts or Timeouts()
    ways = [transport(endpoint(address), times) for address in endpoints]
    if not ways:
        raise ConfigError("no endpoint is configured", hint="set [chain] endpoints")
    rpc = Rpc(ways, timeouts=times, chain_id=chain_id, rules=rules, block_seconds=block_seconds)
    try:
        try:
            await rpc.connect()
            rpc.identity.landmark = multicall
        except RpcUnavailable as error:
            hint = "is the node running, and is it the one under [chain] endpoints?"
            raise RpcUnavailable(str(error), hint=error.hint or hint) from None
        yield NodeReader(rpc, multicall=multicall, limits=limits)
    finally:
        await rpc.close()
