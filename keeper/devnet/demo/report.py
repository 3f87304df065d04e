"""What the demo shows at its end: a table for people, a document for programs."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.text import Text

from keeper.cli.output import Cell, print_line, print_pairs, print_table
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
    """Return an address cut to its ends, for tables."""
    return f"{account[: 2 + _ENDS]}…{account[-_ENDS:]}"


def usd(amount: int) -> str:
    """Return US dollars (8 decimals) with cents, cut."""
    return f"{decimal(amount, PRICE_DECIMALS, 2)} USD"


def reason_words(reason: str, detail: str) -> str:
    """Return a skip's reason as a sentence, its amounts in ether."""
    words = REASONS.get(reason, reason.replace("_", " "))
    return f"{words} ({in_ether(detail)})" if detail else words


def in_ether(text: str) -> str:
    """Return text with its amounts of wei written in ether."""
    return _WEI.sub(lambda found: f"{decimal(int(found[1]), ETHER, 6)} ETH", text)


def print_report(facts: Facts, checks: Sequence[Check], accounts: int) -> None:
    """Print everything for people, to stdout."""
    sys.stdout.write("\n")
    print_table(COLUMNS, [_row(facts, one) for one in facts.liquidations])
    total = sum(facts.net_usd(one) for one in facts.liquidations)
    touched = {one.account for one in facts.liquidations}
    print_line(
        f"\n{len(facts.liquidations)} liquidations of {len(touched)} accounts, {usd(total)} net"
        f" of {decimal(sum(facts.receipts.values()), ETHER, 6)} ETH for gas."
    )
    left = {one.account for one in facts.left_alone}
    print_line(f"\n{len(left)} unhealthy accounts were left alone:")
    print_pairs({f"{short(one.account)}  {one.kind}": _left(one) for one in facts.left_alone})
    print_line(f"The other {accounts - len(touched | left)} accounts stayed healthy all the time.")
    print_line("\nThe books, valued at the market's prices at the end:")
    print_line(
        "  "
        + ", ".join(
            f"{symbol} {decimal(price, PRICE_DECIMALS, 2)}"
            for symbol, price in facts.prices.items()
        )
        + " USD"
    )
    print_pairs({f"  {one.name}": _verdict(one) for one in checks})


def document(
    facts: Facts, checks: Sequence[Check], told: Sequence[Told], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the same as one JSON value: amounts and health factors as decimal strings."""
    return {
        **about,
        "steps": [_plain(asdict(one)) for one in told],
        "liquidations": [
            {
                **_plain(asdict(one)),
                "blocks": one.blocks,
                "net_profit_usd_e8": str(facts.net_usd(one)),
            }
            for one in facts.liquidations
        ],
        "left_alone": [_plain(asdict(one)) for one in facts.left_alone],
        "prices_usd_e8": _plain(facts.prices),
        "books": {
            "proceeds": _plain(proceeds(facts)),
            "receiver": _plain(facts.receiver.tokens),
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


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping for JSON: amounts as text, block numbers and gas as numbers."""
    return {name: _value(name, value) for name, value in values.items()}


def _value(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return _plain(value)
    if isinstance(value, int) and name not in _COUNTS:
        return str(value)
    return value


def _row(facts: Facts, one: Liquidation) -> list[Cell]:
    net = facts.net_usd(one)
    return [
        short(one.account),
        one.kind,
        f"{_health(one.health_before)} → {_health(one.health_after)}",
        _amount(facts, one.spent_token, one.spent),
        _amount(facts, one.received_token, one.received),
        f"{one.route}, {one.funding}",
        Text(f"{'+' if net > 0 else ''}{usd(net)}", style="green" if net > 0 else "red"),
        f"{one.gas:,}",
        "?" if one.blocks is None else str(one.blocks),
    ]


def _health(value: int | None) -> str:
    return "?" if value is None else health_text(value)


def _amount(facts: Facts, symbol: str, units: int) -> str:
    return f"{decimal(units, facts.decimals[symbol], _DIGITS)} {symbol}"


def _left(one: LeftAlone) -> Text:
    reason = "NO REASON GIVEN" if one.reason is None else reason_words(one.reason, one.detail)
    return Text(f"health {_health(one.health)}  {reason}")


def _verdict(check: Check) -> Text:
    mark, style = ("✓", "green") if check.held else ("✖", "bold red")
    return Text(f"{mark} ", style=style) + Text(check.detail)
