"""
Five accounts through a fall, under a policy, the keeper killed after every single block.

The owner sinks through the tiers and repays; the ward is cured by the keeper, from the vault, when
it is urgent; the sinker is liquidated; the spiker is below the
line for two blocks; the graced one is under a grace period of the pool's own. What each is told,
waits for and suffers is compared with the whole list that the policy says. In blocks in which
something is sent the keeper is killed in the middle of it, too: before it is signed, once it is
recorded, once it has left, and one block later with the receipt in hand, and once that is booked.
"""

import contextlib
import json
import signal
import sqlite3
from collections import Counter
from dataclasses import dataclass

from contracts.build import VAULT_BUILDS
from keeper.chain.abi import checksum
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.borrowers import Borrower, enter_market
from keeper.devnet.market import bring_up
from keeper.devnet.node import Node, Transaction
from keeper.execution.failpoints import VARIABLE
from keeper.execution.vault import CURED_TOPIC
from tests.chain import vault_world as vaults
from tests.chain.conftest import INTERVAL, START
from tests.chain.worlds import Keeper, hot_receipts, liquidation_logs

FIRST_HEALTH = 140
USD_VALUE = 30_000
GRACE_SECONDS = 3_600
CURED = "0x" + CURED_TOPIC.hex()
WHO = {
    "owner": ("WETH", "USDC"),
    "ward": ("WETH", "USDC"),
    "sinker": ("LINK", "USDC"),
    "graced": ("LINK", "USDT"),
    "spiker": ("WBTC", "USDC"),
}
ADDRESSES = {name: checksum("0x" + f"{at:02x}" * 20) for at, name in enumerate(WHO, 0xA1)}
NAMES = {address.lower(): name for name, address in ADDRESSES.items()}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """
    A policy, a fall that tries it, and all that it then says, in blocks of the fall.

    ``fall`` is health in hundredths by collateral, block by block; nothing changes in the others.
    ``kills`` says in which blocks the process is killed at which points, one after the other,
    before it does them whole.
    """

    settings: str
    fall: list
    paused_before: int
    repaid_in: int
    grace_over_before: int
    calls: list
    waits: list
    done: list
    kills: dict


WARD = """
[cure]
vault = "{}"

[[cure.account]]
account = "{}"
tier = "urgent"
target = "1.30"
"""
AT_ONCE = "[policy.tiers]\nclosing_after_blocks = 1\n"


@contextlib.contextmanager
def market_of_five():
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


class Mortal(Keeper):
    """A keeper that may die at a point."""

    point = ""

    def environment(self):
        return super().environment() | ({VARIABLE: self.point} if self.point else {})

    def die(self, point):
        """Run until it is killed at a point."""
        self.point = point
        with self.running() as running:
            assert running.end() == -signal.SIGKILL
        self.point = ""


class Story:
    """A keeper that is killed after every block, and all that came of it."""

    def __init__(self, folder, devnet, policy, vault):
        self.devnet, self.policy, self.vault = devnet, policy, vault
        self.keeper = Mortal(folder, devnet)
        self.keeper.configure(more=policy.settings + WARD.format(vault, ADDRESSES["ward"]))
        self.waits, self.heights = [], {}

    def block(self, number):
        """Mine a block of the fall and let a keeper see it, then kill it."""
        node = self.devnet.node
        if number == self.policy.paused_before:
            self._pause()
        if number == self.policy.grace_over_before:
            newest = node.rpc("eth_getBlockByNumber", ["latest", False])
            later = int(newest["timestamp"], 16) + GRACE_SECONDS + 100
            node.rpc("evm_setNextBlockTimestamp", [hex(later)])
        before = self.policy.fall[number - 2] if number > 1 else {}
        changes = {
            symbol: price(symbol, health)
            for symbol, health in self.policy.fall[number - 1].items()
            if before.get(symbol) != health
        }
        if number == self.policy.repaid_in:
            self._repay()
        elif changes:
            self.devnet.set_prices(changes)
        else:
            node.rpc("evm_mine")
        height = node.block_number()
        self.heights[height] = number
        for point in self.policy.kills.get(number, ()):
            self.keeper.die(point)
        with self.keeper.running() as running:
            running.until("block", block=height)
        on_its_way = "in_flight" if number in self.policy.kills else ""  # sent before it died
        self.waits += [
            (self.heights[one["block_number"]], NAMES[one["account"].lower()], one["reason"])
            for one in running.events
            if one["event"] == "decision"
            and one["action"] == "skip"
            and one["reason"] != on_its_way
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
        """Who was liquidated by the pool's logs and who cured by the vault's, in which block."""
        first = min(self.heights)
        wanted = {"address": self.vault, "fromBlock": hex(first)}
        cured = self.devnet.node.rpc("eth_getLogs", [{**wanted, "topics": [CURED]}])
        places = [(log, 3, "liquidated") for log in liquidation_logs(self.devnet, first)]
        places += [(log, 2, "cured") for log in cured]
        return [
            (self.heights[int(log["blockNumber"], 16)], NAMES["0x" + log["topics"][at][-40:]], what)
            for log, at, what in places
        ]


def lived(market, folder, policy):
    """Calls, waits and liquidations: those of the list, each once, whatever is killed when."""
    devnet, vault = market
    devnet.node.rpc("evm_setAutomine", [False])
    story = Story(folder, devnet, policy, vault)

    for number in range(1, len(policy.fall) + 1):
        story.block(number)

    assert Counter(story.notices()) == Counter(policy.calls)
    assert Counter(story.waits) == Counter(policy.waits)
    assert sorted(story.done()) == sorted(policy.done)
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
