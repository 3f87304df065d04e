"""Parses fees from nodes (histories, suggested tips, tips paid in a block)."""

from collections.abc import Mapping, Sequence
from typing import Final

from keeper.chain import fields
from keeper.chain.fields import Json
from keeper.domain.errors import RpcMalformed
from keeper.domain.units import Gas, Wei

DEPOSIT: Final = "0x7e"
"""The type of transactions that an OP-stack rollup makes itself; they pay nothing."""


def base_fees_of(answer: Json, blocks: int) -> list[Wei]:
    """Parse a fee history's base fees, the next block's last. RpcMalformed if missing."""
    stated = fields.document(answer, "the fee history").get("baseFeePerGas")
    base = [Wei(fields.quantity(fee, "a base fee")) for fee in fields.sequence(stated, "base fees")]
    if not base or len(base) > blocks + 1:
        raise RpcMalformed("the fee history has another length")
    return base


def rewards_of(answer: Json, blocks: int) -> list[Wei]:
    """Parse a fee history's rewards, one a block. RpcMalformed if missing or not one a block."""
    stated = fields.document(answer, "the fee history").get("reward")
    rewards = list[Wei]()
    for block in fields.sequence(stated, "the rewards"):
        (reward,) = _check_single(fields.sequence(block, "a block's rewards"))
        rewards.append(Wei(fields.quantity(reward, "a reward")))
    if not rewards or len(rewards) > blocks:
        raise RpcMalformed("the fee history has another number of rewards")
    return rewards


def paid_tips_of(block: Mapping[str, Json], base_fee: Wei) -> list[tuple[Wei, Gas]]:
    """Return the tip and the gas limit of each transaction of a whole block.

    Transactions that lack a field are left out.
    """
    tips = list[tuple[Wei, Gas]]()
    for transaction in fields.sequence(block.get("transactions"), "the transactions"):
        stated = fields.document(transaction, "a transaction")
        if stated.get("type") == DEPOSIT:
            continue
        try:
            gas = Gas(fields.quantity(stated.get("gas"), "the gas", most=fields.UINT64_MAX))
            tips.append((tip_of(stated, base_fee), gas))
        except RpcMalformed:
            continue
    return tips


def tip_of(transaction: Mapping[str, Json], base_fee: Wei) -> Wei:
    """Return a transaction's tip per gas at a base fee. RpcMalformed if it states none."""
    if transaction.get("maxFeePerGas") is None:
        return Wei(fields.quantity(transaction.get("gasPrice"), "the gas price") - base_fee)
    most = fields.quantity(transaction.get("maxFeePerGas"), "the ceiling")
    tip = fields.quantity(transaction.get("maxPriorityFeePerGas"), "the tip")
    return Wei(min(tip, most - base_fee))


def _check_single(rewards: Sequence[Json]) -> Sequence[Json]:
    if len(rewards) != 1:
        raise RpcMalformed("the fee history has another number of percentiles")
    return rewards
