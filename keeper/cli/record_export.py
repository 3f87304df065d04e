"""Exports the record as JSON Lines or Parquet."""

import contextlib
import enum
import importlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from sqlalchemy import Connection

from keeper.audit.canonical import references
from keeper.audit.chain import Entry
from keeper.cli.records import read_record
from keeper.domain.errors import ConfigError, EnvironmentFault
from keeper.exposure import open_private
from keeper.storage.record import documents_of, entries_between

_TEXT: Final = "text"
_BATCH: Final = 2_000

Row = dict[str, Any]


class ExportFormat(enum.StrEnum):
    """Formats of an export."""

    JSONL = "jsonl"
    PARQUET = "parquet"


def checked_target(out: Path | None, form: ExportFormat) -> Path | None:
    """Check the file to write, before any work is done for it. None is stdout.

    Raises:
        ConfigError: Parquet needs a file, or the file's folder does not exist.
        EnvironmentFault: pyarrow is not installed.
    """
    if form is ExportFormat.PARQUET:
        if out is None:
            raise ConfigError("Parquet goes to a file", hint="name it with --out")
        _load_arrow()
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"the folder of {out} does not exist")
    return out


def exported(
    path: Path, target: Path | None, form: ExportFormat, numbers: tuple[int, int | None]
) -> tuple[int, int]:
    """Write the entries of these numbers, each after its unwritten texts.

    Returns the numbers of entries and texts written.
    """
    written = Counter[bool]()

    def work(connection: Connection) -> None:
        rows = _count_rows(_iterate_rows(connection, *numbers), written)
        if form is ExportFormat.PARQUET and target is not None:
            _write_parquet(rows, target)
        else:
            _write_lines(rows, target)

    try:
        read_record(path, work)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise EnvironmentFault(f"{target} cannot be written: {error.strerror}") from None
    return written[False], written[True]


def _count_rows(rows: Iterator[Row], written: Counter[bool]) -> Iterator[Row]:
    for row in rows:
        yield row
        written[row["kind"] == _TEXT] += 1


def _iterate_rows(connection: Connection, first: int, last: int | None) -> Iterator[Row]:
    written: set[str] = set()
    for one in entries_between(connection, first, last):
        if references(one.body) - written:
            fresh = documents_of(connection, one.body)
            for name in sorted(fresh.keys() - written):
                yield _build_row(kind=_TEXT, body=fresh[name], hash=name)
            written |= fresh.keys()
        yield _build_entry_row(one)


def _build_entry_row(one: Entry) -> Row:
    return _build_row(
        number=one.id,
        kind=one.kind,
        block_number=one.block_number,
        block_time=one.block_time,
        market=one.market,
        account=one.account,
        body=one.body,
        hash=one.hash,
    )


def _build_row(**known: object) -> Row:
    names = ("number", "kind", "block_number", "block_time", "market", "account", "body", "hash")
    return {name: known.get(name) for name in names}


def _write_lines(rows: Iterator[Row], target: Path | None) -> None:
    """Write one JSON document per line. The body is the canonical JSON as a document."""
    with contextlib.ExitStack() as stack:
        out = sys.stdout if target is None else stack.enter_context(_open_target(target))
        for row in rows:
            line = row | {"body": json.loads(row["body"])}
            out.write(json.dumps(line, separators=(",", ":")) + "\n")


def _open_target(target: Path) -> TextIO:
    """Open the export as private as the journal that it copies."""
    return os.fdopen(open_private(target), "w", encoding="utf-8")


def _write_parquet(rows: Iterator[Row], target: Path) -> None:
    arrow, parquet = _load_arrow()
    whole, text = arrow.int64(), arrow.string()
    schema = arrow.schema(
        [("number", whole), ("kind", text), ("block_number", whole), ("block_time", whole)]
        + [(name, text) for name in ("market", "account", "body", "hash")]
    )
    os.close(open_private(target))
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        batch: list[Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH:
                writer.write_table(arrow.Table.from_pylist(batch, schema=schema))
                batch = []
        writer.write_table(arrow.Table.from_pylist(batch, schema=schema))


def _load_arrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module."""
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise EnvironmentFault(
            "Parquet needs pyarrow, which is not installed",
            hint="pip install 'liquidation-keeper[parquet]'",
        ) from None
