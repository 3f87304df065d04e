"""``keeper scan``. Lists accounts that are liquidatable or close to it, at one block."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from keeper.book.coverage import DebtCoverage
from keeper.cli import plots
from keeper.cli.blocks import BlockOption, parse_block
from keeper.cli.coverage import coverage_document, coverage_lines
from keeper.cli.distribution import Bucket, bar_rows, by_name, distribution
from keeper.cli.documents import dollars
from keeper.cli.dollars import dollar_rates
from keeper.cli.here import thresholds
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import Cell, print_json, print_line, print_note, print_table
from keeper.cli.overdue import Overdue, overdue
from keeper.cli.picking import Picking, Row, Sort
from keeper.cli.progress import telling
from keeper.cli.words import decimal, health_text, tier_text
from keeper.composition.session import opened
from keeper.config import Settings, load, overrides
from keeper.domain.errors import ConfigError
from keeper.domain.head import BlockName, Head
from keeper.ports import MarketSnapshot
from keeper.risk.tiers import tier_of


def command(
    config: ConfigOption = None,
    *,
    show_all: Annotated[bool, typer.Option("--all", help="All accounts with debt.")] = False,
    health_below: Annotated[
        str | None,
        typer.Option("--health-below", metavar="N", help="Accounts below this health factor."),
    ] = None,
    debt_above: Annotated[
        str | None,
        typer.Option("--debt-above", metavar="USD", help="Accounts that owe more than this."),
    ] = None,
    market: Annotated[
        str,
        typer.Option("--market", metavar="KEY", help="This market, or all whose key starts so."),
    ] = "",
    asset: Annotated[
        str,
        typer.Option(
            "--asset", metavar="TOKEN", help="Accounts that pledge or owe it: symbol or address."
        ),
    ] = "",
    sort: Annotated[Sort, typer.Option("--sort", help="Sort by.")] = Sort.HEALTH,
    limit: Annotated[
        int | None, typer.Option("--limit", min=0, metavar="N", help="Show at most N.")
    ] = None,
    histogram: Annotated[
        bool, typer.Option("--histogram", help="Show the debt by health factor.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw it as .png or .svg.")
    ] = None,
    overdue_after: Annotated[
        int | None,
        typer.Option(
            "--overdue",
            min=0,
            metavar="SECONDS",
            help="Accounts liquidatable for longer than this, with the journal's reason.",
        ),
    ] = None,
    block: BlockOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """List liquidatable accounts and those close to it, worst first."""
    picking = Picking(
        everybody=show_all,
        health_below=_parse_number_option(health_below, "--health-below"),
        debt_above=_parse_number_option(debt_above, "--debt-above"),
        market=market,
        asset=asset,
        sort=sort,
        limit=limit,
    )
    named = parse_block(block)
    drawn = plots.checked_plot(plot) if plot is not None else None
    settings = load(config, overrides(override)).settings
    scan = asyncio.run(_run_scan(settings, named, picking, overdue_after, quiet=as_json))
    for snapshot in scan.snapshots:
        for warning in snapshot.warnings:
            print_note(f"warning: {snapshot.market}: {warning}")
    if drawn is not None:
        title = f"Debt by health factor at block {scan.head.number}"
        plots.bars(drawn, title, ("health factor", "US dollars"), by_name(scan.buckets))
    if as_json:
        print_json(_build_document(scan, histogram=histogram), "scan")
        return
    _print(scan, histogram=histogram)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Result of a scan at one block. ``late`` are the rows' delays, if requested."""

    head: Head
    snapshots: Sequence[MarketSnapshot]
    rows: Sequence[Row]
    accounts: int
    coverage: DebtCoverage
    late: Sequence[Overdue] | None = None

    @property
    def buckets(self) -> Sequence[Bucket]:
        """The debt of the rows that have a price, by health factor."""
        return distribution(
            (row.health.health_factor, row.debt_usd_e8)
            for row in self.rows
            if not row.health.unpriced
        )


async def _run_scan(
    settings: Settings,
    block: BlockName,
    picking: Picking,
    overdue_after: int | None,
    *,
    quiet: bool,
) -> Scan:
    limits = thresholds(settings)
    async with opened(settings) as session:
        with telling(quiet=quiet) as tell:
            head, snapshots = await session.at(block, tell)
        picking.refuse_unknown(snapshots)
        rates = await dollar_rates(session, snapshots)
        every = [
            Row(
                snapshot=one,
                health=health,
                tier=tier_of(health, limits),
                rate=rates.get(one.market),
            )
            for one in snapshots
            for health in one.accounts()
        ]
        rows, late = picking.picked(every), None
        if overdue_after is not None:
            late = await overdue(session, head, rows, overdue_after)
            rows = [one.row for one in late]
        return Scan(
            head=head,
            snapshots=snapshots,
            rows=rows,
            accounts=len(every),
            coverage=session.follower.coverage,
            late=late,
        )


def _parse_number_option(text: str | None, option: str) -> Decimal | None:
    """Parse an option's number. ConfigError if it is invalid or negative."""
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise ConfigError(f"{option} takes a number of 0 or more, not {text!r}")
    return number


def _build_document(scan: Scan, *, histogram: bool) -> dict[str, object]:
    head = scan.head
    late = [one.fields for one in scan.late] if scan.late is not None else [{}] * len(scan.rows)
    found: dict[str, object] = {
        "block": {"number": head.number, "hash": head.hash, "timestamp": head.timestamp},
        "accounts": [_build_account(row) | more for row, more in zip(scan.rows, late, strict=True)],
        "coverage": coverage_document(scan.coverage),
    }
    if histogram:
        found["histogram"] = [
            {
                "from": str(one.low),
                "to": None if one.high is None else str(one.high),
                "accounts": one.accounts,
                "debt_usd_e8": str(one.debt_usd_e8),
            }
            for one in scan.buckets
        ]
    return found


def _build_account(row: Row) -> dict[str, object]:
    one = row.health
    unpriced: dict[str, object] = {"unpriced": one.unpriced} if one.unpriced else {}
    return {
        "market": one.market,
        "account": one.account,
        "health_factor": str(one.health_factor),
        "collateral_base": str(one.collateral_base),
        "debt_base": str(one.debt_base),
        "collateral_usd": None if row.rate is None else dollars(row.collateral_usd_e8),
        "debt_usd": None if row.rate is None else dollars(row.debt_usd_e8),
        "liquidatable": one.liquidatable,
        "tier": str(row.tier),
    } | unpriced


def _print(scan: Scan, *, histogram: bool) -> None:
    if histogram:
        print_table(("health", "accounts", "debt, USD", ""), bar_rows(scan.buckets))
        print_line("")
    late: Sequence[tuple[str, ...]] = [()] * len(scan.rows)
    if scan.late is not None:
        late = [one.cells for one in scan.late]
    names = ("tier", "health", "collateral", "debt", "account", "market")
    table = [(*_build_cells(row), *more) for row, more in zip(scan.rows, late, strict=True)]
    print_table(names if scan.late is None else (*names, "left alone", "why"), table)
    print_note(
        f"{len(scan.rows)} of {scan.accounts} accounts with debt, at block {scan.head.number}"
    )
    for line in coverage_lines(scan.coverage):
        print_note(f"coverage of {line}")


def _build_cells(row: Row) -> tuple[Cell, ...]:
    one, digits = row.health, len(str(row.snapshot.base_unit)) - 1
    return (
        tier_text(row.tier),
        health_text(one.health_factor) if not one.unpriced else "unknown",
        decimal(one.collateral_base, digits, 2),
        decimal(one.debt_base, digits, 2),
        str(one.account),
        str(one.market),
    )
