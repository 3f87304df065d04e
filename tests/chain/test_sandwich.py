"""A real attacker around a real liquidation: front-run, keeper, back-run, all in one block."""

from dataclasses import dataclass

import pytest

from keeper.chain.abi import checksum
from keeper.devnet.assets import PRICE_UNIT
from keeper.devnet.node import Transaction
from tests.chain.worlds import Keeper, decisions, driven
from tests.support.undoing import undo

WHALE = "0x" + "77" * 20
ATTACKER = "0x" + "66" * 20
FALLEN = 2_600 * PRICE_UNIT
GWEI = 10**9
ON, OFF = True, False
TOLERANCE_BPS = 1_000
SIZES = (10, 50, 100, 500, 2_000, 10_000)
"""What the attacker sells first, in per cent of what the keeper sells."""


@dataclass
class Scene:
    """A large account that fell, the keeper's own transaction for it, and what it expects."""

    devnet: object
    sent: dict
    expected: int
    sold: int
    fee: int

    def rpc(self, method, *params):
        return self.devnet.node.rpc(method, list(params))

    def usdc(self, account):
        return self.devnet.tokens["USDC"].call("balanceOf", account)


def swap(scene, token_in, token_out, amount, tip) -> dict:
    """Return the attacker's sale through the very pool that the keeper sells to."""
    devnet, sender = scene.devnet, ATTACKER
    terms = (
        *(token_in.address, token_out.address, scene.fee, sender),
        *(2**40, amount, 0, 0),
    )
    made = devnet.venue.router.transaction("exactInputSingle", terms, sender=sender)
    return {**made.as_json(), "maxPriorityFeePerGas": hex(tip), "maxFeePerGas": hex(500 * GWEI)}


@pytest.fixture(params=[100_000, 1_000_000, 5_000_000], ids=["0.1M", "1M", "5M"])
def scene(request, aave36, tmp_path):
    """Let an account of this many dollars fall, and take what the keeper sends for it."""
    devnet, node = aave36, aave36.node
    pool, weth = devnet.aave.pool, devnet.tokens["WETH"]
    price = devnet.prices()["WETH"]
    amount = request.param * PRICE_UNIT * 10**18 // price
    node.rpc("anvil_setBalance", [WHALE, hex(10**20)])
    pool.send("supply", weth.address, amount, WHALE, 0)
    debt = request.param * 10**6 * 79 // 100
    pool.send("borrow", devnet.tokens["USDC"].address, debt, 2, 0, WHALE, sender=WHALE)
    devnet.set_prices({"WETH": price * 95 // 100})
    before = node.rpc("evm_snapshot")
    keeper = Keeper(tmp_path / "keeper", devnet)
    keeper.configure(more="max_plans_per_transaction = 1\n")
    events = driven(keeper, 1)
    (decision,) = [
        event for event in decisions(events, "liquidate") if event["account"] == checksum(WHALE)
    ]
    attempts = [event for event in events if event["event"] == "attempt"]
    sent = [node.rpc("eth_getTransactionByHash", [event["hash"]]) for event in attempts]
    mine = next(each for each in sent if WHALE[2:] in each["input"])
    gross = next(
        int(plan["profit"])
        for event in events
        if event["event"] == "included"
        for plan in event["plans"]
        if plan["account"] == checksum(WHALE)
    )
    undo(node, before)
    sold = int(decision["receive"][0]["amount"])
    call = {"to": decision["route"][0], "data": "0xddca3f43"}  # fee()
    fee = int(node.rpc("eth_call", [call, "latest"]), 16)
    return Scene(devnet=devnet, sent=mine, expected=gross, sold=sold, fee=fee)


def sandwiched(scene, front: int):
    """Put the keeper's transaction between two swaps; return its receipt, the two sides' gains."""
    devnet, hot = scene.devnet, scene.devnet.accounts.hot
    weth, usdc = devnet.tokens["WETH"], devnet.tokens["USDC"]
    kept = scene.rpc("evm_snapshot")
    scene.rpc("anvil_setBalance", ATTACKER, hex(front + 10**20))
    for token in (weth, usdc):
        token.send("approve", devnet.venue.router.address, 2**255, sender=ATTACKER)
    deposit = Transaction(sender=ATTACKER, to=weth.address, data=b"", value=front)
    devnet.node.send(deposit)
    receiver = scene.usdc(devnet.accounts.receiver)
    # What the front-run will bring is known to the attacker: it sells into the same pool first.
    brought = 0
    if front:
        trial = scene.rpc("evm_snapshot")
        before = scene.usdc(ATTACKER)
        scene.rpc("eth_sendTransactionSync", swap(scene, weth, usdc, front, GWEI))
        brought = scene.usdc(ATTACKER) - before
        undo(devnet.node, trial)
    scene.rpc("evm_setAutomine", OFF)
    names = []
    if front:
        names.append(scene.rpc("eth_sendTransaction", swap(scene, weth, usdc, front, 90 * GWEI)))
    copy = {name: scene.sent[name] for name in ("to", "input", "gas")}
    fees = {"maxFeePerGas": hex(500 * GWEI), "maxPriorityFeePerGas": hex(50 * GWEI)}
    names.append(scene.rpc("eth_sendTransaction", {**copy, **fees, "from": hot}))
    if front:
        names.append(scene.rpc("eth_sendTransaction", swap(scene, usdc, weth, brought, GWEI)))
    scene.rpc("evm_mine")
    scene.rpc("evm_setAutomine", ON)
    receipts = [scene.rpc("eth_getTransactionReceipt", name) for name in names]
    assert len({receipt["blockNumber"] for receipt in receipts}) == 1
    gained = scene.usdc(devnet.accounts.receiver) - receiver
    attacker = weth.call("balanceOf", ATTACKER) - front
    undo(devnet.node, kept)
    return receipts[1 if front else 0], gained, attacker


def test_a_sandwich_takes_no_more_than_the_tolerance_or_the_step_is_undone(scene):
    """
    Whatever the attacker sells first: a landing brings the protected share, a revert costs gas.

    Before, the executor enforced the gas and five dollars, and all the rest was the attacker's.
    """
    _, alone, _ = sandwiched(scene, 0)
    outcomes = {share: sandwiched(scene, scene.sold * share // 100) for share in SIZES}

    least = scene.expected * (10_000 - TOLERANCE_BPS) // 10_000
    assert alone >= least
    for receipt, gained, _ in outcomes.values():
        assert gained == 0 or gained >= least - 1
        assert (gained == 0) == (int(receipt["status"], 16) == 0)
    assert outcomes[SIZES[-1]][1] == 0
    price = FALLEN // PRICE_UNIT
    for _, gained, attacker in outcomes.values():
        taken = attacker * price // 10**12 if attacker > 0 else 0
        assert gained == 0 or taken <= scene.expected * TOLERANCE_BPS // 10_000 + 10**6
