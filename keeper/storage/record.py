"""Rows of the record, appended inside the caller's transaction, read, verified and pruned."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select

from keeper.audit.canonical import Documents, references
from keeper.audit.chain import (
    PRUNED,
    START,
    Entry,
    Link,
    NewEntry,
    Verification,
    Walk,
    chained,
    changed,
    changed_text,
    is_sound,
    pruned_entry,
    vouched,
)
from keeper.clock import wall
from keeper.domain.units import Address, MarketKey, Timestamp
from keeper.storage.schema import entries, texts

DAY: Final = 86_400
_PAGE: Final = 500
"""Rows fetched at once, since a record may exceed the memory."""

# Built once, since a block's entries wait for these.
_NEWEST: Final = select(entries.c.id, entries.c.hash).order_by(entries.c.id.desc()).limit(1)
_NEW_ENTRY: Final = insert(entries)
_LEAST: Final = func.min(entries.c.id)
_NEW_TEXT: Final = insert(texts)
_KNOWN: Final = select(texts.c.hash).where(texts.c.hash.in_(bindparam("wanted", expanding=True)))


def append(
    connection: Connection, new: Sequence[NewEntry], documents: Mapping[str, str] | None = None
) -> list[int]:
    """Append entries to the chain, with the texts that they refer to. Return their numbers.

    The journal's lock excludes other writers.
    """
    if documents:
        _keep(connection, documents)
    if not new:
        return []
    made = chained(new, newest(connection))
    connection.execute(_NEW_ENTRY, [_build_entry_row(one) for one in made])
    return [one.id for one in made]


def newest(connection: Connection) -> Link:
    """Return the end of the chain."""
    row = connection.execute(_NEWEST).first()
    return START if row is None else Link(id=row.id, hash=row.hash)


def entry(connection: Connection, number: int) -> Entry | None:
    """Return one entry, None without this number."""
    row = connection.execute(select(entries).where(entries.c.id == number)).first()
    return None if row is None else entry_of(row)


def entries_between(connection: Connection, first: int, last: int | None = None) -> Iterator[Entry]:
    """Yield the entries of a range of numbers, both ends included, in order."""
    query = select(entries).where(entries.c.id >= first).order_by(entries.c.id)
    if last is not None:
        query = query.where(entries.c.id <= last)
    for row in connection.execute(query).yield_per(_PAGE):
        yield entry_of(row)


def entries_of(connection: Connection, account: Address, *kinds: str) -> list[Entry]:
    """Return an account's entries in order, of some kinds or all."""
    query = select(entries).where(entries.c.account == account).order_by(entries.c.id)
    if kinds:
        query = query.where(entries.c.kind.in_(kinds))
    return [entry_of(row) for row in connection.execute(query)]


def accounts_beginning(connection: Connection, lowered: str) -> list[Address]:
    """Return the recorded accounts with an address prefix in lower case, sorted."""
    query = select(entries.c.account).where(entries.c.account.is_not(None)).distinct()
    found = connection.execute(query).scalars()
    return sorted(Address(one) for one in found if one and one.lower().startswith(lowered))


def entries_of_kinds(connection: Connection, *kinds: str) -> Iterator[Entry]:
    """Yield all entries of some kinds, in order."""
    query = select(entries).where(entries.c.kind.in_(kinds)).order_by(entries.c.id)
    for row in connection.execute(query).yield_per(_PAGE):
        yield entry_of(row)


def texts_like(connection: Connection, pattern: str) -> Iterator[str]:
    """Yield the stored texts that match an SQL pattern."""
    query = select(texts.c.text).where(texts.c.text.like(pattern)).order_by(texts.c.hash)
    yield from connection.execute(query).yield_per(_PAGE).scalars()


def documents_of(connection: Connection, text: str) -> Documents:
    """Return every stored text that a text refers to, directly or indirectly."""
    found: Documents = {}
    wanted = set(references(text))
    while wanted:
        query = select(texts).where(texts.c.hash.in_(wanted))
        got = {row.hash: row.text for row in connection.execute(query)}
        found |= got
        wanted = {name for one in got.values() for name in references(one)} - found.keys()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The part of the record to verify, by default all of it.

    ``anchor`` was noted elsewhere earlier, as ``number:hash`` or as the hash alone.
    """

    first: int | None = None
    last: int | None = None
    anchor: str = ""


def verified(connection: Connection, scope: Scope) -> Verification:
    """Verify the record.

    A part is verified against the hash before it. The stored texts are checked only with the whole
    record.
    """
    _allow_any_bytes(connection)
    start, problem = _find_start(connection, scope.first)
    walk = Walk(start)
    if problem is not None:
        return walk.result(changed(problem), bad=problem.id)
    anchor = _find_anchor(connection, scope.anchor, start)
    wanted = anchor.id if isinstance(anchor, Link) else None
    found = walk.passed(entries_between(connection, start.id + 1, scope.last), wanted)
    if found is None and isinstance(anchor, str) and anchor:
        found = walk.result(anchor)
    if found is None and isinstance(anchor, Link):
        found = walk.anchored(anchor)
    if found is None and scope.first is None and scope.last is None:
        found = _find_stray(connection, walk) or _check_texts(connection, walk)
    return found or walk.result()


def _find_stray(connection: Connection, walk: Walk) -> Verification | None:
    """Return the problem of entries before the record's beginning, if any."""
    before = select(_LEAST).where(entries.c.id <= walk.after.id)
    stray = connection.execute(before).scalar()
    if stray is None:
        return None
    return walk.result(f"entry {stray} stands before the record's beginning", bad=stray)


def _allow_any_bytes(connection: Connection) -> None:
    """Decode invalid UTF-8 leniently, since it is a finding and not an error."""
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection):
        raw.text_factory = lambda found: found.decode(errors="surrogateescape")


def _find_start(connection: Connection, first: int | None) -> tuple[Link, Entry | None]:
    """Return the link before the first entry to verify, and its voucher if unsound."""
    before = None if first is None else entry(connection, first - 1)
    if before is not None:
        return Link(id=before.id, hash=before.hash), None
    newest_voucher = (
        select(entries).where(entries.c.kind == PRUNED).order_by(entries.c.id.desc()).limit(1)
    )
    row = connection.execute(newest_voucher).first()
    if row is None:
        return START, None
    voucher = entry_of(row)
    try:
        start = vouched(voucher.body)
    except ValueError:
        return START, voucher
    previous = entry(connection, voucher.id - 1)
    if previous is None and voucher.id - 1 != start.id:
        return start, None  # the missing entry is reported by the verification
    sound = is_sound(start.hash if previous is None else previous.hash, voucher)
    return start, None if sound else voucher


def _find_anchor(connection: Connection, anchor: str, start: Link) -> Link | str:
    """Return an anchor's position, or the problem of a hash that is nowhere."""
    number, _, value = anchor.rpartition(":")
    if number or not value:
        return Link(id=int(number), hash=value) if number else ""
    if value == start.hash:
        return start
    found = connection.execute(select(entries.c.id).where(entries.c.hash == value)).scalar()
    if found is None:
        return (
            "no entry has the anchor's hash: the end is cut off, or it was written anew"
            " (or pruned: an anchor with its number tells)"
        )
    return Link(id=found, hash=value)


def _check_texts(connection: Connection, walk: Walk) -> Verification | None:
    rows = connection.execute(select(texts.c.hash, texts.c.text)).yield_per(_PAGE)

    def user_of(name: str) -> int | None:
        return _find_first_user(connection, name)

    found, bad = changed_text(((row.hash, row.text) for row in rows), walk.used, user_of)
    return walk.result(found, bad=bad) if found else None


def _find_first_user(connection: Connection, name: str) -> int | None:
    """Return the first entry that refers to a text, directly or indirectly."""
    names, waiting = {name}, [name]
    while waiting:
        like = f'%"{waiting.pop()}"%'
        more = connection.execute(select(texts.c.hash).where(texts.c.text.like(like))).scalars()
        fresh = set(more) - names
        names |= fresh
        waiting += fresh
    found = [
        connection.execute(select(_LEAST).where(entries.c.body.like(f'%"{one}"%'))).scalar()
        for one in names
    ]
    return min((one for one in found if one is not None), default=None)


def prune_older(connection: Connection, days: int) -> int:
    """Remove entries older than ``days`` before the newest recorded block."""
    newest_time = connection.execute(select(func.max(entries.c.block_time))).scalar() or 0
    now = min(newest_time, int(wall()))  # a node's clock may have run ahead for a block
    return prune(connection, Timestamp(now - days * DAY))


def prune(connection: Connection, before: Timestamp) -> int:
    """Remove the entries of blocks before a time, and the texts that only they refer to.

    Only a prefix is removed, up to the first retained entry. An entry with the last removed hash is
    appended first, so that the rest stays verifiable. Returns the number of removed entries.
    """
    kept = select(_LEAST).where(entries.c.block_time >= before, entries.c.kind != PRUNED)
    first = connection.execute(kept).scalar()
    end = newest(connection)
    last = entry(connection, (end.id + 1 if first is None else first) - 1)
    if last is None:
        return 0
    removed = connection.execute(
        select(func.count()).select_from(entries).where(entries.c.id <= last.id)
    ).scalar_one()
    through = Link(id=last.id, hash=last.hash)
    tip = entry(connection, end.id) or last
    vouching = pruned_entry(
        through, removed=removed, block_number=tip.block_number, at=tip.block_time
    )
    append(connection, [vouching])
    connection.execute(delete(entries).where(entries.c.id <= last.id))
    _forget_unused(connection)
    return removed


def _forget_unused(connection: Connection) -> None:
    used: set[str] = set()
    for body in connection.execute(select(entries.c.body)).scalars():
        used |= references(body)
    held = {row.hash: references(row.text) for row in connection.execute(select(texts))}
    waiting = list(used)
    while waiting:
        more = held.get(waiting.pop(), frozenset()) - used
        used |= more
        waiting += more
    gone = [{"gone": name} for name in held.keys() - used]
    if gone:
        connection.execute(delete(texts).where(texts.c.hash == bindparam("gone")), gone)


def _keep(connection: Connection, documents: Mapping[str, str]) -> None:
    known = set(connection.execute(_KNOWN, {"wanted": list(documents)}).scalars())
    fresh = [{"hash": n, "text": text} for n, text in documents.items() if n not in known]
    if fresh:
        connection.execute(_NEW_TEXT, fresh)


def _build_entry_row(one: Entry) -> dict[str, object]:
    return {
        "id": one.id,
        "kind": one.kind,
        "block_number": one.block_number,
        "block_time": one.block_time,
        "market": one.market,
        "account": one.account,
        "body": one.body,
        "hash": one.hash,
    }


def entry_of(row: Row[Any]) -> Entry:
    """Build an entry from its row."""
    return Entry(
        id=row.id,
        kind=row.kind,
        block_number=row.block_number,
        block_time=Timestamp(row.block_time),
        market=None if row.market is None else MarketKey(row.market),
        account=None if row.account is None else Address(row.account),
        body=row.body,
        hash=row.hash,
    )
