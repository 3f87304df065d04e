"""Finds and reads the record file of a command."""

import enum
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from sqlalchemy import Connection

from keeper.config import Settings
from keeper.domain.errors import ConfigError
from keeper.storage import database, record

T = TypeVar("T")

_ANCHOR: Final = re.compile(r"(?:[0-9]{1,18}:)?[0-9a-f]{64}")


class RecordOf(enum.StrEnum):
    """The run of a record, which is live, a dry run, or observing."""

    LIVE = "live"
    DRY_RUN = "dry-run"
    OBSERVE = "observe"


RecordOption = Annotated[
    RecordOf | None,
    typer.Option(
        "--record",
        help="Which record; default: the live run's, then the dry run's, then the observer's.",
        show_default=False,
    ),
]
"""``--record live|dry-run|observe``."""


def path_of(journal: Path, whose: RecordOf) -> Path:
    """Return the file of a run, beside the journal."""
    if whose is RecordOf.LIVE:
        return journal
    return journal.with_name(f"{journal.stem}.{whose}{journal.suffix}")


def record_path(settings: Settings, whose: RecordOf | None = None) -> Path:
    """Return the file of that run. Without one the first that exists, else the live run's."""
    journal = settings.journal.path
    if whose is not None:
        return path_of(journal, whose)
    found = (path_of(journal, one) for one in RecordOf)
    return next((one for one in found if one.is_file() and one.stat().st_size), journal)


def read_record(path: Path, work: Callable[[Connection], T]) -> T:
    """Return what ``work`` reads from the file. It cannot write.

    All reads see one snapshot of the file, whatever a running node appends meanwhile.

    Raises:
        JournalError: there is no such file, or it is not a journal.
    """
    engine = database.reader(path)

    def at_one_moment(connection: Connection) -> T:
        connection.exec_driver_sql("BEGIN")  # the driver itself begins only before a write
        return work(connection)

    try:
        return database.read(engine, at_one_moment)
    finally:
        engine.dispose()


def checked_anchor(text: str) -> str:
    """Check an anchor, as ``number:hash`` or a hash.

    Raises:
        ConfigError: it is neither.
    """
    anchor = text.strip().lower()
    if anchor and _ANCHOR.fullmatch(anchor) is None:
        raise ConfigError(
            f"{text!r} is no anchor", hint="NUMBER:HASH or HASH, as `keeper audit head` prints it"
        )
    return anchor


def checked_part(path: Path, first: int | None, last: int | None) -> None:
    """Refuse an empty part of the record.

    Raises:
        ConfigError: it ends before it begins, or begins after the record's end.
        JournalError: there is no record.
    """
    if first is None:
        return
    if last is not None and last < first:
        raise ConfigError(f"--to {last} is before --from {first}", hint="swap them")
    newest = read_record(path, record.newest).id
    if first > newest:
        raise ConfigError(f"--from {first} is after the record's last entry, {newest}")
