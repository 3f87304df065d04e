"""Findings of checks. Each is ok, warn or fail, in one line, with a fix."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from keeper.cli.output import PIPED_WIDTH, print_json
from keeper.domain.errors import KeeperError
from keeper.observe.redaction import one_line

FAILED_EXIT: Final = 3


class Level(enum.StrEnum):
    """Severity of a finding."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_STYLES: Final = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A finding with its subject, the ``detail`` seen, and the ``fix`` if it is bad.

    ``figures`` are the detail's exact figures, for scripts.
    """

    level: Level
    what: str
    detail: str
    fix: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)


def ok(what: str, detail: str, figures: Mapping[str, str] | None = None) -> Finding:
    """Build a finding without a problem."""
    return Finding(level=Level.OK, what=what, detail=detail, figures=figures or {})


def warn(
    what: str, detail: str, fix: str = "", figures: Mapping[str, str] | None = None
) -> Finding:
    """Build a finding that the operator should know."""
    return Finding(level=Level.WARN, what=what, detail=detail, fix=fix, figures=figures or {})


def fail(what: str, detail: str, fix: str = "") -> Finding:
    """Build a finding that stops the keeper."""
    return Finding(level=Level.FAIL, what=what, detail=detail, fix=fix)


def failed(what: str, error: KeeperError) -> Finding:
    """Build a finding from an error."""
    return fail(what, str(error) or error.code, error.hint)


def report(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print the findings and end with exit code 3 if any is a failure."""
    bad = [one for one in findings if one.level is Level.FAIL]
    if as_json:
        print_json({"ok": not bad, "checks": [_build_document(one) for one in findings]}, "checks")
    else:
        console = Console(width=PIPED_WIDTH, highlight=False, markup=False, emoji=False)
        for one in findings:
            console.print(_format_line(one), soft_wrap=True)
    if bad:
        raise typer.Exit(FAILED_EXIT)


def _build_document(one: Finding) -> dict[str, object]:
    figures = {"figures": dict(one.figures)} if one.figures else {}
    return figures | {
        "level": one.level.value,
        "what": one.what,
        "detail": one_line(one.detail),
        "fix": one_line(one.fix),
    }


def _format_line(one: Finding) -> Text:
    line = Text(f"{one.level.value:<4}", style=_STYLES[one.level])
    line.append(f"  {one.what}: {one_line(one.detail)}", style="default")
    if one.fix and one.level is not Level.OK:
        line.append(f" - {one_line(one.fix)}", style="default")
    return line
