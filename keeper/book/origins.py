"""Creation blocks of the markets' contracts, stored in the book's file."""

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from keeper.book.file import BookFile, is_blank, objection
from keeper.book.kept import KeptOrigin
from keeper.book.locks import NotUsable
from keeper.book.rows import read_origins
from keeper.book.visiting import may_write_beside, reading
from keeper.domain.units import MarketKey


def kept_origins(path: Path | None, chain_id: int) -> Mapping[MarketKey, KeptOrigin]:
    """Return the stored origins, empty without a usable file."""
    return _read_file(path, chain_id) or {}


def _read_file(path: Path | None, chain_id: int) -> Mapping[MarketKey, KeptOrigin] | None:
    """Return the stored origins, None for an unusable file."""
    if path is None or not path.exists() or not path.stat().st_size:
        return {}
    try:
        with reading(path) as connection:
            if not is_blank(connection) and objection(connection, path.name, chain_id):
                return None
            return read_origins(connection)
    except (NotUsable, sqlite3.Error, OSError):
        return None


def keep_origin(path: Path | None, chain_id: int, market: MarketKey, origin: KeptOrigin) -> None:
    """Persist a market's origin, unless a keeper runs or the file is unusable."""
    if path is None or _read_file(path, chain_id) is None:
        return
    with contextlib.suppress(NotUsable, sqlite3.Error, OSError):
        if not may_write_beside(path):
            return
        file = BookFile(path, chain_id, visit=True)
        try:
            file.write_origin(market, origin)
        finally:
            file.close()
