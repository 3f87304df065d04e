"""Rows of a book's file, read and written as one state."""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

from keeper.audit.canonical import sha256
from keeper.book.explaining import KeptCoverage
from keeper.book.kept import (
    Change,
    Damaged,
    Kept,
    KeptOrigin,
    KeptStructure,
    MarketChange,
    Scanned,
    packed,
    packed_logs,
    unpacked,
    unpacked_logs,
)
from keeper.book.kept_coverage import packed_coverage, unpacked_coverage
from keeper.book.trail import Footprint
from keeper.domain.units import BlockHash, MarketKey

PART_BYTES: Final = 64 * 1024 * 1024
"""Maximum of a base's bytes per row."""

TABLES: Final = """
CREATE TABLE about (chain_id INTEGER NOT NULL);
CREATE TABLE block (hash TEXT PRIMARY KEY, number INTEGER NOT NULL, logs BLOB NOT NULL);
CREATE TABLE market (
  key TEXT PRIMARY KEY, form TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL,
  since INTEGER NOT NULL, scanned_to INTEGER NOT NULL
);
CREATE TABLE base (market TEXT NOT NULL, part INTEGER NOT NULL, arrays BLOB NOT NULL,
  PRIMARY KEY (market, part));
CREATE TABLE delta (id INTEGER PRIMARY KEY, market TEXT NOT NULL, arrays BLOB NOT NULL);
CREATE TABLE scan (id INTEGER PRIMARY KEY, market TEXT NOT NULL, form TEXT NOT NULL,
  arrays BLOB NOT NULL, first INTEGER NOT NULL, covered_to INTEGER NOT NULL,
  target INTEGER NOT NULL, target_hash TEXT NOT NULL);
"""
LATER_TABLES: Final = """
CREATE TABLE IF NOT EXISTS structure_state (
  market TEXT PRIMARY KEY, number INTEGER NOT NULL, hash TEXT NOT NULL, program TEXT NOT NULL,
  discovered_at INTEGER NOT NULL, sha256 TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS structure_facts (
  market TEXT PRIMARY KEY, sha256 TEXT NOT NULL, facts TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS origin (
  market TEXT PRIMARY KEY, number INTEGER NOT NULL, hash TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS coverage (
  id INTEGER PRIMARY KEY CHECK (id = 1), document BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, facts TEXT NOT NULL);
"""
"""Tables that earlier programs of the same schema ignore."""


def read_kept(connection: sqlite3.Connection) -> Kept:
    """Read the stored book.

    Only a transaction gives a consistent state, since another process may be writing.

    Raises:
        Damaged: a record differs from the one written.
        sqlite3.DatabaseError: SQLite cannot read the file.
    """
    blocks = [
        Footprint(number=number, hash=BlockHash(block_hash), logs=unpacked_logs(logs))
        for block_hash, number, logs in connection.execute(
            "SELECT hash, number, logs FROM block ORDER BY number"
        )
    ]
    rows = connection.execute(
        "SELECT key, form, number, hash, since, scanned_to FROM market"
    ).fetchall()
    scans: dict[MarketKey, list[Scanned]] = {}
    for market, form, arrays, first, covered_to, target, target_hash in connection.execute(
        "SELECT market, form, arrays, first, covered_to, target, target_hash FROM scan ORDER BY id"
    ):
        scans.setdefault(MarketKey(market), []).append(
            Scanned(
                market=MarketKey(market),
                form=form,
                arrays=unpacked(arrays),
                first=first,
                covered_to=covered_to,
                target=target,
                target_hash=BlockHash(target_hash),
            )
        )
    return Kept(
        blocks=tuple(blocks),
        markets={MarketKey(row[0]): _read_market(connection, row) for row in rows},
        scans=scans,
        facts=_read_facts(connection),
        coverage=_read_coverage(connection),
    )


def write_change(connection: sqlite3.Connection, change: Change) -> None:
    """Write one state in the caller's transaction."""
    connection.executemany("DELETE FROM block WHERE hash = ?", [(h,) for h in change.gone])
    connection.executemany(
        "INSERT OR REPLACE INTO block VALUES (?, ?, ?)",
        [(block.hash, block.number, packed_logs(block.logs)) for block in change.blocks],
    )
    for market in change.markets:
        _write_market(connection, market)
    if change.coverage is not None:
        document = packed_coverage(change.coverage)
        connection.execute("INSERT OR REPLACE INTO coverage VALUES (1, ?)", (document,))
    write_facts(connection, change.facts)


def write_facts(connection: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    """Write facts of the chain, by name, in the caller's transaction."""
    connection.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", list(facts.items()))


def _read_facts(connection: sqlite3.Connection) -> dict[str, str]:
    if not _has_table(connection, "fact"):
        return {}
    return dict(connection.execute("SELECT name, facts FROM fact").fetchall())


def write_scan(connection: sqlite3.Connection, scan: Scanned) -> None:
    """Write the result of a scan in the caller's transaction."""
    row = (
        scan.market,
        scan.form,
        packed(scan.arrays),
        scan.first,
        scan.covered_to,
        scan.target,
        scan.target_hash,
    )
    connection.execute(
        "INSERT INTO scan (market, form, arrays, first, covered_to, target, target_hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        row,
    )


def _read_market(
    connection: sqlite3.Connection, row: tuple[str, str, int, str, int, int]
) -> MarketChange:
    key, form, number, block_hash, since, scanned_to = row
    parts = _read_blobs(connection, "SELECT arrays FROM base WHERE market = ? ORDER BY part", key)
    deltas = _read_blobs(connection, "SELECT arrays FROM delta WHERE market = ? ORDER BY id", key)
    return MarketChange(
        market=MarketKey(key),
        form=form,
        number=number,
        hash=BlockHash(block_hash),
        since=since,
        scanned_to=scanned_to,
        base=unpacked(b"".join(parts)),
        deltas=tuple(unpacked(delta) for delta in deltas),
        structure=_read_structure(connection, key, block_hash),
    )


def _read_structure(
    connection: sqlite3.Connection, key: str, block_hash: str
) -> KeptStructure | None:
    """Return the structure of the stored state. A later state may have none."""
    if not _has_table(connection, "structure_state"):
        return None
    row = connection.execute(
        "SELECT facts, program, discovered_at, sha256 FROM structure_state"
        " JOIN structure_facts USING (market, sha256) WHERE market = ? AND hash = ?",
        (key, block_hash),
    ).fetchone()
    if row is None:
        return None
    facts, program, discovered_at, digest = row
    if sha256(facts) != digest:
        raise Damaged("a structure has another checksum")
    return KeptStructure(facts=lambda: str(facts), program=program, discovered_at=discovered_at)


def _read_coverage(connection: sqlite3.Connection) -> KeptCoverage | None:
    """Return the stored coverage, None in the file of an earlier program."""
    if not _has_table(connection, "coverage"):
        return None
    row = connection.execute("SELECT document FROM coverage").fetchone()
    return None if row is None else unpacked_coverage(row[0])


def read_origins(connection: sqlite3.Connection) -> dict[MarketKey, KeptOrigin]:
    """Return the known creation blocks of the markets' contracts."""
    if not _has_table(connection, "origin"):
        return {}
    rows = connection.execute("SELECT market, number, hash FROM origin")
    return {
        MarketKey(market): KeptOrigin(number=number, hash=BlockHash(block_hash))
        for market, number, block_hash in rows
    }


def write_origin(connection: sqlite3.Connection, market: MarketKey, origin: KeptOrigin) -> None:
    """Write the creation block of a market's contract in the caller's transaction."""
    row = (market, origin.number, origin.hash)
    connection.execute("INSERT OR REPLACE INTO origin VALUES (?, ?, ?)", row)


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
    return found.fetchone() is not None


def _write_structure(connection: sqlite3.Connection, market: MarketChange) -> None:
    """Move the structure to the market's block. Its long text is written only after a change."""
    structure = market.structure
    if structure is None:
        return
    facts = structure.facts()
    digest = sha256(facts)
    state = (market.number, market.hash, structure.program, structure.discovered_at, digest)
    connection.execute(
        "INSERT OR REPLACE INTO structure_state VALUES (?, ?, ?, ?, ?, ?)", (market.market, *state)
    )
    same = connection.execute(
        "SELECT 1 FROM structure_facts WHERE market = ? AND sha256 = ?", (market.market, digest)
    )
    if same.fetchone() is None:
        connection.execute(
            "INSERT OR REPLACE INTO structure_facts VALUES (?, ?, ?)",
            (market.market, digest, facts),
        )


def _read_blobs(connection: sqlite3.Connection, query: str, key: str) -> list[bytes]:
    return [bytes(blob) for (blob,) in connection.execute(query, (key,))]


def _write_market(connection: sqlite3.Connection, market: MarketChange) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO market VALUES (?, ?, ?, ?, ?, ?)",
        (
            market.market,
            market.form,
            market.number,
            market.hash,
            market.since,
            market.scanned_to,
        ),
    )
    if market.base is not None:
        for table in ("base", "delta", "scan"):
            connection.execute(f"DELETE FROM {table} WHERE market = ?", (market.market,))  # noqa: S608 - names of our own
        connection.executemany(
            "INSERT INTO base VALUES (?, ?, ?)",
            [
                (market.market, number, part)
                for number, part in enumerate(_split_parts(packed(market.base)))
            ],
        )
    connection.executemany(
        "INSERT INTO delta (market, arrays) VALUES (?, ?)",
        [(market.market, packed(delta)) for delta in market.deltas],
    )
    _write_structure(connection, market)


def _split_parts(whole: bytes) -> Iterable[bytes]:
    return (whole[start : start + PART_BYTES] for start in range(0, len(whole), PART_BYTES))
