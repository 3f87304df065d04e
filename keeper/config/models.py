"""Settings models, frozen, one per section, with defaults, units and bounds."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from keeper.config.curing import Cure
from keeper.config.listening import HostText, ListenText, is_loopback, listen_address
from keeper.config.margin import Calls, Oracle, Restraints
from keeper.config.notifying import Notify
from keeper.config.problems import nearest
from keeper.config.section import Plugged, Section
from keeper.config.types import (
    AddressText,
    EndpointText,
    Exact,
    FilePath,
    Flag,
    PrivateKey,
    SecretText,
    Text,
    Whole,
    refuse,
)
from keeper.domain.units import BPS, MAX_TRANSACTION_GAS, Address
from keeper.margin.settings import DAY, MarginSettings

MULTICALL3: Final = Address("0xcA11bde05977b3631167028862bE2a173976CA11")
"""Address of Multicall3 on nearly every chain."""

MAX_BLOCK: Final = 2**63 - 1
YEAR_SECONDS: Final = 31_536_000
MAX_FEE_GWEI: Final = 10_000
MIN_BUMP_BPS: Final = 1_000
"""Nodes refuse a replacement that raises either fee by less than this."""

SECRETS: Final = frozenset(
    {"wallet.private_key", "wallet.password", "notify.channel.0.url", "notify.channel.0.secret"}
)
"""Settings that are never printed. A list's items are under ``0``."""

NOT_IN_FILE: Final = frozenset({"wallet.private_key", "wallet.password"})
"""Settings that come from the environment or from ``.env`` only."""


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Chain(Section):
    """The chain and its endpoints."""

    id: Whole = Field(ge=1, le=2**53 - 1)
    endpoints: tuple[EndpointText, ...] = Field(min_length=1, repr=False)
    multicall: AddressText = MULTICALL3
    wrapped_native: AddressText | None = None
    native_price_feed: AddressText | None = None
    data_fee: Annotated[
        Literal["auto", "none", "op_stack", "arbitrum"], BeforeValidator(_lower)
    ] = "auto"
    poll_interval_ms: Whole = Field(default=500, ge=50, le=60_000)
    block_time_ms: Whole = Field(default=12_000, ge=50, le=3_600_000)
    max_lag_blocks: Whole = Field(default=5, ge=1, le=10_000)
    check_seconds: Whole = Field(default=180, ge=1, le=86_400)

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        plain = [one.get_secret_value().rstrip("/").lower() for one in self.endpoints]
        if len(set(plain)) < len(plain):
            refuse("two endpoints are the same", hint="list each node once")
        return self

    @property
    def endpoint_addresses(self) -> tuple[str, ...]:
        """The endpoints' addresses, in order, secret."""
        return tuple(one.get_secret_value() for one in self.endpoints)


class Market(Plugged):
    """One lending market. ``options`` belong to its protocol adapter.

    Without ``from_block``, or with 0, its contract's creation block is searched at the start.
    """

    own: ClassVar[frozenset[str]] = frozenset({"protocol", "from_block", "name", "executor"})

    protocol: Text
    from_block: Whole | None = Field(default=None, ge=0, le=MAX_BLOCK)
    name: Text | None = None
    executor: Text | None = None

    @field_validator("from_block")
    @classmethod
    def _refuse_mistyped(cls, block: int | None, info: ValidationInfo) -> int | None:
        """Refuse a market with a misspelled ``from_block``."""
        meant = nearest("from_block", info.data.get("options", ())) if block is None else ""
        if meant:
            refuse("is missing", hint=f"is {meant} mistyped?")
        return block


class Venue(Plugged):
    """One exchange. ``options`` belong to its adapter."""

    own: ClassVar[frozenset[str]] = frozenset({"kind"})

    kind: Text


class Executor(Section):
    """One deployed executor contract.

    ``allow_hot_roles`` accepts, on a real chain, that the hot key owns it or receives its profit.
    """

    name: Text = "main"
    address: AddressText
    allow_hot_roles: bool = False


class Wallet(Section):
    """The hot key, as keystore or private key. Without either nothing is signed."""

    keystore: FilePath | None = None
    password_file: FilePath | None = None
    password: SecretText | None = None
    private_key: PrivateKey | None = None

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if self.keystore is not None and self.private_key is not None:
            refuse("both a keystore and a private key are set", hint="keep one of them")
        if self.password is not None and self.password_file is not None:
            refuse("both a password and a password file are set", hint="keep one of them")
        if self.keystore is None and (self.password or self.password_file) is not None:
            refuse("a password is set but no keystore", hint="set wallet.keystore")
        return self


BpsField = Annotated[Whole, Field(ge=0, le=BPS)]
"""A share in basis points, 10,000 for all of it."""


class Policy(Restraints):
    """Profitability, restraint, spending and transaction handling."""

    min_profit_usd: Exact = Field(default=Decimal(5), ge=0, le=10**9)
    tolerance_bps: BpsField = 1_000
    max_fee_gwei: Exact = Field(default=Decimal(5_000), gt=0, le=MAX_FEE_GWEI)
    priority_percentile: Whole = Field(default=50, ge=0, le=100)
    profit_bid_bps: BpsField = 0
    race_bid_bps: BpsField = 2_500
    builder_share_bps: BpsField = 0
    deadline_seconds: Whole = Field(default=180, ge=1, le=YEAR_SECONDS)
    bump_after_blocks: Whole = Field(default=2, ge=1, le=10_000)
    bump_bps: Whole = Field(default=1_250, ge=MIN_BUMP_BPS, le=BPS)
    max_fee_multiple: Whole = Field(default=5, ge=2, le=1_000)
    cooldown_blocks: Whole = Field(default=3, ge=0, le=100_000)
    confirmations: Whole = Field(default=12, ge=1, le=10_000)
    max_transaction_gas: Whole = Field(
        default=MAX_TRANSACTION_GAS, ge=500_000, le=MAX_TRANSACTION_GAS
    )
    max_plans_per_transaction: Whole = Field(default=12, ge=1, le=64)
    max_rounds_per_account: Whole = Field(default=4, ge=1, le=16)

    @model_validator(mode="after")
    def _check_profit_left(self) -> Self:
        if self.profit_bid_bps + self.builder_share_bps > BPS:
            refuse("profit_bid_bps and builder_share_bps together are more than the profit")
        return self


MostEther = Annotated[Exact, Field(gt=0, le=10**9)]
"""An exact limit in ether, which can be set high enough to be ineffective."""


class Limits(Section):
    """Limits of gas spending, failures and the wallet's balance."""

    max_gas_per_transaction_eth: MostEther = Decimal(5)
    max_gas_per_hour_eth: MostEther = Decimal(20)
    max_gas_per_day_eth: MostEther = Decimal(50)
    max_races_per_hour_eth: MostEther = Decimal(1)
    max_consecutive_reverts: Whole = Field(default=5, ge=1, le=10_000)
    min_balance_eth: Exact = Field(default=Decimal(0), ge=0, le=10**9)
    max_balance_eth: MostEther = Decimal(25)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.max_gas_per_hour_eth > self.max_gas_per_day_eth:
            refuse("max_gas_per_hour_eth is more than max_gas_per_day_eth")
        if self.min_balance_eth >= self.max_balance_eth:
            refuse("min_balance_eth is not less than max_balance_eth")
        return self


class Journal(Section):
    """The database of decisions and signed transactions."""

    path: FilePath = Field(default=Path("keeper.sqlite"))


class Record(Section):
    """Retention of the record of decisions, unlimited without ``keep_days``."""

    keep_days: Annotated[Whole, Field(ge=1, le=36_500)] | None = None


class Book(Section):
    """Storage of the accounts between runs, beside the journal unless ``path`` is set."""

    keep: Flag = True
    path: FilePath | None = None


class Run(Section):
    """The running node.

    A signal ends it within ``stop_seconds``. Before its first signature it watches the key for
    ``quiet_blocks``, but not on a local chain.
    """

    drain_seconds: Whole = Field(default=60, ge=0, le=3_600)
    stall_exit_seconds: Whole = Field(default=900, ge=0, le=86_400)
    stop_seconds: Whole = Field(default=25, ge=1, le=3_600)
    quiet_blocks: Whole = Field(default=2, ge=0, le=1_000)


class Log(Section):
    """Log output on stderr."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = "text"


class Observe(Section):
    """Read-only health and metrics over HTTP.

    ``hosts`` are further accepted host names. Other names are refused, against DNS rebinding. The
    node is not ready when a head is late by ``late_after_blocks`` times ``chain.block_time_ms``, or
    when more debt than ``uncovered_debt_usd`` belongs to no account of the book.
    """

    listen: ListenText = "127.0.0.1:9464"
    expose: Flag = False
    hosts: tuple[HostText, ...] = ()
    late_after_blocks: Whole = Field(default=3, ge=1, le=10_000)
    uncovered_debt_usd: Exact = Field(default=Decimal(1_000), ge=0, le=10**12)

    @model_validator(mode="after")
    def _refuse_exposure(self) -> Self:
        if self.listen and not self.expose and not is_loopback(listen_address(self.listen)[0]):
            refuse(
                f"other machines could reach {self.listen}, which asks nobody for a password",
                hint="listen on 127.0.0.1, or set observe.expose = true if a firewall guards it",
            )
        return self


class Settings(Section):
    """All settings of an operator."""

    chain: Chain
    market: tuple[Market, ...] = Field(min_length=1)
    venue: tuple[Venue, ...] = ()
    executor: tuple[Executor, ...] = ()
    wallet: Wallet = Wallet()
    policy: Policy = Policy()
    limits: Limits = Limits()
    journal: Journal = Journal()
    record: Record = Record()
    book: Book = Book()
    run: Run = Run()
    log: Log = Log()
    observe: Observe = Observe()
    notify: Notify = Notify()
    cure: Cure = Cure()
    oracle: Oracle = Oracle()
    calls: Calls = Calls()

    @property
    def book_path(self) -> Path | None:
        """The book's file, None where it is not persisted."""
        journal = self.journal.path
        beside = journal.with_name(f"{journal.stem}.book{journal.suffix}")
        return (self.book.path or beside) if self.book.keep else None

    @model_validator(mode="after")
    def _check_files_differ(self) -> Self:
        if self.book_path == self.journal.path:
            refuse("book.path is the journal's", hint="leave book.path out, or name another file")
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        known = [one.name for one in self.executor]
        if len(set(known)) < len(known):
            refuse("two executors have the same name", hint="give each [[executor]] its own name")
        for market in self.market:
            if market.executor is not None and market.executor not in known:
                listed = ", ".join(known) or "none"
                refuse(
                    f"market {market.protocol} names the unknown executor {market.executor!r}",
                    hint=f"executors: {listed}",
                )
        return self

    @model_validator(mode="after")
    def _check_second_source(self) -> Self:
        wanted = self.policy.guard.confirm or ()
        if "second_source" in wanted and not self.oracle.second:
            refuse(
                "policy.guard.confirm asks a second source, and there is none:"
                " nothing would ever be confirmed by it",
                hint="add [[oracle.second]], or remove second_source",
            )
        return self

    @model_validator(mode="after")
    def _check_contract_roles(self) -> Self:
        taken = {self.chain.multicall: "chain.multicall"}
        if self.chain.wrapped_native is not None:
            taken[self.chain.wrapped_native] = "chain.wrapped_native"
        for number, one in enumerate(self.executor):
            setting = f"executor[{number}].address"
            if one.address in taken:
                refuse(
                    f"{setting} is the address of {taken[one.address]}",
                    hint=f"{taken[one.address]} and {setting} are different contracts",
                )
            taken[one.address] = setting
        if self.cure.vault in taken:
            refuse(f"cure.vault is the address of {taken[self.cure.vault]}")
        return self

    def margin(self, *, both_clocks: bool = True) -> MarginSettings:
        """Build the margin-call settings.

        ``both_clocks`` is false where this machine's clock is unrelated to the chain's.
        """
        wanted = self.policy.margin(self.chain.id, self.oracle, self.calls)
        rules = wanted.oracle
        if rules.heartbeat_seconds is None and both_clocks:
            rules = replace(rules, heartbeat_seconds=DAY)
        return replace(wanted, both_clocks=both_clocks, oracle=rules)

    def executor_of(self, market: Market) -> Executor | None:
        """Return a market's executor, by name or else the first one."""
        named = [one for one in self.executor if market.executor in (None, one.name)]
        return named[0] if named else None


def leaves(model: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings. A list's items are under ``name.0``."""
    for name, field in model.model_fields.items():
        if name in Plugged.model_fields:
            continue
        inner = _find_section(field.annotation)
        dotted = f"{prefix}{name}"
        if inner is None:
            yield dotted
        elif isinstance(field.annotation, type):
            yield from leaves(inner, f"{dotted}.")
        else:
            yield from leaves(inner, f"{dotted}.0.")


def _find_section(annotation: object) -> type[Section] | None:
    """Return the section type of a field, plain or in a tuple."""
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None
