"""A transaction of ours waits for a block while the next account falls: the plan knows of it."""

import pytest

from keeper.chain.abi import checksum
from keeper.devnet.assets import PRICE_UNIT
from tests.chain.worlds import Keeper
from tests.support.threaded import proxied

FIRST, SECOND = "0x" + "71" * 20, "0x" + "72" * 20
DOLLARS = 1_000_000
LACKS = {"code": -32601, "message": "the method eth_simulateV1 does not exist/is not available"}


def borrowed(devnet, account, share):
    """Let an account put up a million dollars of WETH and owe a share of it (in basis points)."""
    pool, weth = devnet.aave.pool, devnet.tokens["WETH"]
    amount = DOLLARS * PRICE_UNIT * 10**18 // devnet.prices()["WETH"]
    devnet.node.rpc("anvil_setBalance", [account, hex(10**20)])
    pool.send("supply", weth.address, amount, account, 0)
    debt = DOLLARS * 10**6 * share // 10_000
    pool.send("borrow", devnet.tokens["USDC"].address, debt, 2, 0, account, sender=account)


@pytest.mark.parametrize("simulates", [True, False], ids=["simulated", "run alone"])
def test_what_waits_is_part_of_the_next_plan(aave36, tmp_path, simulates):
    """
    The second account's sale meets the pool as the first one's leaves it, and is sized for that.

    Before, it was sized and simulated as if the first one were nothing: the whole transaction
    reverted, at these sizes.
    """
    devnet, node = aave36, aave36.node
    price, held = devnet.prices()["WETH"], []
    borrowed(devnet, FIRST, 7_900)
    borrowed(devnet, SECOND, 7_830)
    devnet.set_prices({"WETH": price * 95 // 100})

    async def hold(request):
        if request["method"] == "eth_sendRawTransaction" and holding:
            held.append(request["params"][0])
            refused = {"code": -32000, "message": "txpool is full"}
            return {"jsonrpc": "2.0", "id": request["id"], "error": refused}
        if request["method"] == "eth_simulateV1" and not simulates:
            return {"jsonrpc": "2.0", "id": request["id"], "error": LACKS}
        return None

    holding = True
    with proxied(node.port) as proxy:
        proxy.hooks.append(hold)
        node.rpc("evm_setAutomine", [False])
        keeper = Keeper(tmp_path / "keeper", devnet, endpoint=proxy.ws_url)
        keeper.configure(more="max_plans_per_transaction = 1\nbump_after_blocks = 50\n")
        with keeper.running() as running:
            running.until("block")
            assert held
            devnet.set_prices({"WETH": price * 948 // 1000}, leave_pools=True)
            running.until("block", block=node.block_number())
            holding = False
            node.rpc("evm_mine")
            running.until("block", block=node.block_number())
            node.rpc("evm_mine")
            running.until("block", block=node.block_number())
            node.rpc("evm_mine")
            running.until("block", block=node.block_number())
            events = running.events
    node.rpc("evm_setAutomine", [True])

    included = [event for event in events if event["event"] == "included"]
    assert all(event["success"] for event in included)
    realised = {plan["account"]: int(plan["profit"]) for one in included for plan in one["plans"]}
    expected = {
        event["account"]: int(event["gross_profit"]["amount"])
        for event in events
        if event["event"] == "decision" and event["action"] == "liquidate"
    }
    second = checksum(SECOND)
    assert abs(realised[second] - expected[second]) * 100 <= expected[second]
