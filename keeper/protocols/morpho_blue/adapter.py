"""A deployment of Morpho Blue with its markets, as ``keeper.ports.LendingMarket``."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from keeper.audit.canonical import canonical, restored
from keeper.chain.asking import Answers
from keeper.chain.listed import Listed, unlisted
from keeper.columns.index import UNKNOWN
from keeper.columns.table import STORED, Array, Columns
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
from keeper.protocols.morpho_blue import discovery, events, figures, reader
from keeper.protocols.morpho_blue.accounts import (
    by_market,
    encoded,
    named,
    named_apart,
    new_columns,
)
from keeper.protocols.morpho_blue.coverage import debt_total
from keeper.protocols.morpho_blue.events import Pair
from keeper.protocols.morpho_blue.idle import IdleMarkets
from keeper.protocols.morpho_blue.model import MarketId, Position, Structure
from keeper.protocols.morpho_blue.options import Options
from keeper.protocols.morpho_blue.reader import Asked, Read
from keeper.protocols.morpho_blue.snapshot import MorphoSnapshot

__all__ = ["MorphoDeployment", "Options", "build"]

NAME = "morpho_blue"


def build(options: Options, *, from_block: int, reader: ChainReader) -> LendingMarket:
    """Return the deployment of these options. It reads nothing before ``discover``."""
    return MorphoDeployment(options, from_block, reader)


class MorphoDeployment:
    """One Morpho Blue contract with many isolated markets, as a ``LendingMarket``.

    Each market with a borrower has its own snapshot, so that a failing oracle or a hostile token
    affects no other market. Of markets without a borrower only the totals are read.
    """

    def __init__(self, options: Options, from_block: int, chain: ChainReader) -> None:
        self._options = options
        self.stranger_risk = options.stranger_risk
        self.morpho = Address(options.morpho)
        self._from_block = from_block
        self._chain = chain
        self.known_structure: Structure | None = None
        self._facts: tuple[Structure, str] | None = None
        self.books: dict[MarketId, Columns] = defaultdict(new_columns)
        self.noted: dict[Pair, int] = {}
        self._created: set[MarketId] = set()
        self._described: set[MarketId] = set()
        """Every market whose parameters were seen, followed or not."""
        self._turn = 0
        self._loaded = False
        self._asked: Asked | None = None
        self._read: Read | None = None
        self._idle = IdleMarkets()

    @property
    def key(self) -> MarketKey:
        """``morpho_blue:`` and the contract's address."""
        return MarketKey(f"{NAME}:{self.morpho}")

    @property
    def from_block(self) -> int:
        """The first block that can have logs of the deployment."""
        return self._from_block

    @property
    def structure(self) -> Structure:
        """The deployment's structure. MarketUnreadable before ``discover``."""
        if self.known_structure is None:
            raise MarketUnreadable(f"{self.key} has not been discovered")
        return self.known_structure

    def executor_targets(self) -> ExecutorTargets:
        """Return the contract, which the executor calls and approves for repayments."""
        return ExecutorTargets(lenders=(self.morpho,))

    async def discover(self, head: Head) -> None:
        """Read the deployment's markets and their structure.

        Raises:
            ConfigError: there is no Morpho Blue at the address.
            MarketUnreadable: it does not answer as Morpho Blue does.
        """
        chain, options = self._chain, self._options
        try:
            await discovery.refuse_others(chain, self.morpho, Basis(block_hash=head.hash))
            found = await discovery.known_markets(chain, options, head, self._from_block)
            self._described |= found.keys()
            wanted = {each: params for each, params in found.items() if options.wants(params)}
            self.known_structure = await discovery.structure(chain, options, wanted, head)
        except RpcMalformed as error:
            raise MarketUnreadable(f"{self.key}: {error}") from error

    async def origin(self, head: Head) -> Origin:
        """Return the contract and the log of its first owner (``HasOrigin``)."""
        basis = Basis(block_hash=head.hash)
        await discovery.refuse_others(self._chain, self.morpho, basis)
        return Origin(contract=self.morpho, created=events.origin_filter(self.morpho))

    def freeze_structure(self) -> Callable[[], str]:
        """Return a function that encodes the structure as JSON (``KeepsStructure``)."""
        return partial(self._encode_facts, self.structure)

    def _encode_facts(self, structure: Structure) -> str:
        facts = self._facts
        if facts is None or facts[0] is not structure:
            self._facts = facts = structure, canonical(structure)
        return facts[1]

    def restore_structure(self, facts: str) -> None:
        """Restore a stored structure. ValueError if it belongs to another deployment."""
        structure = restored(Structure, json.loads(facts))
        if structure.morpho != self.morpho:
            raise ValueError(f"this is {structure.morpho}")
        self.known_structure = structure

    @property
    def history_filter(self) -> LogFilter:
        """The ``Borrow`` and ``CreateMarket`` logs.

        Creations are read again, so that none is missed.
        """
        return events.history_filter(self.morpho)

    def borrowers(self, logs: LogTable) -> frozenset[Address]:
        """Return the debtors in these ``Borrow`` logs of followed markets.

        Their markets are stored, so that ``load`` need not read every market. A market that
        discovery did not find becomes known by its creation or its first borrower.
        """
        pairs = self._find_followed_pairs(logs)
        self.write_borrowers(pairs)
        return events.accounts(pairs)

    def _find_followed_pairs(self, logs: LogTable) -> frozenset[Pair]:
        """Return the borrowers by market, in followed and in new markets."""
        pairs = events.history_borrowed(logs)
        self._note_markets({pair[0] for pair in pairs} | events.history_created(logs))
        followed = self._created | self.structure.markets.keys()
        return frozenset(pair for pair in pairs if pair[0] in followed)

    def _note_markets(self, named: Collection[MarketId]) -> None:
        """Note markets with an unseen creation, unless the settings list market ids."""
        if not self._options.listed and self.known_structure is not None:
            self._created |= {*named} - self._described - self.known_structure.markets.keys()

    def write_borrowers(self, pairs: Collection[Pair]) -> None:
        """Store that these accounts borrowed in these markets."""
        for identity, accounts in by_market(pairs).items():
            book = self.books[identity]
            addresses = packed(accounts)
            new = addresses[book.index.rows_of(addresses) == UNKNOWN]
            book.put(new, named(len(new)))

    def is_followed(self, pair: Pair) -> bool:
        """Return whether the account is known to have borrowed in the market."""
        identity, account = pair
        book = self.books.get(identity)
        return book is not None and book.index.row_of(unlisted(account)) != UNKNOWN

    async def load(self, head: Head, accounts: Collection[Address]) -> None:
        """Read these accounts in the markets where they borrowed, or in all if unknown."""
        pairs = self._locate_pairs(sorted(accounts))
        calls = reader.position_calls(self.morpho, pairs)
        answers = Answers(await self._chain.aggregate(calls, Basis(block_hash=head.hash)))
        self.write_positions(reader.positions(pairs, answers))
        for pair in pairs:
            self.noted.pop(pair, None)
        self._loaded = True

    def _locate_pairs(self, accounts: Sequence[Address]) -> list[Pair]:
        """Return the markets where these accounts borrowed, or all markets if unknown."""
        addresses = packed(accounts)
        known = {e: b.index.rows_of(addresses) != UNKNOWN for e, b in self.books.items()}
        nowhere = ~np.any([np.zeros(len(accounts), dtype=np.bool_), *known.values()], axis=0)
        return [
            (identity, accounts[at])
            for identity in sorted(self.structure.markets)
            for at in np.flatnonzero(known.get(identity, nowhere) | nowhere).tolist()
        ]

    def write_positions(self, read: Mapping[Pair, Position]) -> None:
        """Write these positions to the books of their markets."""
        for identity, accounts in by_market(read).items():
            book = self.books[identity]
            positions = (read[identity, account] for account in accounts)
            book.put(packed(accounts), encoded(positions, book))

    def array_form(self) -> str:
        """Return the dependencies of stored positions (``KeepsColumns``).

        The first line has the block at which the history begins and the settings, the second the
        contract.
        """
        return f"{self._from_block} {self._options.model_dump_json()}\n1 {self.morpho}"

    def is_settled(self) -> bool:
        """Return whether all noted positions of followed markets have been read."""
        followed = self.structure.markets
        return not self._created and not any(pair[0] in followed for pair in self.noted)

    def to_arrays(self) -> dict[str, Array]:
        """Return every position by market (``KeepsColumns``)."""
        return named_apart({each: book.to_arrays() for each, book in self.books.items()})

    def changed(self) -> dict[str, Array]:
        """Return the positions that were read since the last call."""
        changes = {each: book.changes() for each, book in self.books.items()}
        return named_apart({each: one for each, one in changes.items() if len(one["count"])})

    def from_arrays(self, arrays: Mapping[str, Array]) -> None:
        """Restore stored positions instead of ``load``. MarketUnreadable if they are incomplete."""
        self.books.clear()
        self.merge(arrays)
        self._loaded = True

    def merge(self, arrays: Mapping[str, Array]) -> None:
        """Merge stored changes into the positions. MarketUnreadable if they are incomplete.

        Stored markets become known even if discovery did not find them.
        """
        for name in arrays:
            identity, _, column = name.rpartition("/")
            if column == "count":
                names = [one for one in STORED if f"{identity}/{one}" in arrays]
                mine = {one: arrays[f"{identity}/{one}"] for one in names}
                self.books[MarketId(identity)].merge(mine)
                self._note_markets({MarketId(identity)})

    @property
    def log_filter(self) -> LogFilter:
        """The logs that change a position or create a market."""
        return events.block_filter(self.morpho)

    @property
    def liquidation_filter(self) -> LogFilter:
        """The contract's ``Liquidate`` logs."""
        return events.liquidation_filter(self.morpho)

    def liquidated(self, logs: Sequence[Log]) -> frozenset[Subject]:
        """Return the liquidated accounts in these logs of followed markets."""
        markets = self.structure.markets
        return frozenset(
            (markets[identity].key, account)
            for identity, account in events.liquidated(logs)
            if identity in markets
        )

    def note(self, logs: Sequence[Log]) -> None:
        """Note the positions and markets in these logs. Orphaned logs are noted as well."""
        self._turn += 1
        found = events.touched(logs)
        self._created |= found.created
        self._note_markets(found.named)
        concerned = self._created | self.structure.markets.keys()
        self.write_borrowers([pair for pair in found.borrowed if pair[0] in concerned])
        self.noted |= {pair: self._turn for pair in found.changed if self.is_followed(pair)}

    def note_history(self, logs: LogTable, *, known_too: bool) -> int:
        """Note unknown positions in these logs, and with ``known_too`` the known ones."""
        self._turn += 1
        markets, pairs = len(self._created), self._find_followed_pairs(logs)
        new = [pair for pair in pairs if not self.is_followed(pair)]
        self.write_borrowers(new)
        self.noted |= dict.fromkeys(pairs if known_too else new, self._turn)
        return len(new) + len(self._created) - markets

    def resync(self, market: MarketKey, account: Address) -> None:
        """Read the position with the next block's calls."""
        for identity, one in self.structure.markets.items():
            if one.key == market and self.is_followed((identity, account)):
                self._turn += 1
                self.noted[identity, account] = self._turn

    async def refresh(self, head: Head) -> None:
        """Follow the markets that noted logs created, if the settings select them."""
        if not self._created:
            return
        created, before = frozenset(self._created), self.structure
        basis = Basis(block_hash=head.hash)
        try:
            described = await discovery.described(self._chain, self.morpho, created, basis)
            wanted = {e: p for e, p in described.items() if self._options.wants(p)}
            kept = {e: m.params for e, m in before.markets.items() if e not in created}
            if wanted.keys() | kept.keys() != before.markets.keys() or wanted:
                self.known_structure = await discovery.structure(
                    self._chain, self._options, {**kept, **wanted}, head, before
                )
        except RpcMalformed as error:
            raise MarketUnreadable(f"{self.key}: {error}") from error
        self._created -= created
        self._described |= described.keys()
        for identity in created & self.books.keys():
            for account in Listed(View(self.books[identity])):
                self.noted[identity, account] = self._turn
        followed = self.structure.markets
        self.noted = {pair: turn for pair, turn in self.noted.items() if pair[0] in followed}

    def calls(self, head: Head) -> Sequence[Call]:
        """Return the reads that bring the deployment to ``head``. Constant except for positions."""
        structure = self.structure
        pairs = tuple(sorted(pair for pair in self.noted if pair[0] in structure.markets))
        active = {e for e in structure.markets if self._count_borrowers(e) or not self._loaded}
        active |= {identity for identity, _ in pairs}
        idle = self._idle.choose(structure.markets.keys() - active)
        self._asked = Asked(head.hash, self._turn, structure, frozenset(active), pairs, idle)
        return [
            *reader.block_calls(structure, active),
            *reader.position_calls(self.morpho, pairs),
            *reader.total_calls(self.morpho, idle),
        ]

    def _count_borrowers(self, identity: MarketId) -> int:
        return len(self.books[identity]) if identity in self.books else 0

    def apply(self, head: Head, results: Sequence[CallResult]) -> Sequence[MorphoSnapshot]:
        """Return each market with a borrower at ``head``, from the results of its calls.

        Raises:
            MarketUnreadable: the contract does not answer as Morpho Blue does.
        """
        asked = self._asked
        if asked is None or asked.block_hash != head.hash:
            raise MarketUnreadable(f"{self.key}: these are answers to another block's calls")
        answers = Answers(results)
        read = reader.block_read(asked.structure, asked.active, answers)
        self.write_positions(reader.positions(asked.pairs, answers))
        self._idle.record(reader.totals_read(asked.idle, answers))
        self._read = read
        for pair in asked.pairs:
            if self.noted.get(pair, asked.turn + 1) <= asked.turn:
                del self.noted[pair]
        found = [self._build_snapshot(head, asked, read, each) for each in sorted(asked.active)]
        return [replace(found[0], notes=asked.structure.warnings), *found[1:]] if found else []

    def _build_snapshot(
        self, head: Head, asked: Asked, read: Read, each: MarketId
    ) -> MorphoSnapshot:
        market = asked.structure.markets[each]
        own = (market.loan.address, market.collateral.address)
        return MorphoSnapshot(
            head=head,
            morpho=self.morpho,
            read=market,
            state=read.states[each],
            price=read.prices[each],
            usd=read.usd,
            tokens=asked.structure.tokens,
            held={token: read.balances[token] for token in own if token in read.balances},
            view=View(self.books[each]),
        )

    def figures(self) -> dict[Figure, int]:
        """Return the totals at the last ``apply``, including markets without a known borrower."""
        if self._read is None:
            return {}
        states = {**self._idle.newest, **self._read.states}
        markets = self.structure.markets
        followed = {each: state for each, state in states.items() if each in markets}
        return figures.figures(markets, followed, self._read.balances)

    def expected_figures(
        self, before: Figures, logs: Sequence[Log]
    ) -> dict[Figure, ExpectedFigure]:
        """Predict figures from earlier ones and all logs since."""
        return figures.expected_figures(before, [log for log in logs if log.address == self.morpho])

    def debt_totals(self) -> list[DebtTotal] | None:
        """Return each market's total borrow shares and the book's sum. None while unsettled."""
        markets, is_read = self.structure.markets, self._loaded and self.is_settled()
        if self._read is None or not is_read or (self._options.listed and not markets):
            return None
        states = {**self._idle.states, **self._read.states}
        return [
            debt_total(markets[identity], state, self.books.get(identity), self._read.usd)
            for identity, state in sorted(states.items())
            if identity in markets
        ]
