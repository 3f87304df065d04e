"""Renders a nonce of the journal as text, with accounts, profit and state."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from keeper.cli.words import decimal, ether
from keeper.domain.submission import Attempt, AttemptKind, NonceState, Submission
from keeper.domain.wording import plural

GWEI_DIGITS: Final = 9


def state_text(one: Submission) -> str:
    """Return the state of a nonce on chain, and its result."""
    mined = one.inclusion
    if mined is None:
        return "waiting"
    kind = next((each.kind for each in one.attempts if each.hash == mined.hash), None)
    if kind is AttemptKind.CANCEL:
        return f"cancelled, {_format_depth(one)}"
    failed = sum(bool(plan.failure) for plan in mined.plans)
    if not mined.success:
        return f"reverted, {_format_depth(one)}"
    if failed:
        return f"{failed} of {len(mined.plans)} failed, {_format_depth(one)}"
    return _format_depth(one)


def accounts_text(one: Submission) -> str:
    """Return the accounts of a nonce."""
    return ", ".join(account for _, account in one.accounts) or "nobody"


def expected_text(one: Submission) -> str:
    """Return the expected net profit of its plans."""
    return "-" if one.batch is None else ether(one.batch.net_profit)


def realised_text(one: Submission) -> str:
    """Return their net profit after gas. "-" before inclusion."""
    return "-" if one.inclusion is None else ether(one.inclusion.net_profit)


def lines(one: Submission, told: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Yield all details of a nonce (plans, attempts with answers, receipts, profit)."""
    yield f"nonce {one.nonce}: {state_text(one)}"
    yield f"  expected {expected_text(one)} ETH net, realised {realised_text(one)} ETH net"
    if one.batch is not None:
        count = len(one.batch.plans)
        yield f"  {count} {plural('plan', count)} through {one.batch.executor}"
        outcomes = one.inclusion.plans if one.inclusion is not None else ()
        for index, plan in enumerate(one.batch.plans):
            became = ""
            if index < len(outcomes):
                failure = outcomes[index].failure
                earned = f"earned {ether(outcomes[index].profit_wei)} ETH before gas"
                became = f": {failure or earned}"
            yield (
                f"    {plan.account} in {plan.market}: expected {ether(plan.net_profit)} ETH"
                f" net{became}"
            )
    for attempt, sent in zip(one.attempts, told["sends"], strict=False):
        yield _format_attempt(attempt, sent)
    for receipt in told["receipts"]:
        yield _format_receipt(receipt)


def _format_attempt(one: Attempt, sent: Mapping[str, Any]) -> str:
    fee, tip = (decimal(int(fee), GWEI_DIGITS) for fee in (one.fees.max_fee, one.fees.priority_fee))
    answer = sent.get("answer")
    heard = f", answered: {answer}" if answer else ""
    return (
        f"  {one.kind} {one.hash}: {one.state}, signed at block {one.block_number},"
        f" at most {fee} gwei, tip {tip} gwei{heard}"
    )


def _format_receipt(one: Mapping[str, Any]) -> str:
    ended = "worked" if one["success"] else "reverted"
    gas = int(one["gas_used"]) * int(one["gas_price_wei"]) + int(one["data_fee_wei"])
    return (
        f"  {one['state']} in block {one['block_number']}: {one['hash']} {ended},"
        f" {one['gas_used']} gas for {ether(gas)} ETH"
    )


def _format_depth(one: Submission) -> str:
    return "final" if one.state is NonceState.FINAL else "included, not final yet"
