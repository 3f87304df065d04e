"""
Two hundred accounts cross the line in one block, before a node that is slow, fails and forks.

Sizes: 200 accounts, each with 2,000 to 20,000 dollars of collateral (fewer large ones than
small), about 1.3 million together: WETH, WBTC or LINK against USDC, USDT or DAI. Pools: the
devnet's (``keeper/devnet/assets.py``), 1 to 40 million dollars deep on each side. Blocks of 30
million gas with timestamps a second apart. Every call takes 50 ms; 2 % fail, half by status 500,
half by a cut connection; once, three blocks are left for three empty ones.

A block comes every second, or when the keeper has told of the one before, if that takes
longer: a busy machine stretches the blocks and changes nothing else. With KEEPER_TEST_REAL_TIME=1
a block comes every second, whatever the keeper does.
"""

import os
import queue
import random
import time
from collections import Counter

import pytest

from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.borrowers import Kind, _build_borrower, enter_market
from keeper.devnet.market import bring_up
from keeper.devnet.node import Node
from tests.chain.worlds import Keeper, last_decisions
from tests.faults.invariants import ETHER, Audit
from tests.support.faults import Faults, parsed
from tests.support.threaded import proxied

pytestmark = pytest.mark.early(4)

ACCOUNTS = 200
SEED = 4
BLOCK_GAS = 30_000_000
LATENCY = 0.05
BY_DEPTH = "no_finalized"
FAILURES = f"{BY_DEPTH}; status:chance=0.01; reset:chance=0.01"
WITHIN = 12
FORK_AT = 5
FORK_DEPTH = 3
SECOND = 1.0
REAL_TIME = os.environ.get("KEEPER_TEST_REAL_TIME") == "1"
PATIENCE = 30.0
CENTS = (200_000, 2_000_000)
KINDS = (
    Kind(name="a", collateral={"WETH": 10_000}, debt={"USDC": 10_000}, cents=CENTS),
    Kind(name="b", collateral={"WETH": 10_000}, debt={"USDT": 10_000}, cents=CENTS),
    Kind(name="c", collateral={"WETH": 10_000}, debt={"DAI": 10_000}, cents=CENTS),
    Kind(name="d", collateral={"WBTC": 10_000}, debt={"USDC": 10_000}, cents=CENTS),
    Kind(name="e", collateral={"LINK": 10_000}, debt={"USDC": 10_000}, cents=CENTS),
)
FALL = {"WETH": 2_500 * 10**8, "WBTC": 50_000 * 10**8, "LINK": 1_160_000_000}


def entered(devnet):
    """Put the two hundred into the market and return their addresses."""
    chance = random.Random(SEED)  # noqa: S311 - the same ones each time
    made = [_build_borrower(KINDS[n % len(KINDS)], f"load {n}", chance) for n in range(ACCOUNTS)]
    enter_market(devnet.node, devnet.aave, devnet.tokens, made)
    return [one.address for one in made]


def health(devnet, accounts):
    """Return each account's health factor as the pool has it."""
    pool = devnet.aave.pool
    calls = [pool.transaction("getUserAccountData", one).as_json() for one in accounts]
    answers = devnet.node.batch([("eth_call", [one, "latest"]) for one in calls])
    return {one: int(a[-64:], 16) for one, a in zip(accounts, answers, strict=True)}


def followed(running, node, blocks, fork_at=0):
    """Mine a block a second, or when the keeper is done with the last; fork once."""
    following = time.monotonic()
    for number in range(1, blocks + 1):
        if number == fork_at:
            node.rpc("anvil_reorg", [FORK_DEPTH, []])
        node.rpc("evm_mine")
        newest = node.block_number()
        following += SECOND
        if not REAL_TIME:
            following = max(following, done_with(running, newest))
        time.sleep(max(0.0, following - time.monotonic()))


def done_with(running, newest):
    """Return the moment at which the keeper has told of a block."""
    while not any(
        one["event"] == "block" and one["block_number"] >= newest for one in running.events
    ):
        try:
            event = running.next(seconds=PATIENCE)
        except queue.Empty:
            break  # it lost the block to a failing node: the next one comes all the same
        if event is None:
            raise AssertionError(running.log.read_text()[-2_000:])
    return time.monotonic()


@pytest.mark.timeout(900)
def test_f38_two_hundred_accounts_are_liquidated_once_each_within_twelve_blocks(tmp_path):
    """Every account that pays, exactly once in its round; the books and the chain agree."""
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setBlockTimestampInterval", [1])
        devnet = bring_up(node, borrowers=0)
        accounts = entered(devnet)
        with proxied(anvil.port) as proxy:
            proxy.faults = Faults(parsed(BY_DEPTH))
            keeper = Keeper(tmp_path / "keeper", devnet, endpoint=proxy.url)
            keeper.configure(more="confirmations = 6\ndeadline_seconds = 60\n")
            with keeper.running() as running:
                running.until("block")
                node.rpc("evm_setAutomine", [False])
                node.rpc("evm_setBlockGasLimit", [hex(BLOCK_GAS)])
                proxy.latency, proxy.faults = LATENCY, Faults(parsed(FAILURES), seed=SEED)
                devnet.set_prices(FALL)
                start = node.block_number()
                assert min(health(devnet, accounts).values()) < 10**18
                assert sum(one < 10**18 for one in health(devnet, accounts).values()) == ACCOUNTS
                followed(running, node, WITHIN, FORK_AT)
                by_then = health(devnet, accounts)
                done_with(running, node.block_number())
                failed = Counter(kind for _, kind in proxy.faults.log)
                proxy.latency, proxy.faults = 0.0, Faults(parsed(BY_DEPTH))
                followed(running, node, 8)
                done_with(running, node.block_number())
        settled = Audit(devnet, start, 50 * ETHER).violations(
            keeper.folder / "keeper.sqlite", settled=True
        )
        node.close()

    left = {one for one, factor in by_then.items() if factor < 10**18}
    told = {who: one for who, one in last_decisions(running.events).items() if who in left}
    assert left == set(), f"{len(left)} left: {told}"
    assert settled == []
    assert min(failed.values()) > 0
    liquidated = [
        plan["account"]
        for one in running.events
        if one["event"] == "final" and one["success"]
        for plan in one["plans"]
        if not plan["failure"]
    ]
    assert Counter(liquidated) == dict.fromkeys(accounts, 1)
