"""Both protocols under one keeper, and Morpho Blue alone, by the devnet's own settings."""

import contextlib
from collections import Counter

import pytest

from keeper.chain.abi import checksum
from keeper.devnet import local
from keeper.devnet.morpho import health_factors
from keeper.devnet.morpho_markets import BROKEN, HOSTILE
from tests.chain.morpho_world import LIQUIDATE
from tests.chain.worlds import Keeper, decisions, driven, liquidation_logs, plans_of
from tests.support.threaded import proxied

USD = 10**8
FALLEN = {"WETH": 2_600 * USD, "WBTC": 52_000 * USD, "LINK": 11 * USD}
QUIET = 3
REVERTS = 1


@contextlib.contextmanager
def devnet(folder, **options):
    """A devnet of the given options, with a keeper whose settings it wrote."""
    local.up(local.UpOptions(folder=folder, **options))
    try:
        found = local.attach(folder)
        try:
            yield found, Keeper(folder, found)
        finally:
            found.node.close()
    finally:
        local.down(folder)


def morpho_events(found, first):
    """The contract's own liquidation events since a block."""
    wanted = {
        "address": found.morpho.contract.address,
        "fromBlock": hex(first),
        "topics": ["0x" + LIQUIDATE.hex()],
    }
    return found.node.rpc("eth_getLogs", [wanted])


def events_of(events):
    """Every decision, oldest first."""
    return [one for one in events if one["event"] == "decision"]


def protocols(event):
    return {plan["market"].partition(":")[0] for plan in event["plans"]}


def test_both_protocols_are_liquidated_in_one_ranking(tmp_path):
    """Plans of both share transactions; Morpho's callback and flash loan pay where cheapest."""
    with devnet(tmp_path / "devnet", protocol="both", borrowers=44) as (found, keeper):
        before = health_factors(found.morpho)
        assert min(before.values()) >= 10**18
        found.set_prices(FALLEN)
        fell = found.node.block_number()

        events = driven(keeper, 3)

        planned = decisions(events, "liquidate")
        used = {(one["market"].partition(":")[0], one["funding"]) for one in planned}
        included = [one for one in events if one["event"] == "included"]
        assert [plan["failure"] for plan in plans_of(events) if plan["failure"]] == []
        assert any(len(protocols(one)) == 2 for one in included)
        assert ("morpho_blue", "morpho_blue_callback") in used
        assert ("aave_v3", "morpho_blue_flash_loan") in used
        done = Counter(plan["market"].partition(":")[0] for plan in plans_of(events))
        assert done["morpho_blue"] == len(morpho_events(found, fell)) >= 10
        assert done["aave_v3"] == len(liquidation_logs(found, fell)) >= 10
        ids = {name: one.id for name, one in found.morpho.markets.items()}
        reasons = {
            (one["market"][-66:], one["account"]): one["reason"] for one in events_of(events)
        }
        left = [key for key, health in health_factors(found.morpho).items() if health < 10**18]
        assert {reasons[ids[name], who] for name, who in left} <= {"exit_too_shallow"}


def test_a_failing_market_and_a_hostile_token_cost_the_others_nothing(tmp_path):
    """One oracle reverts, one token cannot be moved; everybody else is liquidated as ever."""
    with devnet(tmp_path / "devnet", protocol="morpho_blue", borrowers=44) as (found, keeper):
        broken, hostile = (found.morpho.markets[name] for name in (BROKEN, HOSTILE))
        broken.oracle.send("set", 1, REVERTS)
        hostile.oracle.send("set", 8 * 10**23, 0)
        found.morpho.blocking.send("setBlocked", True)  # noqa: FBT003 - an ABI argument
        found.set_prices(FALLEN)

        events = driven(keeper, 3)

        left = {
            name for (name, _), health in health_factors(found.morpho).items() if health < 10**18
        }
        assert left == {BROKEN, HOSTILE}
        assert [plan["failure"] for plan in plans_of(events) if plan["failure"]] == []
        assert len(plans_of(events)) >= 15
        skipped = {one["market"]: one["reason"] for one in decisions(events, "skip")}
        assert [r for market, r in skipped.items() if market.endswith(hostile.id)]
        told = [one for one in events if one["event"] == "warning"]
        assert any(broken.oracle.address in str(one) for one in told)


def of_quiet_blocks(borrowers, folder):
    with (
        devnet(folder / str(borrowers), protocol="morpho_blue", borrowers=borrowers) as (
            found,
            keeper,
        ),
        proxied(found.node.port) as proxy,
    ):
        node, counts = found.node, []
        settings = keeper.folder / "keeper.toml"
        own = f"ws://127.0.0.1:{node.port}"
        settings.write_text(settings.read_text().replace(own, proxy.ws_url))
        with keeper.running() as running:
            running.until("block")
            for _ in range(QUIET):
                proxy.reset()
                node.rpc("evm_mine")
                told = running.until("block", block=node.block_number())
                assert (told["accounts"], told["unhealthy"]) == (borrowers, 0)
                counts.append(Counter(proxy.counts))
        return counts


@pytest.mark.parametrize("borrowers", [22, 220])
def test_a_quiet_block_costs_one_query_and_one_multicall(tmp_path, borrowers):
    """Over eleven markets, however many owe; the block itself may come unasked."""
    for one in of_quiet_blocks(borrowers, tmp_path):
        one.pop("eth_getBlockByNumber", None)
        assert one == {"eth_getLogs": 1, "eth_call": 1}


def test_debt_that_is_written_off_is_told_before_and_happens(tmp_path):
    """Who is under water costs the lenders: the decision says how much, the event agrees."""
    with devnet(tmp_path / "devnet", protocol="morpho_blue", borrowers=44) as (found, keeper):
        found.node.rpc("anvil_setBlockTimestampInterval", [1])  # loaded or not
        found.set_prices({"LINK": 5 * USD})
        fell = found.node.block_number()

        events = driven(keeper, 2)

        told = {
            one["account"]: int(one["bad_debt"]["amount"])
            for one in decisions(events, "liquidate")
            if one["bad_debt"]["amount"] != "0"
        }
        written_off = {}
        for event in morpho_events(found, fell):
            lost = int(event["data"][2 + 3 * 64 : 2 + 4 * 64], 16)
            if lost:
                written_off[checksum("0x" + event["topics"][3][-40:])] = lost
        assert told.keys() == written_off.keys()
        assert len(told) >= 1
        # What a second of interest adds, and a unit's rounding for each that went before.
        more = {who: written_off[who] - told[who] for who in told}
        assert all(-len(told) <= more[who] <= told[who] // 10**6 for who in told), more
