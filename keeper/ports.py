"""What the pipeline and the adapters need from each other and from the outside world."""

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
        """Yield each new head once; the newest only, when the reader is slower than the chain."""
        ...


class ChainReader(Protocol):
    """
    Reads of the chain, each pinned to a block.

    Every method raises ``RpcUnavailable`` (no answer within its bound, after
    bounded retries), ``RpcRefused`` (the node said no), ``RpcMalformed`` (the answer
    is not one) or ``SnapshotReorged`` (the node does not know the pinned block).
    """

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Return a block's header: by number, by hash, or the newest."""
        ...

    async def heads(self, first: int, last: int) -> list[Head]:
        """Return the canonical headers of a range, both ends included, oldest first."""
        ...

    async def aggregate(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read all the calls at one block, in few requests; a failed call fails alone."""
        ...

    async def call(self, call: Call, basis: Basis, *, sender: Address | None = None) -> bytes:
        """Read one call; a revert raises ``RpcRefused`` with its data."""
        ...

    async def deployless(self, initcode: bytes, basis: Basis) -> bytes:
        """Run code that is deployed nowhere and return what it returns (a read)."""
        ...

    async def block_logs(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Return the logs of one block, by hash."""
        ...

    async def logs_between(self, wanted: LogFilter, first: int, last: int) -> list[Log]:
        """Return the logs of a range, both ends included, in windows that the node accepts."""
        ...

    async def scan_logs(
        self, wanted: LogFilter, first: int, last: int, took: Callable[[LogTable, int], None]
    ) -> None:
        """
        Go through the logs of a long range, both ends included, checked to be all of them.

        ``took`` gets one stretch after the other with the block that is covered; a failure
        leaves what it got before. ``HistoryPruned``: the node has thrown logs away.
        """
        ...

    async def code(self, address: Address, basis: Basis) -> bytes:
        """Return a contract's code; empty where there is none."""
        ...

    async def balance(self, address: Address, basis: Basis) -> Wei:
        """Return an account's native balance."""
        ...

    async def transaction_count(self, address: Address, block: str = "latest") -> int:
        """Return the account's nonce at ``latest`` or ``pending``."""
        ...

    async def fee_history(self, blocks: int, percentile: int) -> tuple[list[Wei], list[Wei]]:
        """Return base fees (the next block's last) and the percentile's rewards per block."""
        ...


class MarketSnapshot(Protocol):
    """One market at one block: frozen, exact, and pure from here on."""

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
        """The market's own prices; a token whose source failed is missing."""
        ...

    @property
    def base_unit(self) -> BaseCurrency:
        """One whole unit of the base currency."""
        ...

    @property
    def liquidity(self) -> Mapping[LiquidityKey, TokenUnits]:
        """What the protocol can pay out, by holder and token."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What is wrong with parts of the market (a failing price source), one line each."""
        ...

    def accounts(self) -> Sequence[AccountHealth]:
        """Return every account with debt, exact, worst first (ties by address)."""
        ...

    def account(self, account: Address) -> AccountHealth | None:
        """Return one account's health; None if the market does not know it or it has no debt."""
        ...

    def balances(self, account: Address) -> tuple[tuple[Balance, ...], tuple[Balance, ...]]:
        """Return the account's collateral and its debts."""
        ...

    def opportunities(
        self, account: Address, window: Window
    ) -> tuple[Sequence[Opportunity], Sequence[Refusal]]:
        """Return what can be done with an unhealthy account, and why not the rest."""
        ...

    def flash_lenders(self, token: Address) -> tuple[Sequence[FlashLender], Sequence[Refusal]]:
        """Return who in this market lends ``token`` for a transaction, and why not."""
        ...


@runtime_checkable
class ScreensAccounts(Protocol):
    """A snapshot that finds who is past the line without valuing everybody exactly."""

    def liquidatable(self) -> Sequence[AccountHealth]:
        """Return the liquidatable ones of ``accounts``, in the same order."""
        ...


class LendingMarket(Protocol):
    """
    One market of a lending protocol: who owes, and what the contract says of them.

    The order of calls: ``discover`` once, ``load`` once with every account that
    ever borrowed, then per head ``note`` (any number of times), ``refresh`` (does
    nothing in a quiet block), ``calls``, and ``apply`` with their results. What was
    noted stays noted until an ``apply`` that read it succeeded.
    """

    @property
    def key(self) -> MarketKey:
        """The market."""
        ...

    @property
    def from_block(self) -> int:
        """Where the market's first log may be."""
        ...

    async def discover(self, head: Head) -> None:
        """
        Read what the market consists of, from nothing but its configured address.

        Raises:
            ConfigError: there is no such market at the address.
            MarketUnreadable: its contracts do not answer as the protocol's do.
        """
        ...

    @property
    def history_filter(self) -> LogFilter:
        """The logs that name every account that ever owed anything."""
        ...

    def borrowers(self, logs: LogTable) -> frozenset[Address]:
        """Return the accounts that those logs name."""
        ...

    async def load(self, head: Head, accounts: Collection[Address]) -> None:
        """Read all of these accounts at one block."""
        ...

    @property
    def log_filter(self) -> LogFilter:
        """The logs of a block that say who or what changed."""
        ...

    def note(self, logs: Sequence[Log]) -> None:
        """Remember what these logs touched; orphaned logs are noted just the same."""
        ...

    async def refresh(self, head: Head) -> None:
        """Read again what the market consists of, if a noted log says that it changed."""
        ...

    def calls(self, head: Head) -> Sequence[Call]:
        """Return the reads that bring the market to ``head``."""
        ...

    def apply(self, head: Head, results: Sequence[CallResult]) -> Sequence[MarketSnapshot]:
        """
        Return the market at ``head`` from the answers to ``calls(head)``, in their order.

        A deployment of several isolated markets returns a snapshot of each one with a
        borrower (of every one before ``load``); their keys begin with the deployment's
        (``units.deployment``). One whose oracle or token fails says so in its snapshot and
        leaves the others alone.

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
        """
        Return the wrapped native coin that the venue was made for.

        Raises:
            RpcRefused: the venue does not say.
        """
        ...

    async def confirmed(self, route: Route, amount_in: TokenUnits, basis: Basis) -> TokenUnits:
        """Return what the venue's own quoter says the sale brings."""
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
        """Return what goes on the executor's allow-lists."""
        ...


class Simulator(Protocol):
    """Runs transactions without sending them."""

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        """Return the executor's transaction for these plans."""
        ...

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Run the batches one after the other on top of ``head`` and return what they did."""
        ...


@runtime_checkable
class DescribesItself(Protocol):
    """A snapshot that has something to tell an operator, for doctor."""

    def facts(self) -> Sequence[Fact]:
        """Return what should be known: rules followed, price sources and their ages."""
        ...


class MarketBook(Protocol):
    """Every followed market, moved forward block by block."""

    @property
    def quarantined(self) -> Mapping[MarketKey, str]:
        """The markets that could not be read, and why."""
        ...

    async def advance(self, head: Head) -> Sequence[MarketSnapshot]:
        """
        Return every readable market at ``head``.

        A failure leaves the book such that the next advance covers what this one missed.

        Raises:
            SnapshotReorged: the block is no longer canonical.
            RpcUnavailable: the endpoint did not answer in time.
        """
        ...


class Valuer(Protocol):
    """Knows what the native coin is worth in a market's own currency."""

    async def valuation(self, snapshot: MarketSnapshot) -> Valuation | None:
        """Return the market's prices with the native coin's, or None if nobody states it."""
        ...


class FeeSource(Protocol):
    """What gas will cost."""

    def floor(self, head: Head) -> Wei:
        """Return the least that a unit of gas can cost in the next block, without asking."""
        ...

    def unasked(self, head: Head) -> Wei:
        """Return the price that counts where nobody is worth asking for it: the floor."""
        ...

    async def gas_price(self, head: Head) -> Wei:
        """Return the expected price of one unit of gas in the next block, tip included."""
        ...


@runtime_checkable
class ChargesForData(Protocol):
    """A fee source on a chain that takes a fee for publishing a transaction's data."""

    async def data_fees(self, batches: Sequence[Batch], head: Head) -> Sequence[DataFee]:
        """Return what publishing each batch will cost beside its own gas."""
        ...


class Submitter(Protocol):
    """Sends batches and follows them; a dry run has a ledger here instead."""

    def in_flight(self) -> frozenset[tuple[MarketKey, Address]]:
        """Return the accounts that a live transaction of ours is about."""
        ...

    async def submit(
        self, batches: Sequence[Batch], head: Head, *, news: News | None = None
    ) -> Sequence[Batch]:
        """
        Take the batches over and return those taken: the others were not worth the fee now.

        Returns when their bytes have left, not when they are mined. ``news`` is what the block
        says of those acted on (``MarginCalls.acting``): it is kept if any nonce is bound, with it.

        Raises:
            JournalError: nothing was signed, since it could not be recorded.
            NotBroadcast: nothing left this process.
        """
        ...

    async def follow(
        self, head: Head, still_unhealthy: Callable[[MarketKey, Address], bool]
    ) -> None:
        """Look after what is in flight: receipts, replacement, cancellation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What deciding about a block was given: the markets, and what was told from outside."""

    snapshots: Sequence[MarketSnapshot]
    inputs: Inputs | None


class DecisionLog(Protocol):
    """What was decided and why, kept."""

    async def record(
        self,
        head: Head,
        decisions: Sequence[Decision],
        health: Mapping[tuple[MarketKey, Address], AccountHealth],
        given: Given | None = None,
    ) -> None:
        """Store what changed since the last block, made of what, and the block's digest."""
        ...
