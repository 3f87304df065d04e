"""Amounts that mined transactions paid, to the receiver, to the builder and as tips. Pure.

Sources: ``Proceeds._distribute`` and ``_payBuilder`` of the executor, WETH9's events.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keeper.audit.earnings import Deal, shared
from keeper.chain.abi import address_at, topic, word
from keeper.chain.records import Receipt
from keeper.domain.errors import RpcMalformed
from keeper.domain.plan import Batch
from keeper.domain.reads import Log
from keeper.domain.submission import Inclusion, Submission
from keeper.domain.units import Address, BlockHash, Gas, Wei
from keeper.execution.executor import LIQUIDATED_TOPIC, STEP_FAILED_TOPIC
from keeper.execution.results import plan_outcomes

TRANSFER_TOPIC: Final = topic("Transfer(address,address,uint256)")
WITHDRAWAL_TOPIC: Final = topic("Withdrawal(address,uint256)")
DEPOSIT_TOPIC: Final = topic("Deposit(address,uint256)")
_TRANSFER_TOPICS: Final = 3
_WRAP_TOPICS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A receipt and its block's base fee, both from the node."""

    receipt: Receipt
    base_fee: Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReceiptFigures:
    """Complete figures of a receipt."""

    success: bool
    gas_used: Gas
    gas_price: Wei
    logs: Sequence[Log]
    data_fee: Wei
    block_hash: BlockHash


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Settlement of a mined transaction by its receipt.

    ``deals`` are the journal's with bids and tips. ``received`` has the receiver's amounts by the
    tokens' own logs. ``differences`` lists deviations of the journal.
    """

    deals: Sequence[Deal]
    received: Mapping[Address, int] = field(default_factory=dict)
    differences: Sequence[str] = ()


def settled(one: Submission, deals: Sequence[Deal], seen: Seen, wrapped: Address | None) -> Settled:
    """Settle a nonce's deals by its receipt.

    ``wrapped`` is the wrapped coin that the executor pays builders from. None if it could not be
    read.

    Raises:
        RpcMalformed: a log of the executor (or of the vault) has an unknown form.
    """
    mined = one.inclusion
    stated = _fill_figures(seen.receipt, mined)
    tip = max(0, stated.gas_price - seen.base_fee) * stated.gas_used
    tips = shared([deal.gas_wei for deal in deals], tip)
    marked = [replace(deal, tip_wei=Wei(part)) for deal, part in zip(deals, tips, strict=True)]
    differences = [] if mined is None else list(_list_differences(one, stated))
    if one.batch is None or not stated.success or len(marked) != len(one.batch.plans):
        return Settled(
            deals=[replace(deal, bid_wei=Wei(0)) for deal in marked], differences=differences
        )
    received, bids = Counter[Address](), dict[int, int]()
    for index, logs in _split_steps(stated.logs, one.batch.executor):
        received.update(_sum_received(logs, one.batch, index))
        bids[index] = _compute_builder_bid(logs, one.batch.executor, wrapped)
    from_vault = any(plan.is_cure or plan.is_clearance for plan in one.batch.plans)
    known = wrapped is not None or from_vault
    return Settled(
        deals=[
            replace(deal, bid_wei=Wei(bids.get(index, 0)) if known else None)
            for index, deal in enumerate(marked)
        ],
        received=dict(received),
        differences=differences,
    )


def _fill_figures(receipt: Receipt, mined: Inclusion | None) -> _ReceiptFigures:
    """Return a receipt's figures, completed from the journal."""
    success, gas, price = receipt.success, receipt.gas_used, receipt.gas_price
    if mined is not None:
        success = mined.success if success is None else success
        gas = mined.gas_used if gas is None else gas
        price = mined.effective_gas_price if price is None else price
    return _ReceiptFigures(
        success=bool(success),
        gas_used=gas or Gas(0),
        gas_price=price or Wei(0),
        logs=receipt.logs or (),
        data_fee=receipt.data_fee,
        block_hash=receipt.block_hash,
    )


def _list_differences(one: Submission, receipt: _ReceiptFigures) -> Iterator[str]:
    """Yield the journal's deviations from a nonce's receipt."""
    mined = one.inclusion
    if mined is None:
        return
    cost = receipt.gas_used * receipt.gas_price + receipt.data_fee
    pairs: list[tuple[str, object, object]] = [
        ("success", mined.success, receipt.success),
        ("block", mined.block_hash, receipt.block_hash),
        ("gas in wei", mined.gas_cost, cost),
    ]
    if one.batch is not None and mined.plans and receipt.success:
        outcomes = plan_outcomes(one.batch, receipt.logs)
        for plan, booked, logged in zip(one.batch.plans, mined.plans, outcomes, strict=True):
            pairs += [
                (f"profit on {plan.account}", booked.profit, logged.profit),
                (f"whether {plan.account} worked", not booked.failure, not logged.failure),
            ]
    for what, ours, theirs in pairs:
        if ours != theirs:
            yield f"{mined.hash}: {what} is {ours} in the journal and {theirs} on the chain"


def _split_steps(logs: Sequence[Log], executor: Address) -> Iterator[tuple[int, Sequence[Log]]]:
    """Yield each successful step with its logs, which end with its own."""
    span = list[Log]()
    for log in logs:
        span.append(log)
        if log.address != executor or not log.topics:
            continue
        if log.topics[0] in {LIQUIDATED_TOPIC, STEP_FAILED_TOPIC}:
            if log.topics[0] == LIQUIDATED_TOPIC:
                yield word(b"".join(log.topics), 1), span
            span = []


def _sum_received(logs: Sequence[Log], batch: Batch, index: int) -> Mapping[Address, int]:
    """Sum a step's transfers to the receiver, the target of its last profit transfer."""
    plan = batch.plans[index]
    sent = [
        (log.address, move[1], move[2])
        for log in logs
        if (move := _decode_transfer(log)) is not None and move[0] == batch.executor
    ]
    if not sent or sent[-1][0] != plan.spend_token:
        return {}
    receiver, found = sent[-1][1], Counter[Address]()
    found[plan.spend_token] += sent[-1][2]
    for token, target, amount in sent[:-1]:
        if target == receiver and token == plan.receive_token:
            found[token] += amount
    return found


def _decode_transfer(log: Log) -> tuple[Address, Address, int] | None:
    """Decode a transfer's sender, receiver and amount. None for another or malformed log."""
    if len(log.topics) != _TRANSFER_TOPICS or log.topics[0] != TRANSFER_TOPIC:
        return None
    topics = b"".join(log.topics)
    try:
        return address_at(topics, 1), address_at(topics, 2), word(log.data, 0)
    except RpcMalformed:
        return None


def _compute_builder_bid(logs: Sequence[Log], executor: Address, wrapped: Address | None) -> int:
    """Compute a step's payment to the builder, unwrapped less wrapped again."""
    paid = 0
    for log in logs:
        if log.address != wrapped or len(log.topics) != _WRAP_TOPICS:
            continue
        if address_at(b"".join(log.topics), 1) != executor:
            continue
        if log.topics[0] == WITHDRAWAL_TOPIC:
            paid += word(log.data, 0)
        elif log.topics[0] == DEPOSIT_TOPIC:
            paid -= word(log.data, 0)
    return max(0, paid)
