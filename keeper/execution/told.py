"""Event payloads for attempts, inclusions and breaker changes."""

from keeper.domain.head import Head
from keeper.domain.submission import Attempt, Inclusion, Submission
from keeper.domain.units import WAD, MarketKey
from keeper.execution.sending import Answer

Event = dict[str, object]


def attempt_event(submission: Submission, attempt: Attempt, answer: Answer, head: Head) -> Event:
    """Build the event of a sent attempt with the node's answer."""
    batch = submission.batch
    return {
        "event": "attempt",
        "kind": str(attempt.kind),
        "result": str(answer),
        "hash": attempt.hash,
        "nonce": attempt.nonce,
        "max_fee_wei": str(attempt.fees.max_fee),
        "priority_fee_wei": str(attempt.fees.priority_fee),
        "gas_limit": str(attempt.gas_limit),
        "net_profit_wei": None if batch is None else str(batch.net_profit),
        "accounts": _encode_accounts(submission),
        "block_number": head.number,
        "block_hash": head.hash,
    }


def inclusion_event(name: str, submission: Submission, inclusion: Inclusion) -> Event:
    """Build the event ``included``, ``final`` or ``reopened`` of a nonce."""
    kinds = {one.hash: str(one.kind) for one in submission.attempts}
    return {
        "event": name,
        "kind": kinds.get(inclusion.hash, ""),
        "hash": inclusion.hash,
        "nonce": submission.nonce,
        "success": inclusion.success,
        "block_number": inclusion.block_number,
        "block_hash": inclusion.block_hash,
        "gas_used": str(inclusion.gas_used),
        "gas_price_wei": str(inclusion.effective_gas_price),
        "gas_cost_wei": str(inclusion.gas_cost),
        "data_fee_wei": str(inclusion.data_fee),
        "net_profit_wei": str(inclusion.net_profit),
        "net_profit_usd_e8": _compute_profit_usd_e8(submission, inclusion),
        "accounts": _encode_accounts(submission),
        "plans": [
            {
                "market": one.market,
                "account": one.account,
                "token": one.token,
                "profit": str(one.profit),
                "profit_wei": str(one.profit_wei),
                "failure": one.failure,
            }
            for one in inclusion.plans
        ],
    }


def _compute_profit_usd_e8(submission: Submission, inclusion: Inclusion) -> str | None:
    """Compute the net profit in 1e-8 dollars, rounded down, at the decision's own price."""
    plans = submission.batch.plans if submission.batch is not None else ()
    price = max((plan.native_usd_e8 for plan in plans), default=0)
    return str(inclusion.net_profit * price // WAD) if price else None


def breaker_event(name: str, state: str, detail: str, head: Head | None) -> Event:
    """Build the event of a limit that starts (``open``) or stops (``closed``) holding sends."""
    return {
        "event": "breaker",
        "name": str(name),
        "state": state,
        "detail": detail,
        "block_number": head.number if head else None,
        "block_hash": head.hash if head else None,
    }


def market_warning_event(market: MarketKey, reason: str, inclusion: Inclusion) -> Event:
    """Build the event of an isolated market in cooldown after failures on chain."""
    return {
        "event": "warning",
        "market": market,
        "reason": reason,
        "block_number": inclusion.block_number,
        "block_hash": inclusion.block_hash,
    }


def _encode_accounts(submission: Submission) -> list[Event]:
    return [{"market": market, "account": account} for market, account in submission.accounts]
