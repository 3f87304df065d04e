"""An Aave v3 market as ``keeper.ports.LendingMarket``."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from keeper.audit.canonical import canonical, restored
from keeper.chain.abi import checksum
from keeper.chain.asking import Answers
from keeper.chain.listed import unlisted
from keeper.columns.index import UNKNOWN
from keeper.columns.table import Array, Columns
from keeper.columns.view import View
from keeper.columns.words import packed
from keeper.domain.coverage import DebtTotal
from keeper.domain.errors import MarketUnreadable, RpcMalformed
from keeper.domain.figures import ExpectedFigure, Figure, Figures
from keeper.domain.head import Basis, Head
from keeper.domain.parity import Subject
from keeper.domain.reads import Call, CallResult, Log, LogFilter, LogTable, Origin
from keeper.domain.units import Address, MarketKey
from keeper.ports import ChainReader, ExecutorTargets, LendingMarket
from keeper.protocols.aave_v3 import discovery, events, figures, reader
from keeper.protocols.aave_v3.accounts import borrowers, encoded, new_columns, users_of
from keeper.protocols.aave_v3.coverage import debt_totals
from keeper.protocols.aave_v3.model import Account, PoolState, Structure
from keeper.protocols.aave_v3.snapshot import AaveSnapshot
from keeper.protocols.aave_v3.structure import (
    changed_reserves,
    identity_and_tokens,
    tokens_of,
    warnings_of,
)

NAME = "aave_v3"


def _parse_address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError("an address is text: 0x and 40 hex digits")  # noqa: TRY004 - pydantic's
    return checksum(value)


class Options(BaseModel):
    """Settings of a market. Its PoolAddressesProvider is the only one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    addresses_provider: Annotated[str, BeforeValidator(_parse_address)]


def build(options: Options, *, from_block: int, reader: ChainReader) -> LendingMarket:
    """Return the market of these options. It reads nothing before ``discover``."""
    return AaveMarket(Address(options.addresses_provider), from_block, reader)


@dataclass(frozen=True, slots=True)
class _NotedAccount:
    """An account to read again. ``contracts`` None means all, ``turn`` is the note's number."""

    contracts: frozenset[Address] | None
    turn: int


@dataclass(frozen=True, slots=True)
class _PendingRead:
    """The reads of the latest ``build_calls``, which ``apply`` needs to decode the results."""

    block_hash: str
    turn: int
    structure: Structure
    accounts: Mapping[Address, frozenset[int]]


@dataclass(frozen=True, slots=True)
class _BlockReads:
    """The reads of every block for one structure."""

    structure: Structure
    pool_calls: tuple[Call, ...]
    log_filter: LogFilter


class AaveMarket:
    """See ``keeper.ports.LendingMarket``."""

    def __init__(self, provider: Address, from_block: int, chain: ChainReader) -> None:
        self._provider = provider
        self._from_block = from_block
        self._chain = chain
        self.known_structure: Structure | None = None
        self._facts: tuple[Structure, str] | None = None
        self._made: _BlockReads | None = None
        self._columns: Columns | None = None
        self.noted: dict[Address, _NotedAccount] = {}
        self._structure_noted = False
        self._upgraded: set[Address] = set()
        self._turn = 0
        self._asked: _PendingRead | None = None
        self._pool: PoolState | None = None
        self._surprise: reader.StructureRead | None = None

    @property
    def key(self) -> MarketKey:
        """``aave_v3:`` and the PoolAddressesProvider."""
        return MarketKey(f"{NAME}:{self._provider}")

    @property
    def from_block(self) -> int:
        """The first block that can have logs of the market."""
        return self._from_block

    @property
    def structure(self) -> Structure:
        """The market's structure. MarketUnreadable before ``discover``."""
        if self.known_structure is None:
            raise MarketUnreadable(f"{self.key} has not been discovered")
        return self.known_structure

    @property
    def columns(self) -> Columns:
        """The columns with the accounts. MarketUnreadable before ``discover``."""
        if self._columns is None:
            self._columns = new_columns(stable_debt=self.structure.rules.stable_debt)
        return self._columns

    def executor_targets(self) -> ExecutorTargets:
        """Return the pool, which the executor calls and approves for repayments."""
        return ExecutorTargets(lenders=(self.structure.pool,))

    async def discover(self, head: Head) -> None:
        """Read the market's structure.

        Raises:
            ConfigError: there is no such market at the address.
            MarketUnreadable: its contracts do not answer as Aave's do.
        """
        basis = Basis(block_hash=head.hash)
        try:
            self.known_structure = await discovery.discovered(
                self._chain, self._provider, self.key, basis
            )
        except RpcMalformed as error:
            raise MarketUnreadable(f"{self.key}: {error}") from error

    async def origin(self, head: Head) -> Origin:
        """Return the pool and the log of its creation (``HasOrigin``)."""
        basis = Basis(block_hash=head.hash)
        return await discovery.origin_of(self._chain, self._provider, basis)

    def freeze_structure(self) -> Callable[[], str]:
        """Return a function that encodes the structure as JSON (``KeepsStructure``)."""
        return partial(self._encode_facts, self.structure)

    def _encode_facts(self, structure: Structure) -> str:
        facts = self._facts
        if facts is None or facts[0] is not structure:
            self._facts = facts = structure, canonical(structure)
        return facts[1]

    def restore_structure(self, facts: str) -> None:
        """Restore a stored structure. ValueError if it belongs to another market."""
        structure = restored(Structure, json.loads(facts))
        if structure.key != self.key:
            raise ValueError(f"this is {structure.key}")
        self.known_structure = structure

    @property
    def history_filter(self) -> LogFilter:
        """The ``Borrow`` logs of the pool."""
        return events.history_filter(self.structure)

    def borrowers(self, logs: LogTable) -> frozenset[Address]:
        """Return the debtors in these ``Borrow`` logs."""
        return events.history_borrowers(logs)

    async def load(self, head: Head, accounts: Collection[Address]) -> None:
        """Read all of these accounts at one block. Flags first, then the flagged balances."""
        structure, basis = self.structure, Basis(block_hash=head.hash)
        ordered = sorted(accounts)
        calls = [c for a in ordered for c in reader.account_calls(structure, a)]
        answers = Answers(await self._chain.aggregate(calls, basis))
        flags = {account: reader.flags_of(answers) for account in ordered}
        used = {a: frozenset(Account(*flags[a], {}).flagged()) for a in ordered}
        calls = [c for a in ordered for c in reader.holding_calls(structure, a, used[a])]
        answers = Answers(await self._chain.aggregate(calls, basis))
        read = dict[Address, Account]()
        for account in ordered:
            holdings = reader.holdings_of(structure, used[account], answers)
            read[account], _ = reader.account_of(flags[account], holdings, structure)
            self.noted.pop(account, None)
        self._write(read)

    def _write(self, read: Mapping[Address, Account]) -> None:
        self.columns.put(packed(list(read)), encoded(read.values(), self.columns))

    def array_form(self) -> str:
        """Return the dependencies of stored accounts (``KeepsColumns``).

        The first line has the block at which the history begins and the pool, the second the layout
        and a hash of the tokens.
        """
        structure = self.structure
        tokens = (
            str(token) for reserve in structure.reserves for token in identity_and_tokens(reserve)
        )
        told = sha256(" ".join((str(structure.revision), *tokens)).encode()).hexdigest()
        return f"{self._from_block} {structure.pool}\n1 {self.columns.width} {told}"

    def is_settled(self) -> bool:
        """Return whether everything noted has been read."""
        return not self.noted and not self._structure_noted

    def to_arrays(self) -> dict[str, Array]:
        """Return every account (``KeepsColumns``)."""
        return self.columns.to_arrays()

    def changed(self) -> dict[str, Array]:
        """Return the accounts that were read since the last call."""
        return self.columns.changes()

    def from_arrays(self, arrays: Mapping[str, Array]) -> None:
        """Restore stored accounts instead of ``load``. MarketUnreadable if they are incomplete."""
        self._columns = None
        self.merge(arrays)

    def merge(self, arrays: Mapping[str, Array]) -> None:
        """Merge stored changes into the accounts. MarketUnreadable if they are incomplete."""
        self.columns.merge(arrays)

    def _is_followed(self, account: Address) -> bool:
        return self.columns.index.row_of(unlisted(account)) != UNKNOWN

    @property
    def log_filter(self) -> LogFilter:
        """The logs of tokens, pool, oracle, configurator and provider that report changes."""
        return self._get_block_reads().log_filter

    @property
    def liquidation_filter(self) -> LogFilter:
        """The pool's ``LiquidationCall`` logs."""
        return events.liquidation_filter(self.structure)

    def liquidated(self, logs: Sequence[Log]) -> frozenset[Subject]:
        """Return the liquidated accounts in these logs."""
        return frozenset((self.key, account) for account in events.liquidated(logs))

    def note(self, logs: Sequence[Log]) -> None:
        """Note the accounts and reserves in these logs. Orphaned logs are noted as well."""
        self._turn += 1
        found = events.touched(logs)
        self._structure_noted = self._structure_noted or found.structure
        self._upgraded |= found.upgraded
        debt_tokens = {reserve.variable_token for reserve in self.structure.reserves}
        for account in events.borrowers(logs) | events.debtors(logs, debt_tokens):
            if not self._is_followed(account):
                self.noted[account] = _NotedAccount(None, self._turn)
        for account, contracts in found.accounts.items():
            if account in self.noted or self._is_followed(account):
                self.noted[account] = self._merge_noted(account, contracts)

    def _merge_noted(self, account: Address, contracts: frozenset[Address]) -> _NotedAccount:
        before = self.noted.get(account)
        if before is None:
            return _NotedAccount(contracts, self._turn)
        if before.contracts is None:
            return _NotedAccount(None, self._turn)
        return _NotedAccount(before.contracts | contracts, self._turn)

    def note_history(self, logs: LogTable, *, known_too: bool) -> int:
        """Note unknown borrowers in these logs, and with ``known_too`` the known ones."""
        self._turn += 1
        named = events.history_borrowers(logs)
        new = {e for e in named if e not in self.noted and not self._is_followed(e)}
        for account in named if known_too else new:
            self.noted[account] = _NotedAccount(None, self._turn)
        return len(new)

    def resync(self, market: MarketKey, account: Address) -> None:
        """Read the whole account with the next block's calls."""
        if market == self.key and self._is_followed(account):
            self._turn += 1
            self.noted[account] = _NotedAccount(None, self._turn)

    async def refresh(self, head: Head) -> None:
        """Discover the market again if a noted log reports a change of its structure."""
        if not self._structure_noted:
            return
        before = self.structure
        await self.discover(head)
        self._structure_noted = False
        changed = changed_reserves(before, self.structure)
        changed |= {at.identity for at in self.structure.reserves if self._upgraded & tokens_of(at)}
        self._upgraded.clear()
        for account in users_of(changed, View(self.columns)) if changed else ():
            self.noted[account] = _NotedAccount(None, self._turn)

    def calls(self, head: Head) -> Sequence[Call]:
        """Return the reads that bring the market to ``head``.

        Constant except for noted accounts.
        """
        structure, kept = self.structure, borrowers(View(self.columns))
        to_read = {a: self._to_read(kept.get(a), noted) for a, noted in sorted(self.noted.items())}
        self._asked = _PendingRead(head.hash, self._turn, structure, to_read)
        calls = list(self._get_block_reads().pool_calls)
        for account, reserves in to_read.items():
            calls += reader.account_calls(structure, account)
            calls += reader.holding_calls(structure, account, reserves)
        return calls

    def _get_block_reads(self) -> _BlockReads:
        """Return the reads of every block. Rebuilt after a change of the structure."""
        if self._made is None or self._made.structure is not self.structure:
            structure = self.structure
            calls = (*reader.pool_calls(structure), *reader.structure_calls(structure))
            self._made = _BlockReads(structure, calls, events.block_filter(self.structure))
        return self._made

    def _to_read(self, known: Account | None, noted: _NotedAccount) -> frozenset[int]:
        """Return the reserves in which a noted account is read."""
        if known is None or noted.contracts is None:
            return frozenset(reserve.identity for reserve in self.structure.reserves)
        named = {
            reserve.identity
            for reserve in self.structure.reserves
            if noted.contracts & tokens_of(reserve)
        }
        return frozenset(named | set(known.flagged()))

    def apply(self, head: Head, results: Sequence[CallResult]) -> tuple[AaveSnapshot]:
        """Return the market at ``head`` from the results of its calls, in their order.

        Raises:
            MarketUnreadable: the contracts do not answer as Aave's do.
        """
        asked = self._asked
        if asked is None or asked.block_hash != head.hash:
            raise MarketUnreadable(f"{self.key}: these are answers to another block's calls")
        try:
            pool, surprise, read = _read(asked, Answers(results))
        except RpcMalformed as error:
            raise MarketUnreadable(f"{self.key}: {error}") from error
        self._write({account: kept for account, (kept, _) in read.items()})
        for account, (_, complete) in read.items():
            noted = self.noted.get(account)
            if noted is not None and noted.turn <= asked.turn:
                del self.noted[account]
            if not complete:
                self.noted[account] = _NotedAccount(None, self._turn)
        self._pool = pool
        self._check_structure(surprise)
        snapshot = AaveSnapshot(
            head=head, pool=pool, view=View(self.columns), warnings=warnings_of(pool)
        )
        return (snapshot,)

    def _check_structure(self, surprise: reader.StructureRead | None) -> None:
        """Note the structure for discovery if a block reads an unexpected one."""
        self._structure_noted |= surprise is not None and surprise != self._surprise
        self._surprise = surprise

    def figures(self) -> dict[Figure, int]:
        """Return the interest state and totals at the last ``apply``.

        Empty for an unknown revision.
        """
        known = self._pool is not None and self._pool.structure.supported
        return figures.figures(self._pool) if known and self._pool is not None else {}

    def expected_figures(
        self, before: Figures, logs: Sequence[Log]
    ) -> dict[Figure, ExpectedFigure]:
        """Predict figures from earlier ones and all logs since."""
        own = [log for log in logs if self.log_filter.accepts(log)]
        return figures.expected_figures(self.structure, before, own)

    def debt_totals(self) -> list[DebtTotal] | None:
        """Return each reserve's total variable debt and the book's sum. None while unsettled."""
        if self._pool is None or not self.is_settled():
            return None
        return debt_totals(self._pool, self.columns)


def _read(
    asked: _PendingRead, answers: Answers
) -> tuple[PoolState, reader.StructureRead | None, dict[Address, tuple[Account, bool]]]:
    pool = reader.pool_state(asked.structure, answers)
    surprise = reader.structure_read(asked.structure, answers)
    read = dict[Address, tuple[Account, bool]]()
    for account, reserves in asked.accounts.items():
        flags = reader.flags_of(answers)
        holdings = reader.holdings_of(asked.structure, reserves, answers)
        read[account] = reader.account_of(flags, holdings, asked.structure)
    return pool, surprise, read
