"""Interfaces between the pipeline, the adapters and the outside world."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keeper.audit.inputs import Inputs
from keeper.domain.account import AccountHealth, Balance
from keeper.domain.curve import Route
from keeper.domain.decision import Decision
from keeper.domain.exits import Exits, Pair
from keeper.domain.facts import Fact
from keeper.domain.head import Basis, Head
from keeper.domain.opportunity import FlashLender, LiquidityKey, Opportunity, Refusal, Window
from keeper.domain.plan import Batch, DataFee, News, Plan, SimulatedBatch
from keeper.domain.reads import Call, CallResult, Log, LogFilter, LogTable
from keeper.domain.units import Address, BaseCurrency, BlockHash, Gas, MarketKey, TokenUnits, Wei
from keeper.domain.value import TokenPrice, Valuation


class HeadSource(Protocol):
    """Canonical heads, newest last."""

    def heads(self) -> AsyncIterator[Head]:
        """Yield each new head once. Only the newest if the reader is slower than the chain."""
        ...


class ChainReader(Protocol):
    """Reads of the chain, each pinned to a block.

    Every method raises ``RpcUnavailable`` (no answer within its bound, after bounded retries),
    ``RpcRefused`` (the node answered with an error), ``RpcMalformed`` (the answer is invalid) or
    ``SnapshotReorged`` (the node does not know the pinned block).
    """

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Fetch a block's header by number, by hash, or the newest."""
        ...

    async def heads(self, first: int, last: int) -> list[Head]:
        """Fetch the canonical headers of a range, both ends included, oldest first."""
        ...

    async def aggregate(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read all the calls at one block, in few requests. A failed call fails alone."""
        ...

    async def call(self, call: Call, basis: Basis, *, sender: Address | None = None) -> bytes:
        """Read one call. A revert raises ``RpcRefused`` with its data."""
        ...

    async def deployless(self, initcode: bytes, basis: Basis) -> bytes:
        """Run undeployed code and return its result (a read)."""
        ...

    async def block_logs(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Fetch the logs of one block, by hash."""
        ...

    async def logs_between(self, wanted: LogFilter, first: int, last: int) -> list[Log]:
        """Fetch the logs of a range, both ends included, in windows that the node accepts."""
        ...

    async def scan_logs(
        self, wanted: LogFilter, first: int, last: int, took: Callable[[LogTable, int], None]
    ) -> None:
        """Scan the logs of a long range, both ends included, and verify that they are complete.

        ``took`` gets one part after the other, with the last block covered. Parts before a failure
        stay valid. Raises ``HistoryPruned`` if the node has pruned logs.
        """
        ...

    async def code(self, address: Address, basis: Basis) -> bytes:
        """Fetch a contract's code. Empty if there is none."""
        ...

    async def balance(self, address: Address, basis: Basis) -> Wei:
        """Fetch an account's native balance."""
        ...

    async def transaction_count(self, address: Address, block: str = "latest") -> int:
        """Fetch the account's nonce at ``latest`` or ``pending``."""
        ...

    async def fee_history(self, blocks: int, percentile: int) -> tuple[list[Wei], list[Wei]]:
        """Fetch base fees (the next block's last) and the percentile's rewards per block."""
        ...


class MarketSnapshot(Protocol):
    """One market at one block. Immutable, exact and pure."""

    @property
    def market(self) -> MarketKey:
        """The market."""
        ...

    @property
    def head(self) -> Head:
        """The block."""
        ...

    @property
    def prices(self) -> Mapping[Address, TokenPrice]:
        """The market's own prices. Tokens with a failing source are missing."""
        ...

    @property
    def base_unit(self) -> BaseCurrency:
        """One whole unit of the base currency."""
        ...

    @property
    def liquidity(self) -> Mapping[LiquidityKey, TokenUnits]:
        """The amounts that the protocol can pay out, by holder and token."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Problems with parts of the market (a failing price source), one line each."""
        ...

    def accounts(self) -> Sequence[AccountHealth]:
        """Return the health of every account with debt, exact, worst first (ties by address)."""
        ...

    def account(self, account: Address) -> AccountHealth | None:
        """Return one account's health. None if it is unknown or has no debt."""
        ...

    def balances(self, account: Address) -> tuple[tuple[Balance, ...], tuple[Balance, ...]]:
        """Return the account's collateral and its debts."""
        ...

    def opportunities(
        self, account: Address, window: Window
    ) -> tuple[Sequence[Opportunity], Sequence[Refusal]]:
        """Return the opportunities of a liquidatable account, and the refused pairs."""
        ...

    def flash_lenders(self, token: Address) -> tuple[Sequence[FlashLender], Sequence[Refusal]]:
        """Return the flash lenders of ``token`` in this market, and the refused ones."""
        ...


@runtime_checkable
class ScreensAccounts(Protocol):
    """A snapshot that finds liquidatable accounts without valuing all of them exactly."""

    def liquidatable(self) -> Sequence[AccountHealth]:
        """Return the liquidatable accounts, in the order of ``list_account_health``."""
        ...


class LendingMarket(Protocol):
    """One market of a lending protocol, with its accounts.

    Methods are called in this order. ``discover`` once, ``load`` once with every account that ever
    borrowed, then per head ``note`` (any number of times), ``refresh`` (does nothing in a quiet
    block), ``build_calls``, and ``apply`` with their results. Noted accounts stay noted until an
    ``apply`` that read them succeeded.
    """

    @property
    def key(self) -> MarketKey:
        """The market."""
        ...

    @property
    def from_block(self) -> int:
        """The first block that can have logs of the market."""
        ...

    async def discover(self, head: Head) -> None:
        """Read the market's structure, from its configured address alone.

        Raises:
            ConfigError: there is no such market at the address.
            MarketUnreadable: its contracts do not answer as the protocol's do.
        """
        ...

    @property
    def history_filter(self) -> LogFilter:
        """The logs that name every account that ever had debt."""
        ...

    def borrowers(self, logs: LogTable) -> frozenset[Address]:
        """Return the accounts in those logs."""
        ...

    async def load(self, head: Head, accounts: Collection[Address]) -> None:
        """Read all of these accounts at one block."""
        ...

    @property
    def log_filter(self) -> LogFilter:
        """The logs of a block that report changes."""
        ...

    def note(self, logs: Sequence[Log]) -> None:
        """Note the accounts and reserves in these logs. Orphaned logs are noted as well."""
        ...

    async def refresh(self, head: Head) -> None:
        """Read the market's structure again if a noted log reports a change of it."""
        ...

    def calls(self, head: Head) -> Sequence[Call]:
        """Return the reads that bring the market to ``head``."""
        ...

    def apply(self, head: Head, results: Sequence[CallResult]) -> Sequence[MarketSnapshot]:
        """Return the market at ``head`` from the results of its calls, in their order.

        A deployment of several isolated markets returns a snapshot of each one with a borrower (of
        every one before ``load``). Their keys begin with the deployment's. A failing oracle or
        token is reported in its own snapshot and does not affect the others.

        Raises:
            MarketUnreadable: the contracts do not answer as the protocol's do.
        """
        ...


class ExitVenue(Protocol):
    """One kind of exchange."""

    @property
    def kind(self) -> str:
        """The venue's name in the settings."""
        ...

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:
        """Return every route for the pairs, over exact curves of that block."""
        ...

    async def wrapped_native(self) -> Address:
        """Fetch the wrapped native coin that the venue uses.

        Raises:
            RpcRefused: the venue does not state it.
        """
        ...

    async def confirmed(self, route: Route, amount_in: TokenUnits, basis: Basis) -> TokenUnits:
        """Fetch the sale's output amount from the venue's own quoter."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorTargets:
    """Contracts that the executor must have on its allow-lists to serve an adapter."""

    lenders: tuple[Address, ...] = ()
    factories: tuple[Address, ...] = ()


@runtime_checkable
class TargetsExecutor(Protocol):
    """A market (after ``discover``) or a venue that the executor must be allowed to use."""

    def executor_targets(self) -> ExecutorTargets:
        """Return the contracts for the executor's allow-lists."""
        ...


class Simulator(Protocol):
    """Runs transactions without sending them."""

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        """Return the executor's transaction for these plans."""
        ...

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Simulate the batches one after another on top of ``head`` and return their results."""
        ...


@runtime_checkable
class DescribesItself(Protocol):
    """A snapshot with facts for the operator, shown by ``keeper doctor``."""

    def facts(self) -> Sequence[Fact]:
        """Return the facts to know, such as the rules followed, price sources and their ages."""
        ...


class MarketBook(Protocol):
    """Every followed market, moved forward block by block."""

    @property
    def quarantined(self) -> Mapping[MarketKey, str]:
        """The markets that could not be read, with reasons."""
        ...

    async def advance(self, head: Head) -> Sequence[MarketSnapshot]:
        """Return every readable market at ``head``.

        After a failure the next advance also covers the blocks that this one missed.

        Raises:
            SnapshotReorged: the block is no longer canonical.
            RpcUnavailable: the endpoint did not answer in time.
        """
        ...


class Valuer(Protocol):
    """Prices the native coin in a market's own currency."""

    async def valuation(self, snapshot: MarketSnapshot) -> Valuation | None:
        """Return the market's prices including the native coin's, or None if none is known."""
        ...


class FeeSource(Protocol):
    """Expected price of gas."""

    def floor(self, head: Head) -> Wei:
        """Return the lowest possible gas price of the next block, without a request."""
        ...

    def unasked(self, head: Head) -> Wei:
        """Return the gas price used if no account is worth a request."""
        ...

    async def gas_price(self, head: Head) -> Wei:
        """Return the expected gas price in the next block, tip included."""
        ...


@runtime_checkable
class ChargesForData(Protocol):
    """A fee source on a chain that takes a fee for publishing a transaction's data."""

    async def data_fees(self, batches: Sequence[Batch], head: Head) -> Sequence[DataFee]:
        """Return the cost of publishing each batch, apart from its own gas."""
        ...


class Submitter(Protocol):
    """Sends batches and follows them. A dry run uses a paper ledger instead."""

    def in_flight(self) -> frozenset[tuple[MarketKey, Address]]:
        """Return the accounts of the transactions in flight."""
        ...

    async def submit(
        self, batches: Sequence[Batch], head: Head, *, news: News | None = None
    ) -> Sequence[Batch]:
        """Send the batches and return those sent. The others are not worth the present fee.

        Returns when the transactions were broadcast, not when they are mined. ``news`` are the
        block's facts of the accounts. They are stored together with the nonces, if any.

        Raises:
            JournalError: nothing was signed, since it could not be recorded.
            NotBroadcast: nothing left this process.
        """
        ...

    async def follow(
        self, head: Head, still_unhealthy: Callable[[MarketKey, Address], bool]
    ) -> None:
        """Follow transactions in flight (receipts, replacement, cancellation)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Inputs of a block's planning (the snapshots, and the recorded external inputs)."""

    snapshots: Sequence[MarketSnapshot]
    inputs: Inputs | None


class DecisionLog(Protocol):
    """Store of decisions with their reasons."""

    async def record(
        self,
        head: Head,
        decisions: Sequence[Decision],
        health: Mapping[tuple[MarketKey, Address], AccountHealth],
        given: Given | None = None,
    ) -> None:
        """Store the block's digest, the decisions that changed and their inputs."""
        ...
