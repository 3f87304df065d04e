"""Final report of the demo, a table for readers and a JSON document."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keeper.cli.output import Cell, available_width, print_line, print_pairs, print_table
from keeper.cli.words import decimal, health_text
from keeper.devnet.assets import PRICE_DECIMALS
from keeper.devnet.demo.books import ETHER, Check, Facts, LeftAlone, Liquidation, proceeds

REASONS: Final[Mapping[str, str]] = {
    "dust": "its bonus is not worth the gas",
    "below_min_profit": "it nets less than the least profit",
    "no_collateral": "no collateral is left to take",
    "exit_too_shallow": "the pools are too shallow to sell it",
    "no_exit_route": "no pool buys the collateral",
    "reserve_illiquid": "the reserve has not the collateral to pay out",
    "must_not_leave_dust": "the protocol refuses the amounts that would be possible",
    "simulation_failed": "it failed when it was simulated",
}
COLUMNS: Final = (
    "account",
    "kind",
    "health factor",
    "spent",
    "received",
    "exit route",
    "net profit",
    "gas",
    "blocks",
)

NARROW_COLUMNS: Final = (
    "account\nkind",
    "health\nfactor",
    "spent\nreceived",
    "exit route",
    "net profit",
    "gas\nblocks",
)
_WRAPPED: Final = "exit route"
_NARROWEST: Final = 96

_WEI: Final = re.compile(r"(-?\d+) wei")
_ENDS: Final = 4
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One price step as it happened."""

    title: str
    block: int
    prices: Mapping[str, int]
    breached: Sequence[str]


def short(account: str) -> str:
    """Shorten an address to its ends, for tables."""
    return f"{account[: 2 + _ENDS]}…{account[-_ENDS:]}"


def usd(amount: int) -> str:
    """Format US dollars (8 decimals) with cents, cut."""
    return f"{decimal(amount, PRICE_DECIMALS, 2)} USD"


def many(count: int, noun: str) -> str:
    """Format a number of things, such as ``1 account`` or ``2 accounts``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def reason_words(reason: str, detail: str) -> str:
    """Format a skip's reason as a sentence, with amounts in ether."""
    words = REASONS.get(reason, reason.replace("_", " "))
    return f"{words} ({in_ether(detail)})" if detail else words


def in_ether(text: str) -> str:
    """Format a text's amounts of wei in ether."""
    return _WEI.sub(lambda found: f"{decimal(int(found[1]), ETHER, 6)} ETH", text)


def print_report(facts: Facts, checks: Sequence[Check], accounts: int) -> None:
    """Print the whole report to stdout."""
    print_line("\nWhat the keeper did")
    _print_liquidations(facts)
    total = sum(facts.net_usd(one) for one in facts.liquidations)
    touched = {one.spot for one in facts.liquidations}
    print_line(
        f"{many(len(facts.liquidations), 'liquidation')} of {many(len(touched), 'account')} in"
        f" {many(len(facts.receipts), 'transaction')}: {usd(total)} net,"
        f" after {decimal(sum(facts.receipts.values()), ETHER, 6)} ETH for gas."
    )
    print_line("blocks: from the first at which it was possible to the one that has it.")
    left = {one.spot for one in facts.left_alone}
    print_line("\nWhat it left alone, and why")
    print_pairs({f"{one.account}  {one.kind}": _format_skipped(one) for one in facts.left_alone})
    if not left:
        print_line("nothing: no account is unhealthy")
    healthy = many(accounts - len(touched | left), "other account")
    print_line(f"{healthy} stayed healthy all the time")
    print_line("\nThe journal, checked against the chain")
    prices = (f"{name} {decimal(one, PRICE_DECIMALS, 2)}" for name, one in facts.prices.items())
    print_pairs({one.name: _format_verdict(one) for one in checks})
    print_line(f"Prices are the market's at the end, in USD: {', '.join(prices)}.")
    broken = [one.name for one in checks if not one.held]
    print_line(f"\nDoes not add up: {', '.join(broken)}." if broken else "\nEverything adds up.")
    sys.stdout.flush()


def _print_liquidations(facts: Facts) -> None:
    """Print one row per liquidation, with two lines where the terminal is too narrow."""
    rows = [_build_row(facts, one) for one in facts.liquidations]
    if not _NARROWEST <= available_width() < _compute_width(rows):
        print_table(COLUMNS, rows)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for name in NARROW_COLUMNS:
        table.add_column(name, no_wrap=name != _WRAPPED, overflow="fold")
    for account, kind, health, spent, received, route, net, gas, blocks in rows:
        table.add_row(
            _join_cells(account, kind),
            _join_cells(*str(health).split(" → ")),
            _join_cells(spent, received),
            route,
            net,
            _join_cells(gas, blocks),
        )
    console = Console(width=available_width(), highlight=False, markup=False, emoji=False)
    console.print(table)


def _compute_width(rows: Sequence[Sequence[Cell]]) -> int:
    """Compute the columns that single-line rows take."""
    cells = [COLUMNS, *rows]
    return sum(max(len(str(row[at])) for row in cells) + 2 for at in range(len(COLUMNS)))


def _join_cells(*cells: Cell) -> Text:
    return Text("\n").join(cell if isinstance(cell, Text) else Text(cell) for cell in cells)


def document(
    facts: Facts, checks: Sequence[Check], told: Sequence[Told], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the report as one JSON value, with amounts and health factors as strings."""
    return {
        **about,
        "steps": [_convert_values(asdict(one)) for one in told],
        "liquidations": [
            {
                **_convert_values(asdict(one)),
                "blocks": one.blocks,
                "net_profit_usd_e8": str(facts.net_usd(one)),
            }
            for one in facts.liquidations
        ],
        "left_alone": [_convert_values(asdict(one)) for one in facts.left_alone],
        "prices_usd_e8": _convert_values(facts.prices),
        "books": {
            "proceeds": _convert_values(proceeds(facts)),
            "receiver": _convert_values(facts.receiver.tokens),
            "gas_wei": str(sum(facts.receipts.values())),
            "hot_wei": str(facts.hot.wei),
            "net_usd_e8": str(sum(facts.net_usd(one) for one in facts.liquidations)),
            "predicted_wei": str(sum(one.predicted_wei for one in facts.liquidations)),
            "realised_wei": str(sum(one.realised_wei for one in facts.liquidations)),
        },
        "checks": [asdict(one) for one in checks],
        "ok": all(one.held for one in checks),
    }


_COUNTS: Final = frozenset({"block", "planned_block", "breach_block", "gas"})


def _convert_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a mapping for JSON, amounts to text, block numbers and gas to numbers."""
    return {name: _value(name, value) for name, value in values.items()}


def _value(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return _convert_values(value)
    if isinstance(value, int) and name not in _COUNTS:
        return str(value)
    return value


def _build_row(facts: Facts, one: Liquidation) -> list[Cell]:
    net = facts.net_usd(one)
    return [
        short(one.account) if sys.stdout.isatty() else one.account,
        one.kind,
        f"{_format_health(one.health_before)} → {_format_health(one.health_after)}",
        _format_amount(facts, one.spent_token, one.spent),
        _format_amount(facts, one.received_token, one.received),
        f"{one.route}, {one.funding}",
        Text(f"{'+' if net > 0 else ''}{usd(net)}", style="green" if net > 0 else "red"),
        f"{one.gas:,}",
        "?" if one.blocks is None else str(one.blocks),
    ]


def _format_health(value: int | None) -> str:
    return "?" if value is None else health_text(value)


def _format_amount(facts: Facts, symbol: str, units: int) -> str:
    return f"{decimal(units, facts.decimals[symbol], _DIGITS)} {symbol}"


def _format_skipped(one: LeftAlone) -> Text:
    reason = "NO REASON GIVEN" if one.reason is None else reason_words(one.reason, one.detail)
    return Text(f"health {_format_health(one.health)}  {reason}")


def _format_verdict(check: Check) -> Text:
    mark, style = ("✓", "green") if check.held else ("✖", "bold red")
    return Text(f"{mark} ", style=style) + Text(check.detail)
