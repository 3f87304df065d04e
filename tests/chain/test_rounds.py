"""One account, several liquidations that pay: one transaction, one block, as it was predicted."""

import json

import pytest

from keeper.chain.abi import checksum
from keeper.devnet import local
from keeper.devnet.assets import BY_SYMBOL, PRICE_UNIT, Asset
from keeper.devnet.morpho import enter_markets
from keeper.devnet.morpho_markets import MorphoBorrower
from tests.chain.morpho_world import LIQUIDATE
from tests.chain.worlds import Keeper, decisions, driven, liquidation_logs, plans_of
from tests.chain.worlds_unseen import Unseen, listed, open_pool, submit_prices

DEEP = Asset(
    symbol="DEEP", decimals=12, price=20 * PRICE_UNIT, ltv=7_000, threshold=7_200, bonus=10_800
)
MANY, ONE = checksum("0x" + "81" * 20), checksum("0x" + "82" * 20)
FALLEN = 1_530 * PRICE_UNIT // 100
DOLLARS = 100_000 * PRICE_UNIT
SHARES = {MANY: {"USDC": 2_300, "USDT": 2_300, "DAI": 2_300}, ONE: {"USDC": 6_900, "DAI": 2}}
"""What each owes, in basis points of its collateral at first; the last debt pays no gas."""


@pytest.fixture
def world(devnet):
    """Two borrowers against one token whose price falls; what they owe is the difference."""
    tokens, feeds = listed(devnet, [DEEP])
    pool, node = devnet.aave.pool, devnet.node
    for account, shares in SHARES.items():
        node.rpc("anvil_setBalance", [account, hex(10**18)])
        pool.send("supply", tokens["DEEP"].address, DEEP.units_worth(DOLLARS), account, 0)
        for symbol, share in shares.items():
            amount = BY_SYMBOL[symbol].units_worth(DOLLARS * share // 10_000)
            token = devnet.tokens[symbol].address
            pool.send("borrow", token, amount, 2, 0, account, sender=account)
    unseen = Unseen(
        devnet=devnet,
        assets=dict(BY_SYMBOL) | {"DEEP": DEEP},
        tokens=dict(devnet.tokens) | tokens,
        feeds=dict(devnet.feeds) | feeds,
        accounts=[MANY, ONE],
    )
    submit_prices(unseen, {"DEEP": FALLEN})
    sides = {
        "DEEP": (tokens["DEEP"], FALLEN, DEEP.unit),
        "USDC": (devnet.tokens["USDC"], PRICE_UNIT, BY_SYMBOL["USDC"].unit),
    }
    open_pool(devnet, sides, 3_000, 60_000_000 * PRICE_UNIT)
    node.rpc("anvil_setBlockTimestampInterval", [1])  # the earliest landing that is planned for
    return unseen


def predicted(event):
    """What each round of a decision was to bring, in its spend token."""
    rounds = [event["gross_profit"], *(one["gross_profit"] for one in event["further_rounds"])]
    return [(one["token"], int(one["amount"])) for one in rounds]


def planned(event):
    """What each round was sized to spend and to receive at the earliest landing."""
    first = {"spend": event["spend"][0], "receive": event["receive"][0]}
    return [
        (int(one["spend"]["amount"]), int(one["receive"]["amount"]))
        for one in (first, *event["further_rounds"])
    ]


def done(logs, account):
    """What the pool says that it took and paid out, liquidation by liquidation."""
    words = [
        bytes.fromhex(one["data"][2:]) for one in logs if account[2:].lower() in one["topics"][3]
    ]
    return [(int.from_bytes(data[:32]), int.from_bytes(data[32:64])) for data in words]


def test_rounds_that_pay_are_steps_of_one_transaction(world, tmp_path):
    """
    Three debts are repaid in the next block, each for what was predicted to the unit.

    The other account's second debt is not worth its gas: it has one step.
    """
    devnet, first = world.devnet, world.devnet.node.block_number()
    keeper = Keeper(tmp_path / "keeper", devnet)
    keeper.configure()
    settings = keeper.folder / "keeper.toml"
    settings.write_text(
        settings.read_text().replace("id = 31337", "id = 31337\nblock_time_ms = 1000")
    )

    events = driven(keeper, 2)

    liquidated = {one["account"]: one for one in decisions(events, "liquidate")}
    included = [one for one in events if one["event"] == "included"]
    plans = plans_of(events)
    assert [len(one["plans"]) for one in included] == [4]
    assert [one["failure"] for one in plans] == [""] * 4
    logs = liquidation_logs(devnet, first)
    assert len(logs) == 4
    assert done(logs, MANY) == planned(liquidated[MANY])
    realised = [(one["token"], int(one["profit"])) for one in plans if one["account"] == MANY]
    assert realised == predicted(liquidated[MANY])
    assert len({token for token, _ in realised}) == 3
    assert "further_rounds" not in liquidated[ONE]

    shown = keeper.command("tx", "show", "0", "--json").document
    assert len(shown["outcomes"]) == 4
    verified = keeper.command("audit", "verify", "--json")
    assert verified.code == 0, verified.err
    again = keeper.command("replay", "--all", "--json")
    assert again.code == 0, again.out
    assert {one["same"] for one in json.loads(again.out)["decisions"]} == {True}
    told = keeper.command("explain", MANY, "--recorded", "--json")
    assert told.code == 0, told.err
    rounds = [
        one.get("further_rounds", ())
        for story in told.document["stories"]
        for one in story["decisions"]
    ]
    assert [len(one) for one in rounds] == [2]


LARGE = checksum("0x" + "83" * 20)
WETH_USDC = "WETH/USDC 860"


@pytest.fixture
def morpho(tmp_path):
    """Morpho Blue with one debtor whose collateral no route bears alone, past the line."""
    folder = tmp_path / "devnet"
    local.up(local.UpOptions(folder=folder, protocol="morpho_blue", borrowers=2))
    try:
        devnet = local.attach(folder)
        price = devnet.prices()["WETH"]
        collateral = 30_000 * 10**18
        debt = collateral * price * 10**6 // 10**26 * 855 // 1_000
        large = MorphoBorrower(address=LARGE, market=WETH_USDC, collateral=collateral, debt=debt)
        enter_markets(devnet.morpho, [large], devnet.tokens)
        devnet.set_prices({"WETH": price * 86 // 100})
        devnet.node.rpc("anvil_setBlockTimestampInterval", [1])
        yield devnet
        devnet.node.close()
    finally:
        local.down(folder)


def test_morpho_sells_the_next_part_through_the_next_route(morpho, tmp_path):
    """What is left of a position is exact to the unit, and so is what each part brings."""
    keeper, first = Keeper(tmp_path / "devnet", morpho), morpho.node.block_number()
    settings = keeper.folder / "keeper.toml"
    settings.write_text(settings.read_text().replace("[chain]", "[chain]\nblock_time_ms = 1000"))

    events = driven(keeper, 1)

    told = {one["account"]: one for one in decisions(events, "liquidate")}[LARGE]
    included = [one for one in events if one["event"] == "included"]
    plans = [one for one in plans_of(events) if one["account"] == LARGE]
    assert len(included) == 1
    assert len(plans) >= 2
    assert [one["failure"] for one in plans] == [""] * len(plans)
    assert [(one["token"], int(one["profit"])) for one in plans] == predicted(told)
    wanted = {
        "address": morpho.morpho.contract.address,
        "fromBlock": hex(first),
        "topics": ["0x" + LIQUIDATE.hex()],
    }
    logs = morpho.node.rpc("eth_getLogs", [wanted])
    words = [
        bytes.fromhex(one["data"][2:]) for one in logs if LARGE[2:].lower() in one["topics"][3]
    ]
    seized = [(int.from_bytes(one[:32]), int.from_bytes(one[64:96])) for one in words]
    assert seized == planned(told)
    assert len({tuple(one["route"]) for one in (told, *told["further_rounds"])}) == len(plans)
