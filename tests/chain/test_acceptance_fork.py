"""The keeper on a fork, unchanged; the chain under it does not notice."""

import json

from keeper.devnet import local
from keeper.devnet.node import Node
from tests.chain.worlds import Keeper, driven, liquidation_logs, planned_steps, plans_of


def state(node, up):
    """Return what a run would change: the newest block, the hot key's money and its nonce."""
    return (
        node.rpc("eth_getBlockByNumber", ["latest", False])["hash"],
        [node.balance(up[who]) for who in ("hot", "receiver", "owner")],
        node.rpc("eth_getTransactionCount", [up["hot"], "latest"]),
    )


def test_the_fork_is_liquidated_and_the_base_left_alone(tmp_path):
    """`devnet up --fork`, prices fall there, and the settings that it wrote are run as they are."""
    folder = tmp_path / "devnet"
    up = local.up(local.UpOptions(folder=folder, borrowers=16, fork=True))
    try:
        base = Node(int(up["base_rpc"]["http"].rpartition(":")[2]))
        before = state(base, up)
        devnet = local.attach(folder)
        devnet.set_prices({"WETH": 2_600 * 10**8, "LINK": 10 * 10**8})
        fell = devnet.node.block_number()
        keeper = Keeper(folder, devnet)  # its keeper.toml is the devnet's own

        events = driven(keeper, 2)

        planned = planned_steps(events)
        assert len(planned) >= 4
        assert len(liquidation_logs(devnet, fell)) == len(planned) == len(plans_of(events))
        assert [one["failure"] for one in plans_of(events) if one["failure"]] == []
        assert state(base, up) == before
        assert json.loads((folder / "state.json").read_text())["nodes"][0]["port"] == base.port
        devnet.node.close()
        base.close()
    finally:
        local.down(folder)
