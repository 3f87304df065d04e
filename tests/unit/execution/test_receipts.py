"""What a mined transaction did, where its receipt leaves something out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.fields import LogReader
from keeper.chain.records import Receipt, SeenTransaction, merged_receipts, receipt_of
from keeper.domain.errors import RpcMalformed, RpcRefused
from keeper.domain.submission import AttemptKind, Fees
from keeper.execution.receipts import effective_gas_price, fetch_unreceipted, settle
from tests.support.scripted_submission import head
from tests.unit.execution.test_matching import ATTEMPT, LOG

BLOCK = head(10, base_fee=40)
BARE = Receipt(transaction_hash=ATTEMPT.hash, block_hash=BLOCK.hash, block_number=10)
RAW = {
    "transactionHash": ATTEMPT.hash,
    "transactionIndex": "0x3",
    "blockHash": "0x" + "cd" * 32,
    "blockNumber": "0xa",
    "status": "0x1",
    "gasUsed": "0x61a80",
    "cumulativeGasUsed": "0x989680",
    "effectiveGasPrice": "0x2a",
    "logs": [],
    "type": "0x2",
}


class Blocks:
    """A chain that has logs by block, and transactions."""

    def __init__(self, logs=(), seen=None, failure=None):
        self.logs, self.seen, self.failure = logs, seen, failure

    async def block_logs(self, wanted, block_hash):
        if self.failure:
            raise self.failure
        return [one for one in self.logs if one.address in wanted.addresses]

    async def transaction(self, transaction):
        if self.failure:
            raise self.failure
        return self.seen


def stated(**changes):
    raw = {name: value for name, value in (RAW | changes).items() if value != "absent"}
    return receipt_of(raw, ATTEMPT.hash, LogReader().logs_of)


@pytest.mark.parametrize(
    ("cap", "tip", "base_fee", "paid"),
    [(100, 2, 40, 42), (41, 2, 40, 41), (40, 2, 40, 40), (100, 0, 40, 40), (100, 2, 0, 2)],
)
def test_the_price_that_was_paid_follows_from_the_bytes_and_the_block(cap, tip, base_fee, paid):
    """The base fee of its block and the tip, as far as the ceiling leaves room."""
    assert effective_gas_price(Fees(max_fee=cap, priority_fee=tip), base_fee) == paid


@pytest.mark.slow
@given(st.integers(1, 10**12), st.data())
def test_a_price_is_between_the_base_fee_and_the_ceiling(cap, data):
    """Whatever was bid: a block has it only if its base fee is within the ceiling."""
    base_fee, tip = data.draw(st.integers(0, cap)), data.draw(st.integers(0, cap))

    assert base_fee <= effective_gas_price(Fees(max_fee=cap, priority_fee=tip), base_fee) <= cap


@pytest.mark.parametrize("value", ["absent", None])
@pytest.mark.parametrize(
    "name", ["effectiveGasPrice", "gasUsed", "status", "logs", "type", "transactionHash", "to"]
)
def test_a_receipt_may_leave_out_what_follows_from_elsewhere(name, value):
    """Older BSC, IoTeX and zkEVM nodes do, each another field."""
    whole = stated()
    found = stated(**{name: value})

    assert (found.block_hash, found.block_number) == (whole.block_hash, whole.block_number)
    assert found == whole or None in (found.gas_price, found.gas_used, found.success, found.logs)


def test_a_pre_byzantium_receipt_has_a_root_and_no_status():
    """It says nothing of the end."""
    assert stated(status="absent", root="0x" + "00" * 32).success is None


def test_the_first_transactions_gas_is_the_blocks_sum():
    """Of later ones the sum says nothing alone."""
    assert stated(gasUsed=None, transactionIndex="0x0").gas_used == 10_000_000
    assert stated(gasUsed=None).gas_used is None


def test_logs_that_cannot_be_read_are_as_none():
    """They can be asked for in another way; the rest of the receipt stands."""
    assert stated(logs=[{"address": "0x"}]).logs is None
    assert stated(logs={}).logs is None


@pytest.mark.parametrize(
    "change",
    [{"status": "0x2"}, {"gasUsed": 400}, {"effectiveGasPrice": "1"}, {"blockNumber": None}],
)
def test_what_is_stated_wrongly_is_no_receipt(change):
    """Left out is not the same as nonsense."""
    with pytest.raises(RpcMalformed):
        stated(**change)


def test_what_one_node_leaves_out_another_says():
    """And of what both say, both must say the same."""
    poor, rich = stated(effectiveGasPrice=None, logs=None), stated(status=None)

    assert merged_receipts([poor, rich]) == merged_receipts([rich, poor]) == stated()
    assert merged_receipts([stated(status="0x0"), rich]) == stated(status="0x0")
    assert merged_receipts([stated(), stated(status="0x0")]) is None
    assert merged_receipts([stated(l1Fee="0x5"), stated()]).data_fee == 5


async def test_all_that_is_left_out_is_found_where_it_can_be():
    """Price by the block, logs by the block's, the end by the logs, the gas by its limit."""
    found = await settle(Blocks([LOG]), BARE, ATTEMPT, BLOCK)

    assert (found.gas_price, found.gas_used, found.success) == (42, ATTEMPT.gas_limit, True)
    assert found.logs == (LOG,)


async def test_what_is_stated_counts_before_what_follows():
    """Only what is missing is derived."""
    receipt = replace(BARE, success=False, gas_used=7, gas_price=41, logs=())
    found = await settle(Blocks([LOG]), receipt, ATTEMPT, BLOCK)

    assert (found.gas_price, found.gas_used, found.success, found.logs) == (41, 7, False, ())


@pytest.mark.parametrize(
    ("changes", "receipt", "success"),
    [
        ({}, {"logs": ()}, False),
        ({}, {"logs": (LOG,)}, True),
        ({"kind": AttemptKind.CANCEL}, {}, True),
        ({}, {"logs": (), "gas_used": 500_000}, False),
        ({"to": None}, {"logs": (), "gas_used": 500_000}, False),
        ({"to": None}, {"logs": (LOG,)}, True),
    ],
)
async def test_an_end_that_is_not_stated_follows_from_what_was_logged(changes, receipt, success):
    """Our contracts log what they do, or undo all of it."""
    attempt = replace(ATTEMPT, **changes)
    found = await settle(Blocks(), replace(BARE, **receipt), attempt, BLOCK)

    assert found.success is success


async def test_an_end_that_nobody_knows_is_not_made_up():
    """A contract may have been made, or not: nothing shows it."""
    deployment = replace(ATTEMPT, to=None)
    with pytest.raises(RpcMalformed, match="no node says how"):
        await settle(Blocks(), replace(BARE, gas_used=1), deployment, BLOCK)


async def test_logs_that_cannot_be_asked_for_now_are_asked_for_again():
    """The end would be taken for a failure, and booked as one."""
    with pytest.raises(RpcRefused):
        await settle(Blocks(failure=RpcRefused("busy")), BARE, ATTEMPT, BLOCK)


async def test_other_transactions_logs_are_not_ours():
    """A block has many of one contract."""
    other = replace(LOG, transaction_hash="0x" + "12" * 32)
    found = await settle(Blocks([other, LOG]), replace(BARE, success=True), ATTEMPT, BLOCK)

    assert found.logs == (LOG,)


async def test_a_block_that_has_the_transaction_stands_in_for_a_receipt():
    """Where no receipt can be read it shows at least that the nonce is ours."""
    seen = SeenTransaction(
        hash=ATTEMPT.hash, sender="0x" + "11" * 20, nonce=3, block_number=10, block_hash=BLOCK.hash
    )
    found = await fetch_unreceipted(Blocks(seen=seen), ATTEMPT)

    assert found == replace(BARE, sender=seen.sender, to=ATTEMPT.to)
    assert await fetch_unreceipted(Blocks(seen=replace(seen, block_hash=None)), ATTEMPT) is None
    assert await fetch_unreceipted(Blocks(), ATTEMPT) is None
    assert await fetch_unreceipted(Blocks(failure=RpcRefused("no")), ATTEMPT) is None
    assert await fetch_unreceipted(object(), ATTEMPT) is None
