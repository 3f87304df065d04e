"""``keeper replay``. Recomputes recorded decisions from the record alone."""

import asyncio
import functools
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from sqlalchemy import Connection

from keeper.audit.canonical import Documents
from keeper.audit.chain import Entry
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line
from keeper.cli.records import RecordOption, read_record, record_path
from keeper.composition.replay import Replayed, inputs_of, replayed
from keeper.composition.wiring import FORMS
from keeper.config import load, overrides
from keeper.domain.errors import ConfigError
from keeper.storage.decisions import DECISION
from keeper.storage.record import documents_of, entries_of_kinds, entry
from keeper.version import code_version

SHOWN: Final = 160
"""Characters of a figure that differs; --json has all of it."""
AROUND: Final = 30
"""Of these, as many before the difference at most."""

DIFFERS_EXIT: Final = 3
"""The exit code where a decision came out otherwise."""


def command(
    decision: Annotated[
        int | None,
        typer.Argument(
            min=1, metavar="DECISION", help="Number of the entry, as `keeper explain` shows it."
        ),
    ] = None,
    config: ConfigOption = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All recorded decisions.")] = False,
    whose: RecordOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Recompute a recorded decision from the record and compare every figure."""
    if every and decision is not None:
        raise ConfigError("a decision and --all exclude each other", hint="choose one")
    if not every and decision is None:
        raise ConfigError("no decision is given", hint="its number, or --all")
    path = record_path(load(config, overrides(override)).settings, whose)
    found = [
        one
        for entries, texts in _read_decisions(path, decision)
        for one in asyncio.run(replayed(entries, texts, FORMS))
    ]
    if as_json:
        print_json({"decisions": [document(one) for one in found]}, "replay")
    else:
        _print(found, one_by_one=not every)
    if any(one.differences for one in found):
        raise typer.Exit(DIFFERS_EXIT)


def _read_decisions(path: Path, number: int | None) -> Iterator[tuple[list[Entry], Documents]]:
    """Yield the selected decisions grouped by their inputs, with the inputs' texts."""

    def wanted(connection: Connection) -> list[Entry]:
        if number is None:
            return list(entries_of_kinds(connection, DECISION))
        found = entry(connection, number)
        if found is None or found.kind != DECISION:
            raise ConfigError(
                f"entry {number} is no decision on record", hint="see `keeper explain ACCOUNT`"
            )
        return [found]

    for _, group in itertools.groupby(read_record(path, wanted), inputs_of):
        entries = list(group)
        body = entries[0].body
        yield entries, read_record(path, functools.partial(documents_of, text=body))


def document(one: Replayed) -> dict[str, object]:
    """Return a replay as JSON."""
    return {
        "entry": one.entry,
        "same": one.same,
        "missing": one.missing or None,
        "recorded_by": one.recorded_by or None,
        "replayed_by": code_version(),
        "differences": [
            {"field": each.field, "recorded": each.recorded, "replayed": each.replayed}
            for each in one.differences
        ],
    }


def cut_alike(recorded: str, now: str) -> tuple[str, str]:
    """Return two figures from their first difference on, short enough to compare."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(recorded, now, strict=False))
    same = sum(1 for _ in alike)
    start = max(0, same - AROUND) if max(len(recorded), len(now)) > SHOWN else 0
    return _cut(recorded, start), _cut(now, start)


def _cut(text: str, start: int) -> str:
    end = start + SHOWN
    return f"{'…' * (start > 0)}{text[start:end]}{'…' * (end < len(text))}"


def _print(found: Sequence[Replayed], *, one_by_one: bool) -> None:
    for one in found:
        if one.missing:
            print_line(f"entry {one.entry}: not replayed: {one.missing}")
        elif one.differences:
            by_other = one.recorded_by != code_version()
            code = f" (recorded by {one.recorded_by})" if by_other else ""
            print_line(f"entry {one.entry}: comes out otherwise{code}")
            for each in one.differences:
                recorded, now = cut_alike(str(each.recorded), str(each.replayed))
                print_line(f"  {each.field}: recorded {recorded}, now {now}")
        elif one_by_one:
            print_line(f"entry {one.entry}: the same, to the last integer")
    if not one_by_one:
        same = sum(one.same for one in found)
        missing = sum(bool(one.missing) for one in found)
        print_line(
            f"{len(found)} decisions: {same} the same, {len(found) - same - missing} otherwise,"
            f" {missing} without what they were made of"
        )
