"""Hash chain of the record. Each entry's hash covers the entry and the previous hash.

Changing, removing, adding or swapping an entry changes all later hashes. Rewriting those, or
truncating the end, is detected by a hash noted elsewhere (an anchor).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from keeper.audit.canonical import canonical, references, sha256
from keeper.domain.units import Address, MarketKey, Timestamp

GENESIS: Final = "0" * 64
"""The hash before the first entry."""

PRUNED: Final = "pruned"
"""The kind of the entry with the hash of the last removed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An entry to append. ``body`` is canonical JSON.

    ``block_time`` is the block's own timestamp. ``market`` and ``account`` are its subject.
    """

    kind: str
    block_number: int
    block_time: Timestamp
    body: str
    market: MarketKey | None = None
    account: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stored entry. ``hash`` is the hash as stored."""

    id: int
    kind: str
    block_number: int
    block_time: Timestamp
    body: str
    hash: str
    market: MarketKey | None = None
    account: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A position in the chain as an entry's number and hash. ``START`` precedes the first entry."""

    id: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"


START: Final = Link(id=0, hash=GENESIS)


def entry_hash(previous: str, entry: Entry | NewEntry, number: int) -> str:
    """Compute the hash of entry ``number`` after the hash ``previous``."""
    facts = [entry.kind, entry.block_number, entry.block_time, entry.market, entry.account]
    return sha256(canonical([previous, number, *facts, entry.body]))  # mutation: G25 entry-body


def is_sound(previous: str, entry: Entry) -> bool:
    """Whether an entry matches its hash, after an entry with hash ``previous``."""
    try:
        return entry_hash(previous, entry, entry.id) == entry.hash
    except TypeError:  # a type that is never written
        return False


def chained(entries: Iterable[NewEntry], after: Link) -> list[Entry]:
    """Assign numbers and hashes to entries, the first one after ``after``."""
    made: list[Entry] = []
    for one in entries:
        number = after.id + 1
        after = Link(id=number, hash=entry_hash(after.hash, one, number))
        made.append(
            Entry(
                id=number,
                kind=one.kind,
                block_number=one.block_number,
                block_time=one.block_time,
                market=one.market,
                account=one.account,
                body=one.body,
                hash=after.hash,
            )
        )
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Result of a verification. ``problem`` is empty for an intact record.

    ``after`` is the link before the first entry, ``head`` the last sound entry. ``bad`` is the
    first unsound entry, None for another problem.
    """

    entries: int
    after: Link
    head: Link
    problem: str = ""
    bad: int | None = None


class Walk:
    """Verifier of the chain, entry by entry, up to the first unsound one."""

    def __init__(self, after: Link) -> None:
        self.after = after
        self.head = after
        self.entries = 0
        self.used: set[str] = set()
        self._hashes: dict[int, str] = {after.id: after.hash}

    def passed(self, entries: Iterable[Entry], wanted: int | None = None) -> Verification | None:
        """Verify further entries. Return the problem at the first unsound one, else None."""
        for one in entries:
            missing = self.head.id + 1
            if one.id != missing:
                found = f"entry {missing} is missing: {one.id} follows {self.head.id}"
                return self.result(found, bad=missing)
            if not is_sound(self.head.hash, one):
                return self.result(changed(one), bad=one.id)
            self.head = Link(id=one.id, hash=one.hash)
            if one.id == wanted:
                self._hashes[one.id] = one.hash
            self.entries += 1
            self.used |= references(one.body)
        return None

    def anchored(self, anchor: Link) -> Verification | None:
        """Return the problem where the record contradicts an anchor, else None."""
        if anchor.id < self.after.id:
            return self.result(f"entry {anchor.id} of the anchor was pruned: verify a newer one")
        if anchor.id > self.head.id:
            found = (
                f"the record ends at entry {self.head.id}, but entry {anchor.id} was anchored:"
                " the end is cut off"
            )
            return self.result(found, bad=self.head.id + 1)
        if self._hashes.get(anchor.id) != anchor.hash:
            found = f"entry {anchor.id} has another hash than the anchor: it was written anew"
            return self.result(found, bad=anchor.id)
        return None

    def result(self, problem: str = "", bad: int | None = None) -> Verification:
        """Return the result so far."""
        return Verification(
            entries=self.entries, after=self.after, head=self.head, problem=problem, bad=bad
        )


def changed(entry: Entry) -> str:
    """Return the words for an entry that is not what its hash says."""
    return (
        f"entry {entry.id} ({entry.kind}, block {entry.block_number}) does not match its hash:"
        " it was changed, or it does not belong here"
    )


def changed_text(
    texts: Iterable[tuple[str, str]], used: set[str], user_of: Callable[[str], int | None]
) -> tuple[str, int | None]:
    """Return the problem of the stored texts, and the first entry concerned. Empty if none.

    ``texts`` are hashes with their texts, ``used`` the hashes that entries refer to. Every text
    must be present, unchanged and referred to.
    """
    found: set[str] = set()
    inner: set[str] = set()
    for name, text in texts:
        if sha256(text) != name:
            return f"the stored text {name} was changed", user_of(name)
        found.add(name)
        inner |= references(text)
    missing = sorted((used | inner) - found)
    if missing:
        return f"the stored text {missing[0]} is missing", user_of(missing[0])
    stray = sorted(found - used - inner)
    return (f"nothing refers to the stored text {stray[0]}", None) if stray else ("", None)


def pruned_entry(through: Link, *, removed: int, block_number: int, at: Timestamp) -> NewEntry:
    """Build the entry that replaces ``removed`` entries up to ``through``."""
    body: Mapping[str, object] = {
        "through": through.id,
        "hash": through.hash,
        "removed": removed,
    }
    return NewEntry(kind=PRUNED, block_number=block_number, block_time=at, body=canonical(body))


def vouched(body: str) -> Link:
    """Parse the last removed entry's position from the body of a ``pruned`` entry.

    Raises:
        ValueError: the body has another form.
    """
    try:
        raw = json.loads(body)
        return Link(id=int(raw["through"]), hash=str(raw["hash"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the body of a pruned entry: {error}") from error
