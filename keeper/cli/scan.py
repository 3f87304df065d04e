"""``keeper scan``: every account near or past the line, at one block."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from keeper.book.follower import Progress
from keeper.cli.here import thresholds
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_note, print_table
from keeper.cli.words import decimal, health_text, tier_text
from keeper.config import Settings, load, overrides
from keeper.domain.account import AccountHealth
from keeper.domain.head import Head
from keeper.ports import MarketSnapshot
from keeper.risk.tiers import Tier, tier_of
from keeper.session import opened


def command(
    config: ConfigOption = None,
    *,
    show_all: Annotated[
        bool, typer.Option("--all", help="Every account with debt, not only those near the line.")
    ] = False,
    block: Annotated[
        int | None, typer.Option("--block", min=0, metavar="N", help="At this block.")
    ] = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """List accounts near or past the line, worst first."""
    settings = load(config, overrides(override)).settings
    head, snapshots = asyncio.run(_scanned(settings, block, quiet=as_json))
    limits = thresholds(settings)
    rows = [
        (snapshot, one, tier_of(one, limits))
        for snapshot in snapshots
        for one in snapshot.accounts()
    ]
    shown = [row for row in rows if show_all or row[2] is not Tier.HEALTHY]
    shown.sort(key=lambda row: (row[1].health_factor, row[1].account, row[1].market))
    for snapshot in snapshots:
        for warning in snapshot.warnings:
            print_note(f"warning: {snapshot.market}: {warning}")
    if as_json:
        print_json(_document(head, shown))
        return
    _print(head, shown, len(rows))


async def _scanned(
    settings: Settings, block: int | None, *, quiet: bool
) -> tuple[Head, Sequence[MarketSnapshot]]:
    def tell(progress: Progress) -> None:
        if not quiet or progress.stage == "quarantined":
            print_note(f"{progress.stage} {progress.market} {progress.detail}".rstrip())

    async with opened(settings) as session:
        return await session.at(block, tell)


def _document(
    head: Head, rows: Sequence[tuple[MarketSnapshot, AccountHealth, Tier]]
) -> dict[str, object]:
    return {
        "block": {"number": head.number, "hash": head.hash, "timestamp": head.timestamp},
        "accounts": [
            {
                "market": one.market,
                "account": one.account,
                "health_factor": str(one.health_factor),
                "collateral_base": str(one.collateral_base),
                "debt_base": str(one.debt_base),
                "liquidatable": one.liquidatable,
                "tier": str(tier),
            }
            | ({"unpriced": one.unpriced} if one.unpriced else {})
            for _, one, tier in rows
        ],
    }


def _print(
    head: Head, rows: Sequence[tuple[MarketSnapshot, AccountHealth, Tier]], accounts: int
) -> None:
    table = [
        (
            tier_text(tier),
            health_text(one.health_factor) if not one.unpriced else "unknown",
            decimal(one.collateral_base, len(str(snapshot.base_unit)) - 1, 2),
            decimal(one.debt_base, len(str(snapshot.base_unit)) - 1, 2),
            str(one.account),
            str(one.market),
        )
        for snapshot, one, tier in rows
    ]
    print_table(("tier", "health", "collateral", "debt", "account", "market"), table)
    print_note(f"{len(rows)} of {accounts} accounts with debt, at block {head.number}")
