"""A rival whose transaction tips more, in the mempool before the block: who comes first in it."""

import contextlib
import queue

import pytest

from keeper.chain.abi import checksum
from keeper.devnet.assets import PRICE_UNIT
from tests.chain.worlds import Keeper

WHALE, RIVAL = "0x" + "77" * 20, "0x" + "66" * 20
GWEI = 10**9


@pytest.mark.parametrize(("share", "first"), [(2_500, "keeper"), (0, "rival")])
def test_a_rival_in_the_mempool_is_outbid_before_the_block(aave36, tmp_path, share, first):
    """
    The same account, five gwei after ours was sent: with a share for races it is ours.

    Without one the rival is mined first, and what it costs us is a reverted transaction.
    """
    devnet, node = aave36, aave36.node
    pool, weth, usdc = devnet.aave.pool, devnet.tokens["WETH"], devnet.tokens["USDC"]
    price = devnet.prices()["WETH"]
    amount = 100_000 * PRICE_UNIT * 10**18 // price
    for who in (WHALE, RIVAL):
        node.rpc("anvil_setBalance", [who, hex(10**20)])
    pool.send("supply", weth.address, amount, WHALE, 0)
    pool.send("borrow", usdc.address, 79_000 * 10**6, 2, 0, WHALE, sender=WHALE)
    usdc.send("transfer", RIVAL, 90_000 * 10**6)
    usdc.send("approve", pool.address, 2**255, sender=RIVAL)
    devnet.set_prices({"WETH": price * 95 // 100})
    node.rpc("evm_setAutomine", [False])
    keeper = Keeper(tmp_path / "keeper", devnet)
    keeper.configure(more=f"max_plans_per_transaction = 1\nrace_bid_bps = {share}\n")
    liquidation = (weth.address, usdc.address, WHALE, 2**256 - 1, False)
    with keeper.running() as running:
        running.until("block")
        made = pool.transaction("liquidationCall", *liquidation, sender=RIVAL).as_json()
        # The local node orders by the ceiling: the rival's, too, is twice the base fee and the tip.
        base_fee = int(node.rpc("eth_getBlockByNumber", ["latest", False])["baseFeePerGas"], 16)
        ceiling = 2 * base_fee + 5 * GWEI
        fees = {"maxFeePerGas": hex(ceiling), "maxPriorityFeePerGas": hex(5 * GWEI)}
        rival = node.rpc("eth_sendTransaction", [{**made, **fees, "gas": hex(1_500_000)}])
        bumped = []
        with contextlib.suppress(queue.Empty):
            while event := running.next(seconds=5):
                bumped += [event] if event.get("kind") == "bump" else []
        node.rpc("evm_mine")
        running.until("block", block=node.block_number())
        node.rpc("evm_mine")
        running.until("block", block=node.block_number())
        events = running.events
    node.rpc("evm_setAutomine", [True])

    (ours,) = [
        plan
        for event in events
        if event["event"] == "included"
        for plan in event["plans"]
        if plan["account"] == checksum(WHALE)
    ]
    theirs = int(node.rpc("eth_getTransactionReceipt", [rival])["status"], 16)
    assert bool(bumped) == (first == "keeper")
    assert (ours["failure"] == "", theirs) == ((True, 0) if first == "keeper" else (False, 1))
