"""Amounts, tiers and events in words, for people; scripts read the JSON."""

from collections.abc import Mapping
from typing import Final

from rich.text import Text

from keeper.domain.account import HEALTH_FACTOR_NO_DEBT
from keeper.domain.decision import SkipReason
from keeper.domain.units import WAD
from keeper.observe.events import Event
from keeper.risk.tiers import Tier

TIER_LOOKS: Final[Mapping[Tier, tuple[str, str]]] = {
    Tier.LIQUIDATABLE: ("✖", "bold red"),
    Tier.URGENT: ("▲", "red"),
    Tier.CALL: ("△", "yellow"),
    Tier.WATCH: ("◦", "cyan"),
    Tier.HEALTHY: ("·", "green"),
    Tier.UNPRICED: ("?", "magenta"),
}
"""A tier is a symbol, a word and a colour: no one of them alone."""

_HEALTH_DIGITS: Final = 4


def tier_text(tier: Tier) -> Text:
    """Return a tier as symbol, word and colour."""
    symbol, style = TIER_LOOKS[tier]
    return Text(f"{symbol} {tier}", style=style)


def decimal(amount: int, decimals: int, shown: int | None = None) -> str:
    """Return ``amount / 10**decimals`` exactly, or cut (not rounded) after ``shown`` digits."""
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    fraction = fraction.rstrip("0") if shown is None else fraction[:shown]
    return f"{sign}{int(whole):,}" + (f".{fraction}" if fraction else "")


def health_text(health_factor: int) -> str:
    """Return a health factor with four digits, cut downwards so that 0.99999 never reads 1."""
    if health_factor == HEALTH_FACTOR_NO_DEBT:
        return "no debt"
    return decimal(health_factor, len(str(WAD)) - 1, _HEALTH_DIGITS)


def ether(amount: object) -> str:
    """Return wei as ether with six digits."""
    return "?" if amount is None else decimal(int(str(amount)), len(str(WAD)) - 1, 6)


def event_line(event: Event) -> str:
    """Return a running node's event as one line; empty for what nobody needs to read."""
    kind, block = str(event["event"]), event.get("block_number", "")
    if kind == "decision":
        waiting = event.get("reason") == SkipReason.IN_FLIGHT
        return "" if waiting else f"block {block}  {_decision(event)}"
    if kind == "block":
        unhealthy, accounts = event["unhealthy"], event["accounts"]
        return f"block {block}  {accounts} accounts with debt, {unhealthy} liquidatable"
    if kind == "attempt":
        return (
            f"block {block}  sent {event['kind']} nonce {event['nonce']} {event['hash']}:"
            f" {event['result']}"
        )
    if kind in ("included", "final", "reopened"):
        netted = "" if event.get("net_profit_wei") is None else ether(event["net_profit_wei"])
        return f"block {block}  {kind} nonce {event['nonce']} {event['hash']}" + (
            f"  net {netted} ETH" if netted else ""
        )
    if kind == "paper":
        return (
            f"block {block}  would have netted {ether(event['net_profit_wei'])} ETH"
            f" on {event['account']}"
        )
    rest = " ".join(f"{key}={value}" for key, value in event.items() if key != "event")
    return f"{kind}  {rest}"


def _decision(event: Event) -> str:
    profit = event["net_profit_wei"]
    if event["action"] == "liquidate":
        return f"liquidate {event['account']}  net {ether(profit)} ETH by {event['funding']}"
    netted = "" if profit is None else f" (net {ether(profit)} ETH)"
    return f"skip {event['account']}  {event['reason']}{netted}: {event['detail']}"
