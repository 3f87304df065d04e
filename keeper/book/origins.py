"""The blocks in which the markets' contracts were created, in the book's file: found once."""

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from keeper.book.file import BookFile, objection
from keeper.book.kept import KeptOrigin
from keeper.book.locks import NotUsable
from keeper.book.rows import read_origins
from keeper.book.visiting import may_write_beside, reading
from keeper.domain.units import MarketKey


def kept_origins(path: Path | None, chain_id: int) -> Mapping[MarketKey, KeptOrigin]:
    """Return what the file says; nothing where there is no file that can be used."""
    if path is None or not path.exists():
        return {}
    try:
        with reading(path) as connection:
            if objection(connection, path.name, chain_id):
                return {}
            return read_origins(connection)
    except (NotUsable, sqlite3.Error, OSError):
        return {}


def keep_origin(path: Path | None, chain_id: int, market: MarketKey, origin: KeptOrigin) -> None:
    """Write a market's origin, unless a keeper runs or the file cannot be used."""
    if path is None or not may_write_beside(path):
        return
    with contextlib.suppress(NotUsable, sqlite3.Error, OSError):
        file = BookFile(path, chain_id, visit=True)
        try:
            file.write_origin(market, origin)
        finally:
            file.close()
