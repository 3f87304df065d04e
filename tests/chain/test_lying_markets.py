"""Markets of strangers that lie to simulations, beside honest accounts."""

import contextlib
from collections import Counter

from keeper.devnet import local
from tests.chain.lying_world import LyingWorld, Tell
from tests.chain.worlds import Keeper, account_data, last_decisions

WAD = 10**18
PROPOSER, OTHER_PROPOSER = "0x" + "a0" * 20, "0x" + "b0" * 20
"""Who makes the blocks that the keeper decides at, and who makes those that it lands in."""
ROUNDS = 4


@contextlib.contextmanager
def lying_world(folder):
    local.up(local.UpOptions(folder=folder, protocol="both", borrowers=6))
    try:
        devnet = local.attach(folder)
        try:
            yield LyingWorld(devnet), Keeper(folder, devnet)
        finally:
            devnet.node.close()
    finally:
        local.down(folder)


def mine(node, maker):
    node.rpc("anvil_setCoinbase", [maker])
    node.rpc("evm_mine")


def fall(world, running, transactions):
    """Let honest prices and these fall in one block, and let the keeper decide at it."""
    node = world.devnet.node
    node.rpc("anvil_setCoinbase", [PROPOSER])
    node.send_all([*world.fall_of("WETH", 2_600), *transactions])
    node.rpc("evm_setAutomine", [False])
    running.until("block", block=node.block_number())


def decided_and_landed(node, running, rounds):
    """Let it land where the lies do not work, and decide at heads where they do."""
    for _ in range(rounds):
        for maker in (OTHER_PROPOSER, PROPOSER):
            mine(node, maker)
            running.until("block", block=node.block_number())


def failures(events):
    """Count the failed plans of each market, by the end of its id."""
    return Counter(
        plan["market"][-64:]
        for event in events
        if event["event"] == "included"
        for plan in event["plans"]
        if plan["failure"]
    )


def unhealthy(devnet):
    accounts = [one.address for one in devnet.borrowers]
    data = account_data(devnet, accounts, devnet.node.block_number())
    return {account for account, words in data.items() if words[5] < WAD}


def lie_by_proposer(world, market, how):
    """Return what makes a market look liquidatable in the blocks of one proposer only."""
    proposer = int(PROPOSER, 16)
    if how.endswith("answers") or how == "burns":
        return world.lie(market, Tell.COINBASE, proposer, burns=how == "burns")
    token = market.token
    return [
        token.transaction("restrict", 50 * WAD if how == "above" else 0, how == "skims"),
        token.transaction("lie", int(Tell.COINBASE), proposer),
        *world.fall(market),
    ]


def test_six_lying_markets_at_once_cost_one_revert_each_and_nothing_else(tmp_path):
    """
    Their simulations cannot show what they do; each of them is tried once.

    The honest accounts of the same block are liquidated in the next one. No breaker opens, and
    what was put aside is said and stays so after a restart, until it has paid its time.
    """
    hows = ("answers", "other answers", "burns", "reverts", "above", "skims")
    with lying_world(tmp_path / "devnet") as (world, keeper):
        node = world.devnet.node
        markets = {how: world.add_market(how) for how in hows}
        with keeper.running() as running:
            running.until("block")
            lies = [lie_by_proposer(world, market, how) for how, market in markets.items()]
            fall(world, running, [one for lie in lies for one in lie])
            before = unhealthy(world.devnet)
            decided_and_landed(node, running, 1)
            first = list(running.events)
            after = unhealthy(world.devnet)
            decided_and_landed(node, running, ROUNDS)
            events = list(running.events)
        with keeper.running() as running:
            running.until("block")
            decided_and_landed(node, running, ROUNDS)
            again = list(running.events)
        breakers = keeper.command("breaker", "list").out

    ids = {market.id[-64:] for market in markets.values()}
    dust = {who for who, one in last_decisions(first).items() if one["action"] == "skip"}
    assert before
    assert after <= dust
    assert failures(first) == dict.fromkeys(ids, 1)
    assert failures(events) == failures(first)
    assert failures(again) == {}
    warned = {one["market"][-64:] for one in events if one["event"] == "warning"}
    assert warned == ids
    assert [one for one in (*events, *again) if one["event"] == "breaker"] == []
    assert "open" not in breakers
    reasons = {one["market"][-64:]: one["reason"] for one in again if one["event"] == "decision"}
    assert {reasons[market] for market in ids} == {"cooling_down"}


TELLS = {
    "gas price": (Tell.GAS_PRICE, lambda _: 0),
    "base fee": (Tell.BASE_FEE, lambda _: 0),
    "no origin": (Tell.ORIGIN, lambda _: 0),
    "our key": (Tell.SENDER, lambda world: int(world.devnet.accounts.hot, 16)),
    "gas left": (Tell.GAS_LEFT, lambda _: 3_000_000),
    "last hash": (Tell.LAST_HASH, lambda _: 0),
    "randomness": (Tell.RANDOMNESS, lambda _: 0),
    "height": (Tell.HEIGHT, lambda world: world.devnet.node.block_number() + 2),
    "even blocks": (Tell.EVERY_OTHER_BLOCK, lambda _: 0),
    "odd blocks": (Tell.EVERY_OTHER_BLOCK, lambda _: 1),
}
SEEN_BEFOREHAND = {"gas price", "base fee", "no origin", "our key", "gas left"}
"""What a simulation has as the chain has it: such a market is never sent to."""


def test_whatever_an_oracle_looks_at_costs_one_revert_at_most(tmp_path):
    """Ten oracles at once: what can be known beforehand costs nothing at all."""
    with lying_world(tmp_path / "devnet") as (world, keeper):
        node = world.devnet.node
        markets = {name: world.add_market(name) for name in TELLS}
        with keeper.running() as running:
            running.until("block")
            lies = [
                world.lie(markets[name], tell, hint(world)) for name, (tell, hint) in TELLS.items()
            ]
            fall(world, running, [one for lie in lies for one in lie])
            decided_and_landed(node, running, ROUNDS)
            events = list(running.events)
        left = unhealthy(world.devnet)
        dust = {who for who, one in last_decisions(events).items() if one["action"] == "skip"}

    found = failures(events)
    assert max(found.values(), default=0) <= 1
    assert {name for name, market in markets.items() if found[market.id[-64:]]} <= (
        set(TELLS) - SEEN_BEFOREHAND
    )
    assert left <= dust
    assert [one for one in events if one["event"] == "breaker"] == []


def test_a_price_that_came_back_in_the_block_is_a_race_and_no_lie(tmp_path):
    """Nobody touched the account, and no simulation finds it liquidatable any more."""
    with lying_world(tmp_path / "devnet") as (world, keeper):
        node, market = world.devnet.node, world.add_market("honest")
        with keeper.running() as running:
            running.until("block")
            node.rpc("evm_setAutomine", [False])
            node.send_all(world.fall(market))
            running.until("attempt")
            (recovery,) = world.recover(market)
            dear = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**11)}
            node.rpc("eth_sendTransaction", [{**recovery.as_json(), **dear}])
            node.rpc("evm_mine")
            running.until("included")
            node.send_all(world.fall(market))
            fell = node.block_number()
            running.until("attempt", block=fell)
            node.rpc("evm_mine")
            running.until("included", block=fell)
            events = list(running.events)

    outcomes = [plan for one in events if one["event"] == "included" for plan in one["plans"]]
    assert ["healthy" in plan["failure"] for plan in outcomes] == [True, False]
    assert outcomes[1]["failure"] == ""
    assert [one for one in events if one["event"] == "warning"] == []
