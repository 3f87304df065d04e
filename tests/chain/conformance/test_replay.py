"""Every decision of a day on a chain, made again from the record alone: bit for bit."""

import asyncio
import contextlib
import json
import os
import random
import re
import sqlite3
import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial

import pytest

from keeper.cli.records import read_record
from keeper.cli.report import BY_PROFIT, BY_RANK
from keeper.composition.replay import replayed
from keeper.composition.wiring import FORMS
from keeper.storage.record import documents_of, entries_of_kinds
from tests.chain.conformance.keepers import configured, protocol
from tests.chain.conformance.world import PRICE_UNIT

pytestmark = pytest.mark.early(8)

NOBODY = 'chain.endpoints=["http://127.0.0.1:1"]'
"""A node that nobody runs: a replay must not ask."""

GWEI = 10**9
ON, OFF = True, False


@dataclass(frozen=True)
class Hour:
    """What happens at once: prices in whole dollars, the price of gas, a reserve's pause."""

    prices: dict
    pools: bool = True  # whether the pools follow the prices
    gas: int = 1  # gwei
    paused: str = ""


DAY = (
    Hour({"WETH": 2_950, "LINK": 14}, gas=900),
    Hour({"WETH": 2_900, "WBTC": 58_000}),
    Hour({"WETH": 2_800, "LINK": 12}, pools=False),
    Hour({"WETH": 2_750}, paused="WETH"),
    Hour({"WETH": 2_600, "WBTC": 52_000}, pools=False),
    Hour({"WETH": 2_640}, gas=4_000),
    Hour({"WETH": 2_000, "LINK": 7, "WBTC": 40_000}, pools=False),
    Hour({"WETH": 2_100}),
)
"""Three hours apart."""
DAY_SECONDS = 86_400
STARTS = {"WETH": 3_000, "WBTC": 60_000, "LINK": 15}


def long_day(steps, seed):
    """A day of so many steps at random: walking prices, dear gas, pauses, pools left behind."""
    chance, prices, day = random.Random(seed), dict(STARTS), []  # noqa: S311 - no secret
    for _ in range(steps):
        moved = chance.sample(sorted(STARTS), chance.randint(1, 3))
        for symbol in moved:
            step = 1 + chance.gauss(-0.004, 0.02)
            floor, roof = STARTS[symbol] * 0.6, STARTS[symbol] * 1.05
            prices[symbol] = max(1, round(min(max(prices[symbol] * step, floor), roof)))
        day.append(
            Hour(
                {symbol: prices[symbol] for symbol in moved},
                pools=chance.random() < 0.7,
                gas=chance.choice([1, 1, 1, 30, 900, 4_000]),
                paused=chance.choice(["", "", "", "", "WETH", "USDC"]),
            )
        )
    return tuple(day)


STEPS = int(os.environ.get("REPLAY_DAY_STEPS", "0"))
"""How many steps at random instead of ``DAY``; ``scripts/replay_day`` sets it."""
SEED = int(os.environ.get("REPLAY_DAY_SEED", "1"))


AMOUNT = re.compile(r'"action":"liquidate"')
PLEDGED = re.compile(r'"(scaled_supply|collateral)":"([0-9]{7,})"')
"""What accounts have pledged, by either protocol."""


def lived(keeper, day, *arguments):
    """Run a keeper through a day; every step is seen before the next one comes."""
    devnet, node = keeper.devnet, keeper.devnet.node
    with keeper.running(*arguments) as running:
        for hour in day:
            devnet.pass_time(DAY_SECONDS // len(day))
            if hour.paused:
                token = devnet.tokens[hour.paused].address
                devnet.aave.configurator.send("setReservePause", token, ON)
            moved = {symbol: dollars * PRICE_UNIT for symbol, dollars in hour.prices.items()}
            devnet.set_prices(moved, leave_pools=not hour.pools)
            seen(running, node)
            node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(hour.gas * GWEI)])
            node.rpc("evm_mine")
            seen(running, node)
            if hour.paused:
                devnet.aave.configurator.send("setReservePause", token, OFF)
            node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(GWEI)])
            node.rpc("evm_mine")
            seen(running, node)
        running.process.terminate()
        running.end()


def seen(running, node):
    """Wait until the keeper has done the newest block."""
    running.until("block", block=node.block_number())


def recorded(path):
    """Return the decisions on record: market, body."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT market, body FROM entries WHERE kind = 'decision'")
        return [(market, json.loads(body)) for market, body in rows]


GUARDIAN = """
name = "guardian"
order = "bad_debt"

[policy.grace]
liquidatable_blocks = 2
liquidatable_seconds = 60

[policy.guard]
confirm = ["blocks"]
blocks = 2
acting = true
"""


@pytest.mark.parametrize(
    ("policy", "day", "kinds"),
    [
        ("", DAY, {"profitable", "dust", "below_min_profit", "reserve_paused"}),
        (GUARDIAN, DAY[:3], {"profitable", "policy_grace", "spike_unconfirmed"}),
    ],
    ids=["competitive", "guardian"],
)
def test_every_decision_of_a_day_comes_out_the_same(together, tmp_path, policy, day, kinds):
    """Two protocols, live: profits, dust, dry pools, what was on its way or had to wait."""
    keeper = configured(tmp_path / "keeper", together.devnet, *together.worlds)
    with (keeper.folder / "keeper.toml").open("a") as settings:
        settings.write(policy)

    lived(keeper, long_day(STEPS, SEED) if STEPS else day)

    verified = keeper.command("audit", "verify")
    assert verified.code == 0, verified.out
    stored = recorded(keeper.folder / "keeper.sqlite")
    assert len({protocol(market) for market, _ in stored}) == len(together.worlds)
    reasons = Counter(body["reason"] for _, body in stored)
    assert reasons.keys() >= kinds or STEPS
    replayed = keeper.command("replay", "--all", "--json", "--set", NOBODY)
    assert replayed.code == 0, replayed.out[:2_000] + replayed.err
    found = replayed.document["decisions"]
    sys.stderr.write(f"{len(found)} decisions replayed: {dict(reasons)}\n")
    assert [one for one in found if not one["same"]] == []
    assert len(found) == len(stored)
    differing = otherwise(keeper.folder / "keeper.sqlite")
    assert any(one.field.startswith("plan.") for one in differing)

    told_from_the_record(keeper, stored, BY_RANK if policy else BY_PROFIT)


def told_from_the_record(keeper, stored, rule):
    """The same file answers why somebody was liquidated, and whether all were treated alike."""
    who = next(body["health"]["account"] for _, body in stored if body["action"] == "liquidate")
    told = keeper.command("explain", who, "--recorded", "--json", "--set", NOBODY)
    assert told.code == 0, told.err
    (story, *_) = told.document["stories"]
    assert {one["kind"] for one in story["history"]} >= {"decision", "episode", "call", "outcome"}
    assert story["liquidatable"] is True
    assert story["decisions"][0]["action"] == "liquidate"
    assert story["decisions"][0]["net_profit_wei"] == story["recorded"][-1]["net_profit_wei"]
    plain = keeper.command("explain", who, "--recorded", "--set", NOBODY)
    assert "what is on record:" in plain.out
    report = keeper.command("report", "fairness", "--json", "--plot", "f.svg", "--set", NOBODY)
    assert report.code == 0, report.err
    found = report.document
    assert (
        sum(one["breaches"] for one in found["sizes"])
        == len(found["breaches"])
        >= len({body["health"]["account"] for _, body in stored})
    )
    assert any(one["due"] for one in found["sizes"])
    assert any(one["seconds_to_action"]["median"] is not None for one in found["sizes"])
    assert rule in {one["rule"] for one in found["ordered"]}
    assert (keeper.folder / "f.svg").stat().st_size > 0


def otherwise(path):
    """Replay a liquidation whose account pledged a hundredth less than is on record of it."""
    work = partial(entries_of_kinds_listed, kind="decision")
    entry = next(one for one in read_record(path, work) if AMOUNT.search(one.body))
    texts = read_record(path, partial(documents_of, text=entry.body))
    changed = {name: PLEDGED.sub(lessened, text) for name, text in texts.items()}
    assert changed != texts
    (found,) = asyncio.run(replayed([entry], changed, FORMS))
    return found.differences


def entries_of_kinds_listed(connection, kind):
    return list(entries_of_kinds(connection, kind))


def lessened(match):
    return f'"{match[1]}":"{int(match[2]) * 99 // 100}"'
