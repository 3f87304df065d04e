"""A dry run for everybody: no executor, no key, no money, and the decisions of a live keeper."""

import json

import pytest

from keeper.devnet.artifacts import Deployer
from keeper.devnet.executor import deploy_executor
from keeper.domain.head import CodeOverride
from keeper.execution.executor import ARTIFACT
from keeper.execution.made_up import OPERATOR, OWNER, Setup, overlay_of
from keeper.ports import ExecutorTargets
from tests.chain.worlds import Keeper, decisions, driven
from tests.support.threaded import proxied

FALL = {"WETH": 2_500 * 10**8, "WBTC": 50_000 * 10**8, "LINK": 7 * 10**8}
LEFT_OUT = "simulation_left_out"


@pytest.fixture
def nobody(aave36, tmp_path):
    """A keeper's folder without an executor and without a key."""
    made = Keeper(tmp_path / "nobody", aave36)
    made.key, made.executor = None, None
    made.configure()
    return made


def told(events):
    """What was decided of each account, without what a block later may be another."""
    return {
        one["account"]: (one["action"], one["reason"], one.get("spend"), one.get("receive"))
        for one in decisions(events, "liquidate") + decisions(events, "skip")
    }


def test_the_made_up_executor_is_what_a_deployment_leaves_behind(aave36):
    """Code and every word of its storage, against the constructor's own work on a chain."""
    aave, venue, node = aave36.aave, aave36.venue, aave36.node
    wrapped = aave36.tokens["WETH"].address
    deployed = deploy_executor(
        Deployer(node, aave36.accounts.admin),
        owner=OWNER,
        receiver=OWNER,
        operator=OPERATOR,
        places=(aave.pool.address, venue.factory.address, wrapped),
        operator_limits=(300, 0),
    )
    targets = ExecutorTargets(lenders=(aave.pool.address,), factories=(venue.factory.address,))

    made, operator = overlay_of(
        Setup(targets=targets, wrapped=wrapped, builder_share_bps=300), ARTIFACT
    )

    assert "0x" + made.code.hex() == node.rpc("eth_getCode", [deployed, "latest"])
    for place, value in made.storage:
        kept = node.rpc("eth_getStorageAt", [deployed, "0x" + place.hex(), "latest"])
        assert kept == "0x" + value.hex(), place.hex()
    assert {word[0] for word in made.storage} >= {(n).to_bytes(32) for n in (0, 2, 6)}
    assert operator == CodeOverride(address=OPERATOR, code=b"", balance=operator.balance)
    assert operator.balance > 0


def test_nobody_decides_what_a_live_keeper_decides_on_the_same_blocks(nobody, tmp_path):
    """Amounts, reasons and profits: what a dry run says is what a live run would do."""
    devnet = nobody.devnet
    owner = Keeper(tmp_path / "owner", devnet)
    owner.configure()
    devnet.set_prices(FALL)
    with proxied(devnet.node.port) as proxy:
        nobody.endpoint = proxy.ws_url
        nobody.configure()
        devnet.node.rpc("evm_setAutomine", [False])
        first = nobody.command("run", "--dry-run", "--once", "--json")
        assert first.code == 0, first.err
        assert proxy.counts["eth_sendRawTransaction"] == 0
    live = driven(owner, 1)
    nobody.endpoint = ""
    nobody.__post_init__()
    nobody.executor = None
    nobody.configure()
    devnet.set_prices({"LINK": 6 * 10**8, "WETH": 2_200 * 10**8, "WBTC": 45_000 * 10**8})
    devnet.node.rpc("evm_setAutomine", [False])
    second = nobody.command("run", "--dry-run", "--once", "--json")
    live_again = driven(owner, 1)

    for dry, lived in ((first.events, live), (second.events, live_again)):
        assert len(decisions(dry, "liquidate")) >= 3
        assert told(dry) == told(lived)
    assert LEFT_OUT not in first.err
    profits = [
        {one["account"]: one["net_profit_wei"] for one in decisions(events, "liquidate")}
        for events in (first.events, live)
    ]
    assert profits[0] == profits[1]


def test_a_dry_run_on_a_poor_operator_needs_no_money(aave36, tmp_path):
    """An executor of one's own whose key is empty yet: what it would do can be seen before."""
    keeper = Keeper(tmp_path / "poor", aave36)
    keeper.configure()
    aave36.node.set_balance(aave36.accounts.hot, 1)
    aave36.set_prices(FALL)

    events = driven(keeper, 1, "--dry-run")

    assert len(decisions(events, "liquidate")) >= 10


def refuses_overrides(request):
    params = request.get("params") or []
    if request["method"] == "eth_call" and len(params) > 2:
        return "too many arguments, want at most 2"
    if request["method"] == "eth_simulateV1" and "stateOverrides" in json.dumps(params):
        return "state overrides are not supported"
    return None


def ignores_overrides(request):
    params = request.get("params") or []
    if request["method"] == "eth_call" and len(params) > 2:
        del params[2:]
    for block in params[0].get("blockStateCalls", []) if request["method"][-2:] == "V1" else []:
        block.pop("stateOverrides", None)


@pytest.mark.parametrize("node", [refuses_overrides, ignores_overrides])
def test_a_node_without_state_overrides_is_done_without_and_it_is_said(nobody, node):
    """The executor's step is left out: plans are taken at their word, once said in the log."""

    async def hook(request):
        refusal = node(request)
        if refusal is None:
            return None
        error = {"code": -32602, "message": refusal}
        return {"jsonrpc": "2.0", "id": request["id"], "error": error}

    nobody.devnet.set_prices(FALL)
    with proxied(nobody.devnet.node.port) as proxy:
        proxy.hooks.append(hook)
        nobody.endpoint = proxy.ws_url
        nobody.configure()
        found = nobody.command("run", "--dry-run", "--blocks", "1", "--json")

    assert found.code == 0, found.err
    assert len(decisions(found.events, "liquidate")) >= 10
    assert found.err.count(LEFT_OUT) == 1
    assert "without the executor's step" in found.err


def test_explain_simulates_without_an_executor_too(nobody):
    """Whoever looks before deploying anything sees what the chain would do."""
    nobody.devnet.set_prices(FALL)
    account = next(iter(nobody.devnet.unhealthy()))

    found = nobody.command("explain", account)

    assert found.code == 0, found.err
    assert "verdict: liquidate" in found.out
    assert LEFT_OUT not in found.err


def test_live_still_needs_an_executor_and_says_what_does_not(nobody):
    """The hint names the run that is possible now."""
    nobody.key = Keeper(nobody.folder, nobody.devnet).key

    found = nobody.command("run", "--once")

    assert found.code == 2
    assert "a market has no executor" in found.err
    assert "--dry-run, which needs none" in found.err
