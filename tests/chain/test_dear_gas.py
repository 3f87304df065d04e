"""Gas from 5 to 600 gwei: what pays by its simulation is sent and lands, or a limit is named."""

import pytest

from tests.chain.worlds import Keeper, driven, last_decisions, planned_steps, plans_of

GWEI = 10**9
FALL = {"WETH": 2_600 * 10**8, "WBTC": 50_000 * 10**8}
ECONOMIC = {"dust", "below_min_profit", "gas_too_expensive", "exit_too_shallow"}


@pytest.mark.parametrize("gwei", [5, 50, 150, 200, 290, 600])
def test_what_its_simulation_nets_is_sent_and_lands(aave36, tmp_path, gwei):
    """
    With the default limits: nobody is left for want of a fee, for reckoning, or for a gas limit.

    docs/transactions.md has what lands at each price, and what did before.
    """
    devnet, node = aave36, aave36.node
    devnet.set_prices(FALL)
    keeper = Keeper(tmp_path / "keeper", devnet)
    keeper.configure(more="max_plans_per_transaction = 4\n")
    node.rpc("anvil_setBalance", [devnet.accounts.hot, hex(10**21)])
    node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(gwei * GWEI)])
    node.rpc("evm_mine")

    events = driven(keeper, 4)

    skips = [one for one in last_decisions(events).values() if one["action"] == "skip"]
    sent = planned_steps(events)
    landed = [one for one in events if one["event"] == "included"]
    assert {one["reason"] for one in skips} <= ECONOMIC
    assert all(one["success"] for one in landed)
    assert [one["failure"] for one in plans_of(events)] == [""] * len(sent)
    assert all(int(one["net_profit_wei"]) > 0 for one in landed)
    assert sent
