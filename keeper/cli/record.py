"""``keeper audit verify|head|export|prune``, the record of decisions and notices."""

from pathlib import Path
from typing import Annotated, Final

import typer

from keeper.audit.chain import Link, Verification
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line, print_note
from keeper.cli.record_export import ExportFormat, checked_target, exported
from keeper.cli.records import RecordOption, checked_anchor, checked_part, read_record, record_path
from keeper.config import Settings, load, overrides
from keeper.domain.errors import ConfigError
from keeper.storage import database, record
from keeper.storage.lock import SigningLock
from keeper.storage.record import Scope

BROKEN_EXIT: Final = 3
"""The exit code where the record is not what was written."""

FirstOption = Annotated[
    int | None, typer.Option("--from", min=1, metavar="N", help="First entry to check.")
]
LastOption = Annotated[
    int | None, typer.Option("--to", min=1, metavar="N", help="Last entry to check.")
]


def verify(
    config: ConfigOption = None,
    *,
    first: FirstOption = None,
    last: LastOption = None,
    anchor: Annotated[
        str,
        typer.Option(
            metavar="NUMBER:HASH",
            help="An earlier `keeper audit head`: the record must still contain it.",
        ),
    ] = "",
    whose: RecordOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Check that no recorded entry was changed, removed or swapped. Exit code 3 if one was."""
    path = record_path(_load_settings(config, override), whose)
    checked_part(path, first, last)
    scope = Scope(first=first, last=last, anchor=checked_anchor(anchor))
    found = read_record(path, lambda connection: record.verified(connection, scope))
    if as_json:
        print_json(document(found, path), "audit-verify")
    else:
        _print(found, path)
    if found.problem:
        raise typer.Exit(BROKEN_EXIT)


def head(
    config: ConfigOption = None,
    *,
    whose: RecordOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Print the newest entry's number and hash, as an anchor to keep in another place."""
    path = record_path(_load_settings(config, override), whose)
    link = read_record(path, record.newest)
    if as_json:
        print_json({"number": link.id, "hash": link.hash}, "audit-head")
    else:
        print_line(str(link))


def export(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write; default: stdout.")
    ] = None,
    config: ConfigOption = None,
    *,
    form: Annotated[ExportFormat, typer.Option("--format", help="Format.")] = ExportFormat.JSONL,
    first: FirstOption = None,
    last: LastOption = None,
    whose: RecordOption = None,
    override: SetOption = None,
) -> None:
    """Export the record with every entry and the texts that they refer to."""
    target = checked_target(out, form)
    path = record_path(_load_settings(config, override), whose)
    checked_part(path, first, last)
    entries, texts = exported(path, target, form, (first or 1, last))
    if target is not None:
        print_note(f"{entries} entries and {texts} texts written to {target}")


def prune(
    config: ConfigOption = None,
    *,
    keep_days: Annotated[
        int | None,
        typer.Option(min=1, metavar="DAYS", help="Days to keep; default: record.keep_days."),
    ] = None,
    whose: RecordOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Remove entries older than record.keep_days before the newest. The rest still verifies."""
    settings = _load_settings(config, override)
    days = settings.record.keep_days if keep_days is None else keep_days
    if days is None:
        raise ConfigError(
            "nothing says how many days are kept", hint="set record.keep_days, or --keep-days"
        )
    path = record_path(settings, whose)
    removed, link = _prune_locked(path, days)
    if as_json:
        document_ = {"removed": removed, "number": link.id, "hash": link.hash}
        print_json(document_, "audit-prune")
    else:
        print_line(f"{removed} entries removed; the record now ends with {link}")


def _prune_locked(path: Path, days: int) -> tuple[int, Link]:
    """Prune under the journal's lock, so that no running node writes meanwhile."""
    read_record(path, record.newest)  # no new journal is made for this
    lock = SigningLock(path)
    try:
        opened = database.opened(path)
        try:
            removed = opened.write_now(record.prune_older, days)
            return removed, opened.write_now(record.newest)
        finally:
            opened.close()
    finally:
        lock.release()


def document(found: Verification, path: Path) -> dict[str, object]:
    """Return the verification as JSON."""
    return {
        "record": path.name,
        "sound": not found.problem,
        "entries": found.entries,
        "from": found.after.id + 1,
        "head": {"number": found.head.id, "hash": found.head.hash},
        "problem": found.problem or None,
        "first_bad_entry": found.bad,
    }


def _print(found: Verification, path: Path) -> None:
    if found.problem:
        print_line(f"{path.name}: {found.problem}")
        print_line(f"sound up to entry {found.head}")
        return
    print_line(f"{path.name}: {found.entries} entries are as they were written")
    if found.after.id:
        print_line(f"they follow on {found.after}")
    print_line(f"head {found.head}")


def _load_settings(config: Path | None, override: list[str] | None) -> Settings:
    return load(config, overrides(override)).settings
