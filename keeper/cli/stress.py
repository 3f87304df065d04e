"""``keeper stress``. Estimates the effect of price moves on every configured market."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from keeper.cli import plots, stress_work
from keeper.cli.blocks import BlockOption, parse_block
from keeper.cli.coverage import coverage_document, uncovered_lines
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line, print_note, print_table
from keeper.cli.shocks import Percent, read_curve, read_shocks
from keeper.cli.stress_work import Answer, Exit
from keeper.cli.words import decimal
from keeper.config import load, overrides
from keeper.domain.errors import ConfigError
from keeper.domain.units import WAD
from keeper.risk.stress import Totals, totals

SHOWN: Final = 20
"""Accounts that a terminal is told; JSON has them all."""


def command(
    config: ConfigOption = None,
    *,
    shock: Annotated[
        list[str] | None,
        typer.Option(
            "--shock",
            metavar="TOKEN=PERCENT%",
            help="Change a token's price, as in --shock WETH=-20% (repeatable).",
            show_default=False,
        ),
    ] = None,
    curve: Annotated[
        str | None,
        typer.Option(
            "--curve",
            metavar="FROM:TO:STEP",
            help="Change these tokens by a range of percentages, as in -50:0:5.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the curve as .png or .svg.")
    ] = None,
    block: BlockOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Estimate the effect of price moves (liquidations, bad debt, liquidity)."""
    shocks = read_shocks(shock or ())
    if not shocks:
        raise ConfigError("no price change is given", hint="for example --shock WETH=-20%")
    if plot is not None and curve is None:
        raise ConfigError("--plot draws a curve", hint="add --curve, for example -50:0:5")
    points = read_curve(curve) if curve is not None else []
    named = parse_block(block)
    drawn = plots.checked_plot(plot) if plot is not None else None
    settings = load(config, overrides(override)).settings
    answer = asyncio.run(stress_work.asked(settings, named, shocks, points, quiet=as_json))
    if drawn is not None:
        _draw(drawn, answer)
    if as_json:
        print_json(document(answer), "stress")
        return
    _print(answer)


def document(answer: Answer) -> dict[str, object]:
    """Return the result as JSON. Dollars and health factors are estimates, as decimals."""
    table, stress = answer.table, answer.stress
    return {
        "block": {"number": answer.head.number, "hash": answer.head.hash},
        "shocks": [
            {"token": one.token, "symbol": one.symbol, "percent": str(answer.moves[one.token])}
            for one in table.assets
            if one.token in answer.moves
        ],
        "accounts": len(table.accounts),
        "unvalued": answer.unvalued,
        "liquidatable_now": int(np.count_nonzero(table.liquidatable)),
        "totals": _build_totals(totals(stress)),
        "crossed": [
            {
                "market": table.markets[table.market_of[at]],
                "account": table.accounts[at],
                "health_factor": str(int(stress.health[at] * WAD)),
            }
            for at in _list_crossed(answer)
        ],
        "assets": [
            {
                "token": asset.token,
                "symbol": asset.symbol,
                "collateral_usd": _format_usd(stress.collateral_at_risk[at]),
                "debt_usd": _format_usd(stress.debt_at_risk[at]),
                "sold_usd": _format_usd(stress.sold[at]),
                "bonus_usd": _format_usd(stress.bonus[at]),
            }
            for at, asset in enumerate(table.assets)
            if stress.collateral_at_risk[at] or stress.debt_at_risk[at]
        ],
        "exits": [_build_sale(one) for one in answer.exits],
        "curve": [{"percent": str(at)} | _build_totals(point) for at, point in answer.curve],
        "coverage": coverage_document(answer.coverage),
    }


def _list_crossed(answer: Answer) -> Sequence[int]:
    """Return the indices of accounts that would become liquidatable, worst first."""
    places = [int(at) for at in np.flatnonzero(answer.stress.crossed)]
    health, accounts = answer.stress.health, answer.table.accounts
    return sorted(places, key=lambda at: (float(health[at]), accounts[at]))


def _build_totals(point: Totals) -> dict[str, object]:
    return {
        "liquidatable": point.accounts,
        "crossed": point.crossed,
        "collateral_usd": _format_usd(point.collateral),
        "debt_usd": _format_usd(point.debt),
        "bonus_usd": _format_usd(point.bonus),
        "bad_debt_usd": _format_usd(point.bad_debt),
    }


def _build_sale(one: Exit) -> dict[str, object]:
    return {
        "sell": one.sold.token,
        "sell_symbol": one.sold.symbol,
        "for": one.bought.token,
        "for_symbol": one.bought.symbol,
        "amount": str(one.to_sell),
        "amount_usd": _format_usd(one.to_sell_usd),
        "depth": str(one.depth),
        "covered": one.is_covered,
    }


def _format_usd(amount: float) -> str:
    return f"{float(amount):.2f}"


def _format_rounded(amount: float) -> str:
    return f"{float(amount):,.0f}"


def _print(answer: Answer) -> None:
    table, stress, whole = answer.table, answer.stress, totals(answer.stress)
    moved = ", ".join(
        f"{one.symbol} {answer.moves[one.token]:+}%"
        for one in table.assets
        if one.token in answer.moves
    )
    now = int(np.count_nonzero(table.liquidatable))
    print_line(
        f"{moved}: {whole.crossed} of {len(table.accounts)} accounts would cross"
        f" ({now} are past the line now)"
    )
    print_line(
        f"then at risk: {_format_rounded(whole.collateral)} of collateral,"
        f" {_format_rounded(whole.debt)} of debt;"
        f" bonus up to {_format_rounded(whole.bonus)},"
        f" bad debt {_format_rounded(whole.bad_debt)} (US dollars)"
    )
    print_line("")
    print_table(
        ("asset", "collateral", "debt", "to sell"),
        [
            (
                asset.symbol,
                _format_rounded(stress.collateral_at_risk[at]),
                _format_rounded(stress.debt_at_risk[at]),
                _format_rounded(stress.sold[at]),
            )
            for at, asset in enumerate(table.assets)
            if stress.collateral_at_risk[at] or stress.debt_at_risk[at]
        ],
    )
    _print_exits(answer.exits)
    _print_crossed(answer)
    _print_curve(answer.curve)
    estimate = f"estimates at block {answer.head.number}, in floats"
    left_out = f"; {answer.unvalued} accounts have no price and are left out"
    print_note(estimate + (left_out if answer.unvalued else ""))
    for line in uncovered_lines(answer.coverage):
        print_note(line)


def _print_exits(exits: Sequence[Exit]) -> None:
    if not exits:
        return
    print_line("")
    print_table(
        ("sell", "for", "amount", "sells within the bonus", "enough"),
        [
            (
                one.sold.symbol,
                one.bought.symbol,
                decimal(one.to_sell, one.sold.decimals, 4),
                decimal(one.depth, one.sold.decimals, 4),
                "yes" if one.is_covered else "no",
            )
            for one in exits
        ],
    )


def _print_crossed(answer: Answer) -> None:
    places = _list_crossed(answer)
    if not places:
        return
    print_line("")
    table, health = answer.table, answer.stress.health
    print_table(
        ("health then", "account", "market"),
        [
            (f"{float(health[at]):.4f}", table.accounts[at], table.markets[table.market_of[at]])
            for at in places[:SHOWN]
        ],
    )
    if len(places) > SHOWN:
        print_note(f"{len(places) - SHOWN} more cross; --json has them all")


def _print_curve(curve: Sequence[tuple[Percent, Totals]]) -> None:
    if not curve:
        return
    print_line("")
    print_table(
        ("move", "liquidatable", "collateral", "debt", "bonus", "bad debt"),
        [
            (
                f"{at:+}%",
                str(point.accounts),
                _format_rounded(point.collateral),
                _format_rounded(point.debt),
                _format_rounded(point.bonus),
                _format_rounded(point.bad_debt),
            )
            for at, point in curve
        ],
    )


def _draw(path: Path, answer: Answer) -> None:
    series = {
        "debt at risk": [point.debt for _, point in answer.curve],
        "collateral at risk": [point.collateral for _, point in answer.curve],
        "bad debt": [point.bad_debt for _, point in answer.curve],
    }
    symbols = sorted(one.symbol for one in answer.table.assets if one.token in answer.moves)
    plots.lines(
        path,
        f"{', '.join(symbols)} at block {answer.head.number}",
        ("move of the price, %", "US dollars"),
        [float(at) for at, _ in answer.curve],
        series,
    )
