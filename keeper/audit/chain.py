"""
The record as a chain: every entry's hash covers all of the entry and the hash before it.

Who changes, removes, adds or swaps an entry has to make all later hashes anew; who does that, or
cuts the end off, is found out by a hash that was noted elsewhere (an anchor).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from keeper.audit.canonical import canonical, references, sha256
from keeper.domain.units import Address, MarketKey, Timestamp

GENESIS: Final = "0" * 64
"""What stands before the first entry."""

PRUNED: Final = "pruned"
"""The kind of the entry that vouches for what was removed before the first one that is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """
    Something to put on record; ``body`` is canonical JSON.

    ``block_time`` is the block's own clock; ``market`` and ``account`` say whom it is about.
    """

    kind: str
    block_number: int
    block_time: Timestamp
    body: str
    market: MarketKey | None = None
    account: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry as it stands in the record; ``hash`` is what the record says it is."""

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
    """A place in the chain: an entry's number and its hash. Before the first one: ``START``."""

    id: int
    hash: str

    def __str__(self) -> str:
        return f"{self.id}:{self.hash}"


START: Final = Link(id=0, hash=GENESIS)


def entry_hash(previous: str, entry: Entry | NewEntry, number: int) -> str:
    """Return the hash of an entry that stands as ``number`` after one with hash ``previous``."""
    facts = [entry.kind, entry.block_number, entry.block_time, entry.market, entry.account]
    return sha256(canonical([previous, number, *facts, entry.body]))


def is_sound(previous: str, entry: Entry) -> bool:
    """Whether an entry is what its hash says, after one with hash ``previous``."""
    try:
        return entry_hash(previous, entry, entry.id) == entry.hash
    except TypeError:  # what stands there is of no type that was ever written
        return False


def chained(entries: Iterable[NewEntry], after: Link) -> list[Entry]:
    """Return the entries numbered and hashed, the first one after ``after``."""
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
    """
    What was found: ``problem`` is empty where all is as it was written.

    ``after`` is what the first entry follows on, ``head`` the last sound one. ``bad`` is the first
    entry that is not sound, None where something else is wrong.
    """

    entries: int
    after: Link
    head: Link
    problem: str = ""
    bad: int | None = None


class Walk:
    """Goes along the chain, entry by entry, as long as it is sound."""

    def __init__(self, after: Link) -> None:
        self.after = after
        self.head = after
        self.entries = 0
        self.used: set[str] = set()
        self._hashes: dict[int, str] = {after.id: after.hash}

    def passed(self, entries: Iterable[Entry], wanted: int | None = None) -> Verification | None:
        """
        Walk on; return what is wrong at the first entry that is not sound, else None.

        ``wanted`` is the entry whose hash an anchor will be held against.
        """
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
        """Return what is wrong where the record does not hold an anchor, else None."""
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
        """Return what was found so far."""
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
    """
    Return what is wrong with the texts that entries refer to, and the first such entry.

    ``texts`` are hashes with their texts, ``used`` what the entries refer to; empty
    where every text is there, unchanged and referred to.
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
    """Return the entry that vouches for ``removed`` entries up to ``through``."""
    body: Mapping[str, object] = {
        "through": through.id,
        "hash": through.hash,
        "removed": removed,
    }
    return NewEntry(kind=PRUNED, block_number=block_number, block_time=at, body=canonical(body))


def vouched(body: str) -> Link:
    """
    Return the last removed entry that a ``pruned`` entry vouches for.

    Raises:
        ValueError: it is no such entry's body.
    """
    try:
        raw = json.loads(body)
        return Link(id=int(raw["through"]), hash=str(raw["hash"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the body of a pruned entry: {error}") from error
