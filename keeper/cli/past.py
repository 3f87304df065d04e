"""Renders the recorded history of an account as text, in chronological order."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from keeper.audit.chain import Entry
from keeper.cli.delivered import notice_text
from keeper.cli.reasons import in_words
from keeper.cli.words import decimal, ether, health_text
from keeper.domain import wording
from keeper.domain.units import Address
from keeper.domain.value import TokenPrice

Body = Mapping[str, Any]


def document(entry: Entry) -> dict[str, object]:
    """Return an entry as JSON, with its body unchanged."""
    return {
        "entry": entry.id,
        "kind": entry.kind,
        "block_number": entry.block_number,
        "block_time": entry.block_time,
        "body": json.loads(entry.body),
    }


def lines(
    entries: Sequence[Entry], tokens: Mapping[Address, TokenPrice] | None = None
) -> Iterator[str]:
    """Yield one line per entry, with time, event, reason and entry number.

    ``tokens`` are those of the market. Amounts of other tokens are shown in token units.
    """
    for one in entries:
        body = _add_token(json.loads(one.body), tokens or {})
        worded = _WORDED.get(one.kind, _format_other)
        yield f"    {_format_when(one)}  {worded(body)}  (entry {one.id})"


def _format_when(entry: Entry) -> str:
    if not entry.block_time:
        return f"block {entry.block_number}"
    return f"block {entry.block_number}, {wording.moment(entry.block_time)}"


def _format_decision(body: Body) -> str:
    net = None if body["net_profit"] is None else f"{ether(body['net_profit'])} ETH"
    health = _format_health(body.get("health_factor"))
    if body["action"] == "liquidate":
        return f"decided to liquidate{'' if net is None else f', to net {net}'}{health}"
    netted = "" if net is None else f"; it would have netted {net}"
    why = in_words(body["reason"])
    detail = body.get("detail")
    more = f" ({detail})" if detail and detail != why else ""
    return f"left alone, {body['reason']}: {why}{more}{netted}{health}"


def _format_episode(body: Body) -> str:
    guarded = body.get("guarded_health_factor")
    also = "" if guarded is None else f", {health_text(int(guarded))} with the spike guard"
    health = _format_health(body.get("health_factor")) + also
    if body["change"] == "opened":
        return f"episode {body['episode']} begins{health}"
    if body["change"] == "closed":
        outcome = body.get("outcome", "over")
        return f"episode {body['episode']} ends: {_OUTCOMES.get(outcome, outcome)}{health}"
    return f"{body['change']} {_format_tier_change(body)}{health}"


def _format_tier_change(body: Body) -> str:
    """Return the tier that was entered, or the change of tiers."""
    if body["change"] == "entered":
        return f"{body['tier']} (from {body['before']})"
    return f"{body['before']} for {body['tier']}"


def _format_call(body: Body) -> str:
    """Format a call as due. Its delivery is another entry, or is unknown."""
    tier = f" (tier {body['tier']})" if body.get("tier") else ""
    deadline = body.get("deadline")
    until = ""
    if deadline is not None:
        until = f", the policy's waiting ends {wording.moment(int(deadline))}"
    detail = f": {body['detail']}" if body.get("detail") else ""
    health = _format_health(body.get("health_factor"))
    none = "; no channel was configured" if body.get("channels") == "0" else ""
    cure = _format_cure(body.get("cure"))
    return f"{notice_text(body['kind'])} due{tier}{health}{until}{detail}{none}{cure}"


def _format_delivery(body: Body) -> str:
    count = len(body["notices"])
    notices = f"{count} {wording.plural('notice', count)}"
    longest = max((int(one["waited"]) for one in body["notices"]), default=0)
    moment, waited = wording.moment(int(body["at"])), wording.span(longest)
    if body["result"] == "sent":
        return f"{notices} delivered to {body['channel']} at {moment}, {waited} after due"
    why = f": {body['reason']}" if body.get("reason") else ""
    return f"{notices} given up for {body['channel']} at {moment}{why}"


def _format_cure(cure: Body | None) -> str:
    if cure is None:
        return ""
    amount = decimal(int(cure["amount"]), int(cure["decimals"]))
    what = "repay" if cure["kind"] == "repay_debt" else "add"
    return f"; a cure: {what} {amount} {cure['symbol']}"


def _format_outcome(body: Body) -> str:
    if body["state"] == "reopened":
        return (
            f"the chain took the block of its transaction {body['hash']} back: what it did there"
            " does not count"
        )
    if body["state"] != "included":
        return f"its transaction {body['hash']} is {body['state']}"
    what = body.get("what", "liquidation")
    if body.get("failure") or not body["success"]:
        return f"{what} failed in {body['hash']}: {body.get('failure') or 'reverted'}"
    if what == "cure":
        return f"cured by the keeper{_format_spend(body)} in {body['hash']}"
    if what == "clearing":
        lost = ether(-int(body["profit_wei"]))
        spend = _format_spend(body)
        return f"cleared by the vault{spend} in {body['hash']}, lost {lost} ETH before gas"
    return f"liquidated in {body['hash']}, earned {ether(body['profit_wei'])} ETH before gas"


def _format_spend(body: Body) -> str:
    amount = body.get("spend")
    if amount is None:
        return ""
    known: TokenPrice | None = body.get("known")
    if known is None:
        return f" with {amount} units of {body['token']}"
    return f" with {decimal(int(amount), known.decimals)} {known.symbol}"


def _add_token(body: Body, tokens: Mapping[Address, TokenPrice]) -> Body:
    """Add the known data of the token spent to an entry's body."""
    known = tokens.get(Address(str(body.get("token"))))
    return body if known is None else {**body, "known": known}


def _format_other(body: Body) -> str:
    return " ".join(f"{name}={value}" for name, value in body.items() if value is not None)


def _format_health(value: str | None) -> str:
    return "" if value is None else f", health {health_text(int(value))}"


_OUTCOMES: Final = {"cured": "out of every tier"}
"""How an episode ended, where the record's own word says more than is known."""

_WORDED: Final[Mapping[str, Callable[[Body], str]]] = {
    "decision": _format_decision,
    "episode": _format_episode,
    "call": _format_call,
    "delivery": _format_delivery,
    "outcome": _format_outcome,
}
