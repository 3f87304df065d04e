"""``keeper audit``: the book held against the contracts, the record against its hashes."""

import asyncio
import dataclasses
from typing import Annotated, Final

import typer

from keeper.book.parity import BookAudit, audited_book
from keeper.cli import record
from keeper.cli.coverage import coverage_document, coverage_lines
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line, print_table
from keeper.cli.progress import telling
from keeper.composition.session import opened
from keeper.config import Settings, load, overrides

DIFFERS_EXIT: Final = 3
"""The exit code where the book is not what the contracts say."""

app = typer.Typer(help="Hold what the keeper believes and recorded against what can be checked.")
app.command("verify")(record.verify)
app.command("head")(record.head)
app.command("export")(record.export)
app.command("prune")(record.prune)


@app.command("book")
def book(
    config: ConfigOption = None,
    *,
    block: Annotated[
        int | None, typer.Option("--block", min=0, metavar="N", help="At this block.")
    ] = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """
    Compare every account with the contracts' own answer, and all debt with their totals.

    Exit 3 if an account differs, or if more debt than observe.uncovered_debt_usd is owed by nobody.
    """
    settings = load(config, overrides(override)).settings
    audit, unread = asyncio.run(_audited(settings, block, quiet=as_json))
    if as_json:
        print_json(document(audit, unread))
    else:
        _print(audit, unread)
    if audit.differences or unread or audit.is_uncovered:
        raise typer.Exit(DIFFERS_EXIT)


async def _audited(
    settings: Settings, block: int | None, *, quiet: bool
) -> tuple[BookAudit, dict[str, str]]:
    """Return the audit, and the markets that could not be read with the reasons."""
    async with opened(settings) as session:
        with telling(quiet=quiet) as tell:
            head, snapshots = await session.at(block, tell)
        audit = await audited_book(session.reader, head, snapshots)
        audit = dataclasses.replace(audit, coverage=session.follower.coverage)
        return audit, {str(key): why for key, why in session.follower.quarantined.items()}


def document(audit: BookAudit, unread: dict[str, str]) -> dict[str, object]:
    """Return the audit for scripts."""
    return {
        "block": {"number": audit.head.number, "hash": audit.head.hash},
        "accounts": audit.accounts,
        "differing": audit.differing,
        "not_compared": audit.not_compared,
        "unreadable": unread,
        "differences": [
            {
                "market": one.market,
                "account": one.account,
                "what": one.what,
                "ours": one.ours,
                "theirs": one.theirs,
            }
            for one in audit.differences
        ],
        "coverage": coverage_document(audit.coverage),
    }


def _print(audit: BookAudit, unread: dict[str, str]) -> None:
    print_line(
        f"{audit.accounts} accounts compared at block {audit.head.number} {audit.head.hash}:"
        f" {audit.differing} differ"
    )
    if audit.not_compared:
        print_line(f"{audit.not_compared} could not be compared: they have no price")
    for line in coverage_lines(audit.coverage):
        print_line(f"coverage of {line}")
    for market, why in unread.items():
        print_line(f"{market} cannot be read: {why}")
    if audit.differences:
        print_table(
            ("account", "what", "ours", "theirs", "market"),
            [
                (one.account, one.what, one.ours, one.theirs, one.market)
                for one in audit.differences
            ],
        )
