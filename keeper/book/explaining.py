"""Verification that logs explain the changes of the contracts' totals, indices and update times.

A node may answer for a block with some or all logs missing. The figures read in every block change
only with a log, so a change without one shows that logs are missing.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from keeper.book.trail import DEPTH, Trail
from keeper.coverage import StatesFigures
from keeper.domain.errors import RpcMalformed
from keeper.domain.figures import Figure, Figures
from keeper.domain.head import Head
from keeper.domain.reads import Log, log_key
from keeper.domain.units import BlockHash, MarketKey

MOST_OPEN: Final = 1_024
"""Maximum of individually stored stretches."""

Change = tuple[int, int]
"""A figure before and after."""


@dataclass(slots=True, kw_only=True, eq=False)
class Unexplained:
    """Blocks from ``first`` to ``last`` with ``changes`` that no known log explains.

    ``logs`` are the known logs of these blocks. Without changes, the logs could not be read, or the
    stretch ``is_rest``, the sum of those beyond the stored number. A stretch that ``is_hint``
    proves nothing. ``looks`` counts the searches for more logs.
    """

    market: MarketKey
    first: int
    last: int
    last_hash: BlockHash
    changes: Mapping[Figure, Change] = field(default_factory=dict)
    logs: tuple[Log, ...] = ()
    looks: int = 0
    is_rest: bool = False
    is_hint: bool = False

    def describe(self) -> str:
        """Describe the stretch in one line."""
        blocks = (
            f"block {self.last}"
            if self.first == self.last
            else (f"blocks {self.first} to {self.last}")
        )
        if not self.changes:
            return f"the logs of {blocks} could not be read"
        figures = ", ".join(f"{figure.what} of {figure.subject}" for figure in self.changes)
        return f"no log of {blocks} explains the change of {figures}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCoverage:
    """The block up to which no log is missing, with the unexplained stretches, as stored.

    Later blocks are checked again, since their logs may be incomplete. Logs from ``learnt_from`` on
    were found late and not read yet, None without any. Blocks up to ``looked_to`` were checked
    again, None where unknown.
    """

    covered_to: int
    looked_to: int | None = None
    learnt_from: int | None = None
    stretches: tuple[Unexplained, ...] = ()

    @property
    def signature(self) -> object:
        """A value that identifies this state."""
        stretches = [
            (stretch.market, stretch.last_hash, len(stretch.logs), len(stretch.changes))
            for stretch in self.stretches
        ]
        return self.covered_to, self.looked_to, self.learnt_from, stretches


class _StatedFigures(NamedTuple):
    number: int
    figures: Figures


class Verdict(NamedTuple):
    """Changes that no log explains, as proofs of missing logs and as mere hints."""

    proofs: Mapping[Figure, Change]
    hints: Mapping[Figure, Change]


class Explanations:
    """The figures of recent blocks, and the stretches without an explanation."""

    def __init__(self) -> None:
        self.open: list[Unexplained] = []
        self.explained_at = -1
        """The newest head with changes that logs explained completely."""
        self._stated: dict[MarketKey, OrderedDict[BlockHash, _StatedFigures]] = {}
        self._lawless: set[tuple[MarketKey, Figure]] = set()

    def judge(
        self,
        key: MarketKey,
        market: StatesFigures,
        head: Head,
        trail: Trail,
        *,
        takes_hints: bool = True,
    ) -> None:
        """Compare a market's figures at a head with earlier ones and the logs between."""
        figures = market.figures()
        stated = self._stated.setdefault(key, OrderedDict())
        base = self._find_base(stated, head, trail)
        stated[head.hash] = _StatedFigures(head.number, figures)
        stated.move_to_end(head.hash)
        while len(stated) > DEPTH:
            stated.popitem(last=False)
        if base is None or base.figures == figures:
            return
        blocks = [block for block in trail.blocks if base.number < block.number <= head.number]
        logs = tuple(log for block in blocks for log in block.logs)
        verdict = compare_figures(market, base.figures, figures, logs)
        proofs = {
            figure: change
            for figure, change in verdict.proofs.items()
            if (key, figure) not in self._lawless
        }
        if not proofs and logs:
            self.explained_at = head.number
        changes = proofs or (verdict.hints if takes_hints else {})
        if changes:
            self._open(
                Unexplained(
                    market=key,
                    first=base.number + 1,
                    last=head.number,
                    last_hash=head.hash,
                    changes=changes,
                    logs=logs,
                    is_hint=not proofs,
                )
            )

    def note_unread(self, key: MarketKey, first: int, head: Head) -> None:
        """Record that the logs of some blocks up to a head could not be read."""
        self._open(Unexplained(market=key, first=first, last=head.number, last_hash=head.hash))

    def add_logs(
        self, logs: Sequence[Log], markets: Mapping[MarketKey, StatesFigures]
    ) -> Sequence[Unexplained]:
        """Add logs that were found later. Return the stretches that they explain and close."""
        closed = list[Unexplained]()
        still_open = list[Unexplained]()
        for stretch in self.open:
            stretch.logs = _merge(stretch, logs)
            market = markets.get(stretch.market)
            if not stretch.changes or market is None:
                still_open.append(stretch)
                continue
            before = {figure: change[0] for figure, change in stretch.changes.items()}
            after = {figure: change[1] for figure, change in stretch.changes.items()}
            verdict = compare_figures(market, before, after, stretch.logs)
            stretch.changes = verdict.hints if stretch.is_hint else verdict.proofs
            (still_open if stretch.changes else closed).append(stretch)
        self.open = still_open
        return closed

    def drop(self, stretch: Unexplained) -> None:
        """Drop a stretch without an explanation."""
        self.open = [known for known in self.open if known is not stretch]

    def close_read(self, first: int, last: int) -> None:
        """Close the stretches of unread logs within these blocks, which have been read now."""
        pending = {stretch.market for stretch in self.open if not stretch.is_rest}
        self.open = [
            stretch
            for stretch in self.open
            if stretch.changes
            or not first <= stretch.first <= stretch.last <= last
            or (stretch.is_rest and stretch.market in pending)
        ]

    def close_proven(self, blocks: Iterable[BlockHash]) -> Sequence[Unexplained]:
        """Close the stretches of single blocks with logs that are proved complete.

        The contract changes their figures in its own way, so they are not checked any more.
        """
        proven = set(blocks)
        closed = [
            stretch
            for stretch in self.open
            if stretch.last_hash in proven and stretch.first == stretch.last
        ]
        self.open = [stretch for stretch in self.open if stretch not in closed]
        proofs = [stretch for stretch in closed if stretch.changes and not stretch.is_hint]
        self._lawless |= {(stretch.market, name) for stretch in proofs for name in stretch.changes}
        return proofs

    def drop_orphans(self, trail: Trail) -> None:
        """Drop the stretches that end in a block which is no longer canonical."""
        self.open = [
            stretch
            for stretch in self.open
            if stretch.last < trail.oldest or trail.find(stretch.last_hash) is not None
        ]

    def forget(self, key: MarketKey) -> None:
        """Drop a market with accounts to be read again."""
        self._stated.pop(key, None)
        self.open = [stretch for stretch in self.open if stretch.market != key]

    @property
    def first_open(self) -> int | None:
        """The first unexplained block, None without one."""
        return min((stretch.first for stretch in self.open), default=None)

    def _open(self, stretch: Unexplained) -> None:
        """Store a stretch. Beyond a number of them only their combined range is stored."""
        kind = bool(stretch.changes)
        same = [one for one in self.open if one.market == stretch.market]
        for known in same:
            if (known.last_hash, bool(known.changes)) == (stretch.last_hash, kind):
                self.open.remove(known)  # the same head was read again
                stretch.looks = known.looks
        if len(same) < MOST_OPEN:
            self.open.append(stretch)
            return
        rest = next((one for one in same if one.is_rest), None)
        if rest is None:
            stretch.changes, stretch.logs, stretch.is_rest = {}, (), True
            self.open.append(stretch)
        else:
            rest.last, rest.last_hash = stretch.last, stretch.last_hash

    def _find_base(
        self, stated: Mapping[BlockHash, _StatedFigures], head: Head, trail: Trail
    ) -> _StatedFigures | None:
        """Return the newest earlier figures on a head's own chain, None without any."""
        parent = stated.get(head.parent_hash)
        if parent is not None:
            return parent
        for block in reversed(trail.blocks):
            if block.number < head.number and block.hash in stated:
                return stated[block.hash]
        return None


def compare_figures(
    market: StatesFigures, before: Figures, after: Figures, logs: Sequence[Log]
) -> Verdict:
    """Return the changes that differ from those that the logs imply."""
    changed = {
        figure: value
        for figure, value in before.items()
        if figure in after and after[figure] != value
    }
    if not changed:
        return Verdict({}, {})
    try:
        expected = market.expected_figures(changed, logs)
    except RpcMalformed:
        changes = {figure: (value, after[figure]) for figure, value in changed.items()}
        return Verdict(changes, {})
    proofs, hints = dict[Figure, Change](), dict[Figure, Change]()
    for figure, value in changed.items():
        follows = expected.get(figure)
        if follows is not None and not follows.agrees(after[figure]):
            (hints if follows.is_hint else proofs)[figure] = (value, after[figure])
    return Verdict(proofs, hints)


def _merge(stretch: Unexplained, logs: Sequence[Log]) -> tuple[Log, ...]:
    inside = [log for log in logs if stretch.first <= log.block_number <= stretch.last]
    by_key = {log_key(log): log for log in (*stretch.logs, *inside)}
    return tuple(sorted(by_key.values(), key=lambda log: (log.block_number, log.index)))
