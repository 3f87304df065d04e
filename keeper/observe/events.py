"""Events of `keeper run --json`, one JSON object each, with amounts as decimal strings."""

from collections.abc import Sequence

from keeper.domain.coverage import CoverageNews
from keeper.domain.cure import ClearOrder, ClearRefusal, CureOrder, CureRefusal
from keeper.domain.decision import Decision, Liquidate
from keeper.domain.figures import StretchNews
from keeper.domain.head import Head
from keeper.domain.notice import Notice
from keeper.domain.parity import ParityNews, Subject
from keeper.domain.plan import Plan
from keeper.domain.units import Wei

Event = dict[str, object]


def decision_event(decision: Decision, head: Head) -> Event:
    """Build the event of one decision at one block."""
    if isinstance(decision, Liquidate):
        return {**_build_liquidate_event(decision.plan, head), **_further(decision.further)}
    profit = decision.net_profit
    return {
        "event": "decision",
        "action": "skip",
        "reason": str(decision.reason),
        "detail": decision.detail,
        "market": decision.market,
        "account": decision.account,
        "spend": [],
        "receive": [],
        "net_profit_wei": None if profit is None else str(profit),
        **({} if decision.until is None else {"until": decision.until}),
        **_build_block_fields(head),
    }


def head_event(head: Head, *, markets: int, accounts: int, unhealthy: int) -> Event:
    """Build the event of a completely read block."""
    return {
        "event": "block",
        "markets": markets,
        "accounts": accounts,
        "unhealthy": unhealthy,
        **_build_block_fields(head),
    }


def trouble_event(kind: str, market: str, reason: object, head: Head) -> Event:
    """Build the event of a market in trouble.

    ``quarantine`` means that it cannot be read, for ``reason``. ``warning`` means that parts such
    as a price source fail, with a line for each in ``reason``. ``rebuilt`` means that its accounts
    were read again from the contracts.
    """
    told = list(reason) if isinstance(reason, tuple) else reason
    return {"event": kind, "market": market, "reason": told, **_build_block_fields(head)}


def parity_event(news: ParityNews, head: Head) -> Event:
    """Build the event of an account compared with the contracts.

    An account that ``differs`` is not acted upon until it ``agrees``. The figures are those of the
    difference.
    """
    found = news.difference
    return {
        "event": "parity",
        "state": "agrees" if news.agrees else "differs",
        "market": found.market,
        "account": found.account,
        "what": found.what,
        "ours": found.ours,
        "theirs": found.theirs,
        **_build_block_fields(head),
    }


def coverage_event(news: CoverageNews, head: Head) -> Event:
    """Build the event of debt that belongs to no account of the book.

    ``uncovered`` means more than the limit, until ``covered``.
    """
    worth = news.uncovered_usd_e8
    return {
        "event": "coverage",
        "state": "covered" if news.is_covered else "uncovered",
        "market": news.market,
        "uncovered_usd_e8": None if worth is None else str(worth),
        "detail": news.detail,
        "hint": news.hint,
        **_build_block_fields(head),
    }


def stretch_event(news: StretchNews, head: Head) -> Event:
    """Build the event of blocks with a change that no log explains.

    ``unexplained`` blocks have their logs fetched again until they are ``explained``.
    """
    return {
        "event": "logs",
        "state": "explained" if news.is_explained else "unexplained",
        "market": news.market,
        "first_block": news.first,
        "detail": news.detail,
        **_build_block_fields(head),
    }


def cure_event(
    head: Head,
    subject: Subject,
    tier: str,
    found: CureOrder | CureRefusal,
    *,
    action: str = "cure",
    gas_cost: Wei | None = None,
) -> Event:
    """Build the event of a listed account that reached its tier, with the cure or its refusal."""
    market, account = subject
    told: Event = {"event": "cure", "market": market, "account": account, "tier": tier}
    if isinstance(found, CureRefusal):
        return {
            **told,
            "action": "skip",
            "reason": str(found.reason),
            "detail": found.detail,
            **_build_block_fields(head),
        }
    cure = found.cure
    return {
        **told,
        "action": action,
        "episode": found.episode,
        "kind": str(cure.kind),
        "token": cure.token,
        "amount": str(cure.amount),
        "value": str(cure.value),
        "target": str(found.target),
        "gas_cost_wei": None if gas_cost is None else str(gas_cost),
        **_build_block_fields(head),
    }


def clear_event(
    head: Head,
    order: ClearOrder,
    action: str,
    *,
    refusal: ClearRefusal | None = None,
    cost: Wei | None = None,
) -> Event:
    """Build the event of a clearance by the vault, or of its refusal."""
    told: Event = {
        "event": "clear",
        "action": action,
        "market": order.market,
        "account": order.account,
        "token": order.token,
        "amount": str(order.amount),
        "collateral": order.collateral,
    }
    if refusal is not None:
        told |= {"reason": str(refusal.reason), "detail": refusal.detail}
    if cost is not None:
        told["cost_wei"] = str(cost)
    return {**told, **_build_block_fields(head)}


def _further(plans: Sequence[Plan]) -> Event:
    """Build the fields of an account's further rounds. Empty without any."""
    if not plans:
        return {}
    return {
        "further_rounds": [
            {
                "health_factor": str(plan.health_factor),
                "spend": {"token": plan.spend_token, "amount": str(plan.spend)},
                "receive": {"token": plan.receive_token, "amount": str(plan.receive)},
                "route": list(plan.route.pools),
                "funding": plan.funding.name,
                "gross_profit": {"token": plan.spend_token, "amount": str(plan.gross_profit)},
                "net_profit_wei": str(plan.net_profit),
            }
            for plan in plans
        ]
    }


def _build_liquidate_event(plan: Plan, head: Head) -> Event:
    return {
        "event": "decision",
        "action": "liquidate",
        "reason": "profitable",
        "market": plan.market,
        "account": plan.account,
        "health_factor": str(plan.health_factor),
        "spend": [{"token": plan.spend_token, "amount": str(plan.spend)}],
        "receive": [{"token": plan.receive_token, "amount": str(plan.receive)}],
        "route": list(plan.route.pools),
        "funding": plan.funding.name,
        "gross_profit": {"token": plan.spend_token, "amount": str(plan.gross_profit)},
        "net_profit_wei": str(plan.net_profit),
        "bad_debt": {"token": plan.spend_token, "amount": str(plan.bad_debt)},
        **_build_block_fields(head),
    }


def _build_block_fields(head: Head) -> Event:
    return {"block_number": head.number, "block_hash": head.hash}


def margin_event(notice: Notice) -> Event:
    """Build the event of a margin call, of its end, or of an alarm.

    The notice is due then. Its acceptance by a channel is a ``notification`` event.
    """
    return {
        "event": "margin_call",
        "delivery": "due",
        "kind": str(notice.kind),
        "tier": notice.tier,
        "market": notice.market,
        "account": notice.account,
        "episode": notice.episode,
        "health_factor": _to_text(notice.health_factor),
        "guarded_health_factor": _to_text(notice.guarded_health_factor),
        "deadline": notice.deadline,
        "detail": notice.detail,
        "key": notice.key,
        "block_number": notice.block_number,
        "block_hash": notice.block_hash,
    }


def _to_text(value: int | None) -> str | None:
    return None if value is None else str(value)
