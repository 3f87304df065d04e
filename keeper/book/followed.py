"""One followed market with its known accounts, its state and its stored form."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from keeper.abilities import KeepsColumns, KeepsStructure
from keeper.book.keeping import Standing
from keeper.book.kept import FOUND, KeptStructure, MarketChange, Scanned, addresses_in
from keeper.book.trail import Footprint
from keeper.chain.abi import checksum
from keeper.chain.refusal import failed_in_evm
from keeper.columns.table import Array
from keeper.domain.errors import (
    ChainError,
    HistoryPruned,
    MarketUnreadable,
    RpcMalformed,
    RpcRefused,
)
from keeper.domain.head import Head
from keeper.domain.units import Address, MarketKey
from keeper.ports import LendingMarket
from keeper.version import code_version

LONGEST_REST: Final = 64
"""Maximum of blocks between two attempts to read a quarantined market."""
STRUCTURE_BLOCKS: Final = 7_200
"""Blocks after which a command discovers a market again, so that failures do not persist."""
OTHER_ACCOUNTS: Final = "the settings ask for other accounts than those that were kept"
LONG_GAP: Final = 50_000
"""Blocks after which reading all accounts is cheaper than reading the logs."""

_ADDRESS_BYTES: Final = 20


def is_nodes_fault(error: ChainError) -> bool:
    """Whether a market is unreadable because of the node's answer, not of its contracts."""
    cause = error.__cause__ if isinstance(error, MarketUnreadable) else error
    if isinstance(cause, RpcRefused):
        return not failed_in_evm(cause)
    if isinstance(cause, RpcMalformed):
        return bool(cause.method)
    return isinstance(cause, HistoryPruned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A market's progress. ``stage`` is discover, history, load, ready or quarantined."""

    market: MarketKey
    stage: str
    done: int = 0
    total: int = 0
    detail: str = ""


@dataclass(slots=True)
class Followed:
    """One market with its state.

    ``loaded_at`` is the block since which all its logs are known and can be undone, None before it
    is loaded. ``borrowers``, and ``known`` with 20 bytes each, are the accounts found so far.
    """

    market: LendingMarket
    loaded_at: int | None = None
    borrowers: set[Address] = field(default_factory=set)
    known: bytes = b""
    scans: Sequence[Scanned] = ()
    scanned_to: int | None = None
    accounts: int = 0
    fault: str = ""
    is_nodes_fault: bool = False
    failures: int = 0
    rests_until: int = 0
    discovered_at: int = 0

    def is_due(self, head: Head) -> bool:
        """Whether the market is read at this head."""
        return not self.fault or head.number >= self.rests_until

    def failed(self, head: Head, error: ChainError) -> None:
        """Quarantine the market, for longer each time."""
        told = str(error) or type(error).__name__
        self.fault = f"{told}; {error.hint}" if error.hint else told
        self.is_nodes_fault = is_nodes_fault(error)
        self.rests_until = head.number + min(2**self.failures, LONGEST_REST)
        self.failures = min(self.failures + 1, LONGEST_REST)

    def recovered(self) -> None:
        """End the quarantine."""
        self.fault, self.failures = "", 0

    def everybody(self) -> Collection[Address]:
        """Return every known borrower, in order."""
        step = _ADDRESS_BYTES
        known = {self.known[at : at + step] for at in range(0, len(self.known), step)}
        return sorted(self.borrowers | {checksum(each) for each in known})

    def loaded(self, since: int, accounts: int) -> None:
        """Note that the market is loaded, with all its logs known since a block."""
        self.loaded_at, self.accounts = since, accounts
        if isinstance(self.market, KeepsColumns):  # the market has the accounts itself
            self.borrowers, self.known = set(), b""

    def forget(self) -> None:
        """Unload the market, so that it is read again. Its known accounts remain."""
        self.loaded_at = None
        if isinstance(self.market, KeepsColumns):
            self.known = addresses_in(self.market.to_arrays())

    def has_unread_logs(self) -> bool:
        """Whether logs were noted in a storable market, and nothing was read since."""
        market = self.market
        if self.loaded_at is None or not isinstance(market, KeepsColumns):
            return False
        return not market.is_settled()

    def standing(self) -> Standing | None:
        """Return the market's storable state, None where something is unread."""
        market = self.market
        if self.loaded_at is None or self.fault or not isinstance(market, KeepsColumns):
            return None
        if not market.is_settled():
            return None
        scanned_to = self.market.from_block if self.scanned_to is None else self.scanned_to
        return Standing(
            market, self.market.key, self.loaded_at, scanned_to, self._build_structure()
        )

    def _build_structure(self) -> KeptStructure | None:
        market = self.market
        if not isinstance(market, KeepsStructure):
            return None
        return KeptStructure(
            facts=market.freeze_structure(),
            program=code_version(),
            discovered_at=self.discovered_at,
        )

    async def discover(self, head: Head) -> None:
        """Discover the market's components."""
        await self.market.discover(head)
        self.discovered_at = head.number

    def restore_structure(self, kept: KeptStructure | None, head: Head) -> bool:
        """Restore a stored structure, if this program version wrote it recently."""
        market = self.market
        if kept is None or not isinstance(market, KeepsStructure):
            return False
        if kept.program != code_version() or head.number - kept.discovered_at > STRUCTURE_BLOCKS:
            return False
        try:
            market.restore_structure(kept.facts())
        except ValueError:
            return False
        self.discovered_at = kept.discovered_at
        return True

    def checkpoint(self, found: Collection[Address], span: tuple[int, int], head: Head) -> Scanned:
        """Build the scan result of some blocks of a history that is read up to ``head``."""
        raw = b"".join(bytes.fromhex(each[2:]) for each in found)
        addresses = np.frombuffer(raw, dtype=np.uint8).reshape(-1, _ADDRESS_BYTES)
        market, form = self.market, ""
        noted: Mapping[str, Array] = {}
        if isinstance(market, KeepsColumns):
            form, noted = market.array_form(), market.changed()
        return Scanned(
            market=self.market.key,
            form=form,
            arrays={**noted, FOUND: addresses},
            first=span[0],
            covered_to=span[1],
            target=head.number,
            target_hash=head.hash,
        )

    def is_of_these_accounts(self, form: str) -> bool:
        """Whether arrays of this form have the accounts that the settings select."""
        market = self.market
        own = market.array_form() if isinstance(market, KeepsColumns) else ""
        kept_from, kept_accounts = _parse_account_scope(form)
        own_from, own_accounts = _parse_account_scope(own)
        return kept_accounts == own_accounts and kept_from <= own_from

    def take_up_scan(self, found: Scanned) -> None:
        """Restore a stored scan, unless it is for other accounts.

        A scan that could not be written leaves a gap, and later ones do not count.
        """
        market = self.market
        covered = market.from_block - 1 if self.scanned_to is None else self.scanned_to
        if not isinstance(market, KeepsColumns) or found.first > covered + 1:
            return
        if not self.is_of_these_accounts(found.form):
            return
        arrays = dict(found.arrays)
        self.known += arrays.pop(FOUND).tobytes()
        if arrays:
            market.merge(arrays)
        self.scanned_to = max(covered, found.covered_to)


def taken_up(
    each: Followed, kept: MarketChange, blocks: Sequence[Footprint], read_to: int, head: Head
) -> str:
    """Restore a market, after ``discover``, from an earlier process's state.

    Logs of ``blocks`` after ``read_to`` are noted, so that they are read again, whether their
    blocks are followed again or orphaned. Returns the reason why the accounts have to be read
    again, empty if they need not. The known addresses are restored in any case.
    """
    market, arrays = each.market, (kept.base or {}, *kept.deltas)
    if not isinstance(market, KeepsColumns):
        return "it cannot be kept any more"
    if not each.is_of_these_accounts(kept.form):
        return OTHER_ACCOUNTS
    try:
        market.from_arrays(arrays[0])
        for one in arrays[1:]:
            market.merge(one)
    except MarketUnreadable as error:
        return f"what was kept cannot be read: {error}"
    is_remembered = any(block.hash == kept.hash for block in blocks)
    refusal = _find_refusal(market, kept, head, is_remembered=is_remembered)
    if refusal:
        each.known = b"".join(addresses_in(one) for one in arrays)
        each.scanned_to = kept.scanned_to if is_remembered else None
        return refusal
    each.loaded_at, each.scanned_to = kept.since, kept.scanned_to
    later = (block for block in blocks if block.number > read_to)
    mine = each.market.log_filter
    each.market.note([log for block in later for log in block.logs if mine.accepts(log)])
    return ""


def _find_refusal(
    market: KeepsColumns, kept: MarketChange, head: Head, *, is_remembered: bool
) -> str:
    if market.array_form().partition("\n")[2] != kept.form.partition("\n")[2]:
        return "its contracts are others than those that were kept"
    if not is_remembered:
        return "it was kept at a block that is gone"
    if head.number - kept.number > LONG_GAP:
        return f"{head.number - kept.number} blocks have passed since it was kept"
    return ""


def _parse_account_scope(form: str) -> tuple[int, str]:
    """Return the first block and the scope of the accounts of a form, by its first line."""
    first, _, rest = form.partition("\n")[0].partition(" ")
    return (int(first), rest) if first.isdecimal() else (0, f"{first} {rest}")
