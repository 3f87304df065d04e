"""Faults around nonces and fees on a real node: F17, F19, F20, F21, F37."""

import contextlib
import sqlite3

import pytest
from eth_account import Account

from keeper.domain.errors import ForeignKeyUse, NotBroadcast
from keeper.domain.submission import AttemptKind
from keeper.execution.signer import LocalSigner
from tests.chain.submission_world import CHAIN_ID, KEY, far, node, place

__all__ = ["node", "place"]

PROFIT = 10**17
"""What a plan of these tests earns, in wei."""


def base_fee(place):
    newest = place.node.rpc("eth_getBlockByNumber", ["latest", False])
    return int(newest["baseFeePerGas"], 16)


def next_base_fee(place, fee):
    place.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(fee)])


def costs(place):
    return [int(one["gas_cost_wei"]) for one in place.events if one["event"] == "included"]


def bids(place, nonce=0):
    return [one.fees.max_fee for one in place.submitter.tracker.book[nonce].attempts]


async def test_f17_ten_full_blocks_raise_the_base_fee_and_it_is_mined_all_the_same(place):
    """3.2 times in ten blocks; the pool drops it each time (F19), and it comes back dearer."""
    await place.submitter.submit([far()], await place.reader.head())
    first = base_fee(place)
    for _ in range(10):
        place.node.rpc("anvil_dropAllTransactions")
        next_base_fee(place, base_fee(place) * 9 // 8 + 1)
        await place.mined()
    attempts, last = bids(place), base_fee(place)
    await place.mined()

    assert last > 3 * first
    assert len(attempts) > 1
    assert all(bid * 550_000 <= PROFIT for bid in attempts)
    assert place.told("included") == ["included"]
    assert costs(place)[0] < PROFIT


async def test_f17_a_tenfold_base_fee_neither_stops_it_nor_takes_the_profit(place):
    """The first replacement bids for it; what it pays is still less than what is earned."""
    await place.submitter.submit([far()], await place.reader.head())
    next_base_fee(place, 10 * base_fee(place))
    await place.mined()
    waiting = place.told("included")
    for _ in range(2):
        next_base_fee(place, base_fee(place))
        await place.mined()
    next_base_fee(place, base_fee(place))
    await place.mined()

    assert waiting == []
    assert place.told("included") == ["included"]
    assert costs(place)[0] < PROFIT


async def test_f17_where_the_profit_does_not_pay_it_waits_and_no_bid_is_above_the_profit(place):
    """A thousand times the base fee: the same bytes stay, until gas is what it was."""
    await place.submitter.submit([far()], await place.reader.head())
    usual = base_fee(place)
    for _ in range(5):
        next_base_fee(place, 1_000 * usual)
        await place.mined()
    attempts = bids(place)
    for _ in range(2):
        next_base_fee(place, usual)
        await place.mined()

    assert all(bid * 550_000 <= PROFIT for bid in attempts)
    assert place.told("included") == ["included"]


async def test_f19_dropped_by_the_pool_at_each_bump_it_is_mined_in_the_end(place):
    """Every head sends the newest bytes again: the pool's memory is not relied upon."""
    await place.submitter.submit([far(0), far(1)], await place.reader.head())
    for _ in range(3):
        place.node.rpc("anvil_dropAllTransactions")
        await place.mined(2)
    await place.mined()

    assert place.told("included") == ["included", "included"]
    assert await place.reader.transaction_count(place.submitter.signer.address) == 2


async def test_f20_lost_rows_leave_no_gap(place):
    """Two of four nonces are gone from the journal and the pool: the chain gets all four."""
    await place.submitter.submit([far(at) for at in range(4)], await place.reader.head())
    place.node.rpc("anvil_dropAllTransactions")
    place.journal.close()
    with contextlib.closing(sqlite3.connect(place.folder / "j.sqlite")) as rows:
        for table in ("attempts", "intents"):
            rows.execute(
                f"DELETE FROM {table} WHERE transaction_id IN"  # noqa: S608 (a constant)
                " (SELECT id FROM transactions WHERE nonce IN (0, 2))"
            )
        rows.execute("DELETE FROM transactions WHERE nonce IN (0, 2)")
        rows.commit()
    place.opened()
    await place.submitter.reconcile(await place.reader.head())
    await place.mined()

    kinds = {one["nonce"]: one["kind"] for one in place.events if one["event"] == "included"}
    assert kinds == {0: "cancel", 1: "send", 2: "cancel", 3: "send"}
    assert await place.reader.transaction_count(place.submitter.signer.address) == 4


def stranger(place, nonce, gwei=50):
    """Send with the key, past the keeper."""
    wanted = {
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "to": "0x00000000000000000000000000000000000000AA",
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": gwei * 10**9,
        "maxPriorityFeePerGas": gwei * 10**9,
    }
    raw = Account.from_key(KEY).sign_transaction(wanted).raw_transaction
    place.node.rpc("eth_sendRawTransaction", ["0x" + bytes(raw).hex()])


async def test_f21_another_wallet_that_mines_the_next_nonce_ends_the_signing(place):
    """The chain has one more than we ever bound."""
    await place.submitter.submit([far()], await place.reader.head())
    stranger(place, 1)
    place.node.rpc("evm_mine")

    with pytest.raises(ForeignKeyUse, match="2 transactions"):
        await place.follow()


async def test_f21_another_wallet_that_replaces_ours_is_found_out(place):
    """The nonce is consumed, and no receipt of ours is there: first nothing new, then the end."""
    await place.submitter.submit([far()], await place.reader.head())
    stranger(place, 0)
    await place.mined()

    with pytest.raises(NotBroadcast, match="nonce 0 was used"):
        await place.submitter.submit([far(1)], await place.reader.head())
    await place.mined(2)
    with pytest.raises(ForeignKeyUse, match="nonce 0"):
        await place.mined()


async def test_f37_gas_money_that_runs_out_holds_new_nonces_until_it_is_topped_up(place):
    """No loop and no higher bid; the recorded bytes are mined once there is money again."""
    own = LocalSigner(KEY, CHAIN_ID).address
    place.node.rpc("anvil_setBalance", [own, hex(10**12)])
    await place.submitter.submit([far()], await place.reader.head())
    for _ in range(3):
        await place.mined()
        with pytest.raises(NotBroadcast, match="top it up"):
            await place.submitter.submit([far(1)], await place.reader.head())
    sends = place.proxy.counts["eth_sendRawTransaction"]
    place.node.rpc("anvil_setBalance", [own, hex(10**18)])
    await place.follow()
    await place.mined()

    assert sends == 1 + 3
    assert place.told("included") == ["included"]
    kinds = [one["kind"] for one in place.events if one["event"] == "attempt"]
    assert kinds == [str(AttemptKind.SEND)]


LEFT_OUT = ("effectiveGasPrice", "status", "logs", "type", "from")


@pytest.mark.parametrize("name", [*LEFT_OUT, "gasUsed", "all of them"])
async def test_a_receipt_of_an_older_node_is_booked_as_what_it_was(place, name):
    """Its price follows from the bytes that were signed, to the wei; nothing waits for it."""
    names = LEFT_OUT if name == "all of them" else (name,)

    async def older(request):
        if request.get("method") != "eth_getTransactionReceipt":
            return None
        receipt = place.node.rpc("eth_getTransactionReceipt", request["params"]) or {}
        left = {key: value for key, value in receipt.items() if key not in names}
        return {"jsonrpc": "2.0", "id": request["id"], "result": left or None}

    place.proxy.hooks.append(older)
    await place.submitter.submit([far()], await place.reader.head())
    sent = place.submitter.tracker.book[0].newest
    await place.mined()

    receipt = place.node.rpc("eth_getTransactionReceipt", [sent.hash])
    booked = place.submitter.tracker.book[0].inclusion
    assert booked.effective_gas_price == int(receipt["effectiveGasPrice"], 16)
    assert booked.gas_used == int(receipt["gasUsed"], 16)
    assert place.told("included") == ["included"]


async def test_a_node_without_receipts_ends_no_nonce_and_holds_no_send(place):
    """The transaction is in a block of the chain, so nobody else used the nonce."""

    async def without(request):
        if request.get("method") != "eth_getTransactionReceipt":
            return None
        error = {"code": -32601, "message": "the method does not exist/is not available"}
        return {"jsonrpc": "2.0", "id": request["id"], "error": error}

    place.proxy.hooks.append(without)
    await place.submitter.submit([far()], await place.reader.head())
    await place.mined()
    await place.submitter.submit([far(1)], await place.reader.head())
    for _ in range(4):
        await place.mined()

    assert [one["nonce"] for one in place.events if one["event"] == "included"] == [0, 1]
    assert place.submitter.in_flight() == frozenset()
