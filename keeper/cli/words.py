"""Renders amounts, tiers and events as text for people. Scripts read the JSON."""

from collections.abc import Callable, Mapping
from typing import Final

from rich.text import Text

from keeper.cli.delivered import notice_text
from keeper.domain import wording
from keeper.domain.account import HEALTH_FACTOR_NO_DEBT
from keeper.domain.breaker import Breaker
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


def tier_text(tier: Tier) -> Text:
    """Format a tier with symbol, word and colour."""
    symbol, style = TIER_LOOKS[tier]
    return Text(f"{symbol} {tier}", style=style)


def decimal(amount: int, decimals: int, shown: int | None = None) -> str:
    """Format ``amount / 10**decimals`` exactly, or cut (not rounded) after ``shown`` digits."""
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    fraction = fraction.rstrip("0") if shown is None else fraction[:shown]
    return f"{sign}{int(whole):,}" + (f".{fraction}" if fraction else "")


def health_text(health_factor: int) -> str:
    """Format a health factor with four digits, rounded down so that 0.99999 never reads 1."""
    if health_factor == HEALTH_FACTOR_NO_DEBT:
        return "no debt"
    return wording.health(health_factor)


def ether(amount: object) -> str:
    """Format wei as ether with six digits."""
    return "?" if amount is None else decimal(int(str(amount)), len(str(WAD)) - 1, 6)


def event_line(event: Event) -> str:
    """Format a running node's event as one line. Empty for events of no interest."""
    worded = _WORDED.get(str(event["event"]), _format_other)(event)
    block = event.get("block_number")
    return f"block {block}  {worded}" if worded and block is not None else worded


def _format_decision(event: Event) -> str:
    if event["reason"] == SkipReason.IN_FLIGHT:
        return ""
    profit = event["net_profit_wei"]
    if event["action"] == "liquidate":
        lost = event.get("bad_debt")
        bad = isinstance(lost, Mapping) and lost["amount"] != "0"
        return f"liquidate {event['account']}  net {ether(profit)} ETH by {event['funding']}" + (
            ", leaving bad debt" if bad else ""
        )
    netted = "" if profit is None else f" (net {ether(profit)} ETH)"
    return f"skip {event['account']}  {event['reason']}{netted}: {event['detail']}"


def _format_block(event: Event) -> str:
    return f"{event['accounts']} accounts with debt, {event['unhealthy']} liquidatable"


def _format_attempt(event: Event) -> str:
    return f"sent {event['kind']} nonce {event['nonce']} {event['hash']}: {event['result']}"


def _format_receipt(event: Event) -> str:
    netted = event.get("net_profit_wei")
    earned = "" if netted is None else f"  net {ether(netted)} ETH"
    return f"{event['event']} nonce {event['nonce']} {event['hash']}{earned}"


def _format_breaker(event: Event) -> str:
    name, state = event["name"], event["state"]
    by_hand = state == "open" and name in {Breaker.PAUSED, Breaker.FINALITY}
    hint = f"; nothing new is sent until `keeper breaker reset {name}`" if by_hand else ""
    return f"breaker {name} {state}: {event['detail']}{hint}"


def _format_finality(event: Event) -> str:
    held = "; nothing is signed" if event["held"] else ""
    return f"finality {str(event['state']).replace('_', ' ')}: {event['detail']}{held}"


def _format_coverage(event: Event) -> str:
    if event["state"] == "covered":
        return f"{event['market']}: the known accounts' debts add up to the contracts' totals again"
    return f"{event['market']}: {event['detail']}; {event['hint']}"


def _format_logs(event: Event) -> str:
    if event["state"] == "explained":
        return f"{event['market']}: the logs explain block {event['first_block']} by now"
    return f"{event['market']}: {event['detail']}; its logs are searched for again"


def _format_margin_call(event: Event) -> str:
    subject = " ".join(str(one) for one in (event["account"], event["tier"]) if one)
    factor = event["health_factor"]
    health = "" if factor is None else f", health {health_text(int(str(factor)))}"
    facts = [f"{notice_text(str(event['kind']))} due", f"{subject}{health}", str(event["detail"])]
    return ": ".join(one for one in facts if one)


def _format_cure(event: Event) -> str:
    whom = f"{event['account']} ({event['tier']})"
    if event["action"] == "skip":
        return f"no cure for {whom}  {event['reason']}: {event['detail']}"
    verb = "add" if event["kind"] == "add_collateral" else "repay"
    target = health_text(int(str(event["target"])))
    return (
        f"{str(event['action']).replace('_', ' ')} {whom}: {verb} {event['amount']} units of"
        f" {event['token']}, to a health of {target}"
    )


def _format_notification(event: Event) -> str:
    why = f": {event['reason']}" if event["reason"] else ""
    count = event["notices"]
    result = {"sent": "delivered", "dead": "given up"}.get(str(event["result"]), event["result"])
    told = f"{count} {wording.plural('notice', int(str(count)))} {result}"
    return f"{event['channel']}: {told}, attempt {event['attempt']}{why}"


def _format_paper(event: Event) -> str:
    return f"would have netted {ether(event['net_profit_wei'])} ETH on {event['account']}"


def _format_paper_total(event: Event) -> str:
    netted = ether(event["net_profit_wei"])
    return f"on paper so far: {event['liquidations']} liquidations, {netted} ETH net"


def _format_other(event: Event) -> str:
    rest = " ".join(
        f"{key}={value}"
        for key, value in event.items()
        if key not in ("event", "block_number", "block_hash")
    )
    return f"{event['event']}  {rest}"


_WORDED: Final[Mapping[str, Callable[[Event], str]]] = {
    "decision": _format_decision,
    "block": _format_block,
    "attempt": _format_attempt,
    "included": _format_receipt,
    "final": _format_receipt,
    "reopened": _format_receipt,
    "breaker": _format_breaker,
    "finality": _format_finality,
    "coverage": _format_coverage,
    "logs": _format_logs,
    "margin_call": _format_margin_call,
    "cure": _format_cure,
    "notification": _format_notification,
    "paper": _format_paper,
    "paper_total": _format_paper_total,
}
