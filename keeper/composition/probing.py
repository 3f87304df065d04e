"""Probe of an endpoint with the exact calls of a block and a plan, over several new heads.

It uses the node's own readers with their fallbacks, and each failure here would cost ``run`` the
block.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.chain import fields
from keeper.chain.faults import SEND, AnswerClass, Fault, classify_answer, is_answer
from keeper.chain.heads import Heads, Pace
from keeper.chain.optional import fetch_pending_nonce
from keeper.chain.quorum import Quorum
from keeper.composition.bidding import fee_oracle
from keeper.composition.session import Session
from keeper.domain.errors import ChainError, MarketUnreadable, RpcMalformed, RpcRefused
from keeper.domain.head import Basis, Head
from keeper.domain.plan import Batch
from keeper.domain.units import MAX_TRANSACTION_GAS, Address, Timestamp, TransactionHash, Wei
from keeper.execution.executor import liquidate_calldata
from keeper.execution.simulator import ExecutorSimulator
from keeper.ports import LendingMarket, MarketSnapshot

HEADS: Final = 3
STEP_SECONDS: Final = 10.0
"""Timeout of one step of a block. Reads are retried within it."""
HISTORY_BLOCKS: Final = 100
NOBODY: Final = Address("0x000000000000000000000000000000000000dEaD")
"""Account that is read where no key is configured."""
_SEARCHED_BLOCKS: Final = 10
"""Number of past blocks searched for a transaction to read its receipt."""
_DEADLINE_SECONDS: Final = 3_600

Step = tuple[str, Callable[[], Awaitable[object]]]
"""A method, and a step of a block's work that depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Result of a probe over ``seen`` heads.

    ``failures`` counts the heads at which each fault occurred.
    """

    seen: int
    asked: int
    seconds: float
    failures: Sequence[tuple[Fault, int]] = ()
    slowest: float = 0.0

    @property
    def stopping(self) -> Fault | None:
        """The most frequent fault, if at least half of the blocks had it."""
        fault, count = max(self.failures, key=lambda failure: failure[1], default=(None, 0))
        return fault if 2 * count >= max(1, self.seen) else None


@dataclass(slots=True)
class EndpointProbe:
    """Steps of a block over a session with one endpoint."""

    session: Session
    sender: Address
    _failures: Counter[Fault] = field(default_factory=Counter)
    _slowest: float = 0.0
    _markets: list[LendingMarket] = field(default_factory=list)

    async def run(self, heads: int, patience: float) -> Probe:
        """Run the steps on the newest head and on new ones, awaiting each for ``patience`` s."""
        started, seen = time.monotonic(), 0
        async with contextlib.aclosing(self._stream_heads(heads, patience)) as coming:
            async for head in coming:
                await self._run_steps(head)
                seen += 1
        if not seen:
            error = ChainError("no head")
            self._failures[_create_fault("eth_getBlockByNumber", error)] += 1
        return Probe(
            seen=seen,
            asked=heads,
            seconds=time.monotonic() - started,
            failures=tuple(self._failures.items()),
            slowest=self._slowest,
        )

    async def _stream_heads(self, count: int, patience: float) -> AsyncGenerator[Head]:
        """Yield up to ``count`` heads, ending if none arrives in time."""
        chain = self.session.settings.chain
        pace = Pace(poll=chain.poll_interval_ms / 1000)
        heads = Heads(self.session.reader, pace=pace).heads()
        async with contextlib.aclosing(heads):
            for _ in range(count):
                try:
                    head = await asyncio.wait_for(anext(heads), patience)
                except (TimeoutError, ChainError):
                    return
                yield head

    async def _run_steps(self, head: Head) -> None:
        """Run the steps of one block. Each failure counts as a fault of its method."""
        began, faults = time.monotonic(), dict[str, Fault]()
        for method, step in self._list_steps(head):
            step_began = time.monotonic()
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    await step()
            except TimeoutError:
                faults.setdefault(method, _create_fault(method, None))
            except MarketUnreadable:
                continue  # the market's own contracts, reported in its line
            except ChainError as error:
                fault = self._build_fault(method, error, step_began)
                faults.setdefault(fault.method, fault)
        self._slowest = max(self._slowest, time.monotonic() - began)
        self._failures.update(faults.values())

    def _build_fault(self, method: str, error: ChainError, since: float) -> Fault:
        """Build the fault of a failed step, by the method that failed in it if known."""
        faults = self.session.reader.rpc.faults.at(0)
        noted = [fault for fault in faults if fault.last >= since]
        return _create_fault(noted[-1].method if noted else method, error)

    def _list_steps(self, head: Head) -> Sequence[Step]:
        basis = Basis(block_hash=head.hash)
        return (
            ("eth_call", lambda: self._discover(head)),
            ("eth_getLogs", lambda: self._read_logs(head)),
            ("eth_getLogs", lambda: self._read_history(head)),
            ("eth_getBlockByNumber", lambda: self._read_trail(head)),
            ("eth_call", lambda: self._read_markets(head)),
            ("eth_getBalance", lambda: self.session.reader.balance(self.sender, basis)),
            ("eth_feeHistory", lambda: self._read_fees(head)),
            ("eth_getTransactionCount", self._read_nonces),
            ("eth_getBlockByNumber", lambda: Quorum(self.session.reader).head(head.number)),
            ("eth_getBlockByNumber", Quorum(self.session.reader).finalized),
            ("eth_call", lambda: self._simulate(head)),
            ("eth_getTransactionReceipt", lambda: self._read_receipt(head)),
            (SEND, self._send_nothing),
        )

    async def _discover(self, head: Head) -> None:
        """Discover the markets' contracts once."""
        for market in self.session.markets:
            if market in self._markets:
                continue
            with contextlib.suppress(MarketUnreadable):
                await market.discover(head)
                self._markets.append(market)

    async def _read_logs(self, head: Head) -> None:
        for market in self._markets:
            await self.session.reader.block_logs(market.log_filter, head.hash)

    async def _read_history(self, head: Head) -> None:
        first = max(0, head.number - HISTORY_BLOCKS)
        for market in self._markets:
            await self.session.reader.logs_between(market.log_filter, first, head.number)

    async def _read_trail(self, head: Head) -> None:
        await self.session.reader.heads(max(0, head.number - 2), head.number)

    async def _read_markets(self, head: Head) -> None:
        """Read the markets like in each block, and exits for two of their tokens."""
        reader, basis = self.session.reader, Basis(block_hash=head.hash)
        for market in self._markets:
            results = await reader.aggregate(market.calls(head), basis)
            snapshots = market.apply(head, results)
            await self._read_exits(snapshots, basis)

    async def _read_exits(self, snapshots: Sequence[MarketSnapshot], basis: Basis) -> None:
        tokens = sorted({token for snapshot in snapshots for token in snapshot.prices})[:2]
        if len(tokens) == 2:  # noqa: PLR2004 - a pair
            for venue in self.session.venues:
                await venue.exits({(tokens[0], tokens[1])}, basis)

    async def _read_fees(self, head: Head) -> None:
        fees = await fee_oracle(self.session, head)
        await fees.market(head)

    async def _read_nonces(self) -> None:
        await Quorum(self.session.reader).transaction_count(self.sender)
        await fetch_pending_nonce(self.session.reader, self.sender)

    async def _simulate(self, head: Head) -> None:
        """Simulate a transaction without plans, for which any refusal is a valid answer."""
        reader = self.session.reader
        executors = [executor.address for executor in self.session.settings.executor]
        target = next(iter(executors), self.session.settings.chain.multicall)
        simulator = ExecutorSimulator(
            reader, executor=target, operator=self.sender, step_gas=lambda plan: plan.step_gas
        )
        deadline = Timestamp(head.timestamp + _DEADLINE_SECONDS)
        made_up = Batch(
            plans=(),
            executor=target,
            calldata=liquidate_calldata((), (), deadline, 0),
            gas_limit=MAX_TRANSACTION_GAS,
            deadline=deadline,
            net_profit=Wei(0),
        )
        await simulator.simulated([made_up], head)

    async def _read_receipt(self, head: Head) -> None:
        """Read the receipt of a transaction of one of the newest blocks."""
        found = await self._find_transaction(head)
        if found is not None and await Quorum(self.session.reader).receipt(found) is None:
            raise RpcMalformed("a mined transaction has no receipt")

    async def _find_transaction(self, head: Head) -> TransactionHash | None:
        rpc = self.session.reader.rpc
        for number in range(head.number, max(0, head.number - _SEARCHED_BLOCKS), -1):
            answer = await rpc.read("eth_getBlockByNumber", hex(number), False)  # noqa: FBT003 - JSON-RPC: hashes only
            block = fields.document(answer, "the block")
            for transaction in fields.sequence(block.get("transactions"), "its transactions"):
                return TransactionHash(fields.hash32(transaction, "a transaction's hash"))
        return None

    async def _send_nothing(self) -> None:
        """Send an empty transaction, which a node that accepts sends refuses as invalid."""
        try:
            await self.session.reader.rpc.ask(0, SEND, "0x")
        except RpcRefused as error:
            if not is_answer(SEND, error):
                raise


def _create_fault(method: str, error: ChainError | None) -> Fault:
    """Build a fault from an error, or from a timeout without one."""
    answered = AnswerClass.TIMEOUT if error is None else classify_answer(error)
    return Fault(endpoint=0, method=method, answered=answered)
