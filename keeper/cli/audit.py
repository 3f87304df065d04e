"""``keeper audit``. Compares the book with the contracts, and the record with its hashes."""

import asyncio
import dataclasses
from typing import Annotated, Final

import typer

from keeper.book.parity import BookAudit, audited_book
from keeper.cli import record
from keeper.cli.blocks import BlockOption, parse_block
from keeper.cli.coverage import coverage_document, coverage_lines
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line, print_table
from keeper.cli.progress import telling
from keeper.cli.words import health_text
from keeper.composition.rescanning import find_missing
from keeper.composition.session import opened
from keeper.config import Settings, load, overrides
from keeper.domain.account import AccountHealth
from keeper.domain.head import BlockName

DIFFERS_EXIT: Final = 3
"""The exit code where the book is not what the contracts say."""

app = typer.Typer(help="Check the accounts against the contracts, and the record's hashes.")
app.command("verify")(record.verify)
app.command("head")(record.head)
app.command("export")(record.export)
app.command("prune")(record.prune)


@app.command("book")
def book(
    config: ConfigOption = None,
    *,
    block: BlockOption = None,
    rescan: Annotated[
        bool | None,
        typer.Option(
            "--rescan/--no-rescan",
            help="Read the history again to find missing borrowers; by default only if"
            " some debt belongs to no known account.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """
    Compare the stored or running keeper's accounts and all debt with the contracts.

    Exit code 3 if an account differs, a borrower is missing, or more debt than
    observe.uncovered_debt_usd belongs to no known account.
    """
    named = parse_block(block)
    settings = load(config, overrides(override)).settings
    work = _run_audit(settings, named, quiet=as_json)
    if rescan is not None:
        work = _run_audit(settings, named, quiet=as_json, rescan=rescan)
    audit, unread = asyncio.run(work)
    if as_json:
        print_json(document(audit, unread), "audit-book")
    else:
        _print(audit, unread)
    if audit.differences or unread or audit.is_uncovered or audit.missing:
        raise typer.Exit(DIFFERS_EXIT)


async def _run_audit(
    settings: Settings, block: BlockName, *, quiet: bool, rescan: bool | None = None
) -> tuple[BookAudit, dict[str, str]]:
    """Return the audit, and the unreadable markets with reasons."""
    async with opened(settings) as session:
        with telling(quiet=quiet) as tell:
            head, snapshots = await session.at(block, tell)
            audit = await audited_book(session.reader, head, snapshots)
            audit = dataclasses.replace(
                audit, coverage=session.follower.coverage, kept_block=session.kept_block
            )
            if rescan or (rescan is None and _has_unassigned_debt(audit)):
                missing = await find_missing(session, head, snapshots, tell)
                audit = dataclasses.replace(audit, missing=missing)
        return audit, {str(key): why for key, why in session.follower.quarantined.items()}


def _has_unassigned_debt(audit: BookAudit) -> bool:
    """Return whether some debt belongs to no known account, or a deployment states no totals."""
    totals = audit.coverage.totals().values()
    return any(not market or any(one.uncovered for one in market) for market in totals)


def document(audit: BookAudit, unread: dict[str, str]) -> dict[str, object]:
    """Return the audit as a JSON document."""
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
        "kept_block": audit.kept_block,
        "missing": None
        if audit.missing is None
        else [_build_missing(one) for one in audit.missing],
    }


def _build_missing(health: AccountHealth) -> dict[str, object]:
    return {
        "market": health.market,
        "account": health.account,
        "health_factor": str(health.health_factor),
        "debt_base": str(health.debt_base),
        "liquidatable": health.liquidatable,
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
    if audit.missing is not None:
        print_line(f"{len(audit.missing)} borrowers of the history are missing in the book")
    if audit.missing:
        print_table(
            ("missing", "health", "market"),
            [
                (str(one.account), health_text(one.health_factor), str(one.market))
                for one in audit.missing
            ],
        )
    if audit.differences:
        print_table(
            ("account", "what", "ours", "theirs", "market"),
            [
                (one.account, one.what, one.ours, one.theirs, one.market)
                for one in audit.differences
            ],
        )
