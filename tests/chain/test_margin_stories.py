"""
Five accounts through a fall, under both policies, the keeper killed after every single block.

The owner sinks through the tiers and repays; the ward is cured by the keeper, from the vault, when
it is urgent; the sinker is liquidated; the spiker is below the
line for two blocks; the graced one is under a grace period of the pool's own. What each is told,
waits for and suffers is compared with the whole list that the policy says.
"""

import contextlib
import json
import sqlite3
from collections import Counter

import pytest

from contracts.build import VAULT_BUILDS
from keeper.chain.abi import checksum
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.borrowers import Borrower, enter_market
from keeper.devnet.market import bring_up
from keeper.devnet.node import Node, Transaction
from tests.chain import vault_world as vaults
from tests.chain.conftest import INTERVAL, START
from tests.chain.worlds import Keeper, hot_receipts, liquidation_logs

FIRST_HEALTH = 140
USD_VALUE = 30_000
GRACE_SECONDS = 3_600
WHO = {
    "owner": ("WETH", "USDC"),
    "ward": ("WETH", "USDC"),
    "sinker": ("LINK", "USDC"),
    "graced": ("LINK", "USDT"),
    "spiker": ("WBTC", "USDC"),
}
ADDRESSES = {name: checksum("0x" + f"{at:02x}" * 20) for at, name in enumerate(WHO, 0xA1)}
NAMES = {address.lower(): name for name, address in ADDRESSES.items()}

# Health in hundredths by collateral, block by block; nothing changes in the others.
FALL = [
    {"WETH": 140, "LINK": 140, "WBTC": 140},
    *[{"WETH": 120, "LINK": 120, "WBTC": 120}] * 3,
    *[{"WETH": 108, "LINK": 108, "WBTC": 120}] * 3,
    *[{"WETH": 102, "LINK": 99, "WBTC": 99}] * 2,
    *[{"WETH": 102, "LINK": 99, "WBTC": 120}] * 6,
]
PAUSED_BEFORE, REPAID_IN, GRACE_OVER_BEFORE = 8, 13, 14

COMPETITIVE = [
    (2, "called", "owner", "watch"),
    (2, "called", "ward", "watch"),
    (2, "called", "sinker", "watch"),
    (2, "called", "graced", "watch"),
    (2, "called", "spiker", "watch"),
    (5, "called", "owner", "call"),
    (5, "called", "ward", "call"),
    (5, "called", "sinker", "call"),
    (5, "called", "graced", "call"),
    (8, "called", "owner", "urgent"),
    (8, "called", "ward", "urgent"),
    (8, "called", "sinker", "liquidatable"),
    (8, "called", "graced", "liquidatable"),
    (8, "called", "spiker", "liquidatable"),
    (9, "liquidated", "sinker", "liquidatable"),
    (9, "liquidated", "spiker", "liquidatable"),
    (9, "cured", "ward", "urgent"),
    (13, "cured", "owner", "urgent"),
    (14, "escalated", "graced", "liquidatable"),
    (15, "liquidated", "graced", "liquidatable"),
]
COMPETITIVE_WAITS = [(block, "graced", "grace_period") for block in range(8, 14)]
COMPETITIVE_DONE = [(9, "sinker"), (9, "spiker"), (15, "graced")]

# Three blocks confirm whatever it is; then two blocks of grace for those past the line.
GUARDIAN = [
    (4, "called", "owner", "watch"),
    (4, "called", "ward", "watch"),
    (4, "called", "sinker", "watch"),
    (4, "called", "graced", "watch"),
    (4, "called", "spiker", "watch"),
    (7, "called", "owner", "call"),
    (7, "called", "ward", "call"),
    (7, "called", "sinker", "call"),
    (7, "called", "graced", "call"),
    (10, "called", "owner", "urgent"),
    (10, "called", "ward", "urgent"),
    (10, "called", "sinker", "liquidatable"),
    (10, "called", "graced", "liquidatable"),
    (11, "cured", "ward", "urgent"),
    (13, "liquidated", "sinker", "liquidatable"),
    (13, "cured", "owner", "urgent"),
    (14, "escalated", "graced", "liquidatable"),
    (15, "liquidated", "graced", "liquidatable"),
]
GUARDIAN_WAITS = [
    *((block, who, "spike_unconfirmed") for block in (8, 9) for who in ("graced", "sinker")),
    *((block, "spiker", "spike_unconfirmed") for block in (8, 9)),
    *((block, who, "policy_grace") for block in (10, 11) for who in ("graced", "sinker")),
    *((block, "graced", "grace_period") for block in range(12, 14)),
]
GUARDIAN_DONE = [(13, "sinker"), (15, "graced")]

WARD = """
[cure]
vault = "{}"

[[cure.account]]
account = "{}"
tier = "urgent"
target = "1.30"
"""
AT_ONCE = "[policy.tiers]\nclosing_after_blocks = 1\n"
POLICIES = {
    "competitive": (AT_ONCE, COMPETITIVE, COMPETITIVE_WAITS, COMPETITIVE_DONE),
    "guardian": (
        'name = "guardian"\n[policy.grace]\nliquidatable_blocks = 2\nliquidatable_seconds = 24\n'
        + AT_ONCE,
        GUARDIAN,
        GUARDIAN_WAITS,
        GUARDIAN_DONE,
    ),
}


@pytest.fixture(scope="module")
def market():
    """A market in which nobody owes anything but the five, and a vault for one of them."""
    with start_anvil(AnvilOptions(timestamp=START)) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        try:
            devnet = bring_up(node, borrowers=0)
            enter_market(node, devnet.aave, devnet.tokens, [borrower(name) for name in WHO])
            yield devnet, _vault(devnet)
        finally:
            node.close()


@pytest.fixture
def laid(market):
    """The market and the vault as they were when the five had come in."""
    node = market[0].node
    snapshot = node.rpc("evm_snapshot")
    yield market
    node.rpc("evm_setAutomine", [True])
    node.rpc("evm_revert", [snapshot])


def _vault(devnet):
    """A funded vault that may cure the ward."""
    world = vaults.deployed(devnet, VAULT_BUILDS[0].name)
    for symbol in WHO["ward"]:
        token = devnet.tokens[symbol].address
        world.limit(token)
        world.admit(world.aave_place(), ADDRESSES["ward"], token)
    return world.vault.address


def borrower(name):
    symbol, debt = WHO[name]
    asset, owed = BY_SYMBOL[symbol], BY_SYMBOL[debt]
    value = USD_VALUE * 10**8
    worth = value * asset.threshold // 100 // FIRST_HEALTH
    return Borrower(
        address=ADDRESSES[name],
        kind=name,
        collateral={symbol: asset.units_worth(value)},
        debt={debt: owed.units_worth(worth)},
    )


def price(symbol, health):
    """The price at which who holds ``symbol`` has this health, in hundredths."""
    return BY_SYMBOL[symbol].price * health // FIRST_HEALTH


class Story:
    """A keeper that is killed after every block, and all that came of it."""

    def __init__(self, folder, devnet, settings):
        self.devnet = devnet
        self.keeper = Keeper(folder, devnet)
        self.keeper.configure(more=settings)
        self.waits, self.heights = [], {}

    def block(self, number):
        """Mine a block of the fall and let a keeper see it, then kill it."""
        node = self.devnet.node
        if number == PAUSED_BEFORE:
            self._pause()
        if number == GRACE_OVER_BEFORE:
            newest = node.rpc("eth_getBlockByNumber", ["latest", False])
            later = int(newest["timestamp"], 16) + GRACE_SECONDS + 100
            node.rpc("evm_setNextBlockTimestamp", [hex(later)])
        before = FALL[number - 2] if number > 1 else {}
        changes = {
            symbol: price(symbol, health)
            for symbol, health in FALL[number - 1].items()
            if before.get(symbol) != health
        }
        if number == REPAID_IN:
            self._repay()
        elif changes:
            self.devnet.set_prices(changes)
        else:
            node.rpc("evm_mine")
        height = node.block_number()
        self.heights[height] = number
        with self.keeper.running() as running:
            running.until("block", block=height)
        self.waits += [
            (self.heights[one["block_number"]], NAMES[one["account"].lower()], one["reason"])
            for one in running.events
            if one["event"] == "decision" and one["action"] == "skip"
        ]

    def _pause(self):
        node, token = self.devnet.node, self.devnet.tokens["USDT"].address
        node.rpc("evm_setAutomine", [True])
        for paused in (True, False):
            self.devnet.aave.configurator.send("setReservePause", token, paused, GRACE_SECONDS)
        node.rpc("evm_setAutomine", [False])

    def _repay(self):
        """The owner pays back a third, in the block in which a guardian's transaction lands."""
        devnet, owner = self.devnet, ADDRESSES["owner"]
        usdc, pool = devnet.tokens["USDC"], devnet.aave.pool
        amount = borrower("owner").debt["USDC"] // 3
        admin = devnet.accounts.admin
        devnet.node.send_all(
            [
                Transaction(
                    sender=admin,
                    to=pool.address,
                    data=pool.artifact.calldata("repay", usdc.address, amount, 2, owner),
                )
            ]
        )

    def notices(self):
        """What is in the outbox: block, kind, who, tier."""
        with contextlib.closing(sqlite3.connect(self.keeper.folder / "keeper.sqlite")) as file:
            rows = file.execute("select block_number, kind, account, tier, document from notices")
            found = rows.fetchall()
        self.documents = [json.loads(row[4]) for row in found]
        return [
            (self.heights[b], kind, NAMES[who.lower()], tier) for b, kind, who, tier, _ in found
        ]

    def done(self):
        """Who was liquidated on the chain, in which block."""
        return [
            (self.heights[int(log["blockNumber"], 16)], NAMES["0x" + log["topics"][3][-40:]])
            for log in liquidation_logs(self.devnet, min(self.heights))
        ]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("policy", POLICIES)
def test_everyone_gets_what_the_policy_says(laid, tmp_path, policy):
    """Calls, waits and liquidations: those of the list, each once, whatever is killed when."""
    devnet, vault = laid
    more, calls, waits, done = POLICIES[policy]
    devnet.node.rpc("evm_setAutomine", [False])
    story = Story(tmp_path / "keeper", devnet, more + WARD.format(vault, ADDRESSES["ward"]))

    for number in range(1, len(FALL) + 1):
        story.block(number)

    assert Counter(story.notices()) == Counter(calls)
    assert Counter(story.waits) == Counter(waits)
    assert sorted(story.done()) == sorted(done)
    receipts = hot_receipts(devnet, min(story.heights))
    assert [int(one["status"], 16) for one in receipts] == [1, 1, 1]
    assert [one["to"] for one in receipts].count(vault.lower()) == 1
    keys = [one["key"] for one in story.documents]
    assert len(keys) == len(set(keys))
    advised = [one for one in story.documents if one["kind"] == "called"]
    assert all(one["advice"] and one["advice"]["cures"] for one in advised)
    listed = story.keeper.command("calls", "--json")
    assert listed.code == 0, listed.err
    assert {NAMES[one["account"].lower()] for one in listed.document["calls"]} >= {"sinker"}
