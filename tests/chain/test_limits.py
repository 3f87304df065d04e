"""Limits on a real chain, by the real command: they hold over a restart and end with a reset."""

import contextlib
import signal
import sqlite3

import pytest

from keeper.chain.abi import calldata
from tests.chain.worlds import Keeper, decisions, hot_receipts

FALL = {"WETH": 2_600 * 10**8}
LIMITS = "\nmax_plans_per_transaction = 64\ncooldown_blocks = 0\n[limits]\n"


@pytest.fixture
def keeper(aave36, tmp_path):
    """A keeper of a market in which accounts are unhealthy and no block is mined."""
    made = Keeper(tmp_path / "keeper", aave36)
    made.configure(more=LIMITS + "max_consecutive_reverts = 2\n")
    aave36.set_prices(FALL)
    aave36.node.rpc("evm_setAutomine", [False])
    return made


def operating(devnet, allowed):
    """Have the executor's owner (dis)allow the hot key, ahead of everything else in the block."""
    wanted = {
        "from": devnet.accounts.owner,
        "to": devnet.executor,
        "data": "0x" + calldata("setOperator(address,bool)", devnet.accounts.hot, allowed).hex(),
        "gas": hex(200_000),
        "maxFeePerGas": hex(10**13),
        "maxPriorityFeePerGas": hex(10**12),
    }
    devnet.node.rpc("anvil_setBalance", [devnet.accounts.owner, hex(10**20)])
    devnet.node.rpc("eth_sendTransaction", [wanted])
    devnet.node.rpc("evm_mine")


def reverted(keeper, *, kill):
    """Run until what it sends has failed in its block; return its exit code and its events."""
    arguments = () if kill else ("--once",)
    with keeper.running(*arguments) as running:
        running.until("block")
        operating(keeper.devnet, allowed=False)
        failed = running.until("included")
        assert failed["success"] is False
        if kill:
            running.process.send_signal(signal.SIGKILL)
        code = running.end()
    operating(keeper.devnet, allowed=True)
    return code, running.events


def breakers(events):
    return [(one["name"], one["state"]) for one in events if one["event"] == "breaker"]


def not_sent(events):
    return [one for one in decisions(events, "skip") if one["reason"] == "not_sent"]


def sent(events):
    return [one for one in events if one["event"] == "attempt"]


def once(keeper):
    """Run one block, mining what it sends; return its exit code and its events."""
    with keeper.running("--once") as running:
        running.until("block")
        keeper.devnet.node.rpc("evm_mine")
        return running.end(), running.events


def test_failures_in_a_row_stop_it_over_a_restart_until_a_reset(keeper):
    """Two failed transactions of two processes; the third sends nothing, the fourth works."""
    start = keeper.devnet.node.block_number()
    _, first = reverted(keeper, kill=True)
    code, second = reverted(keeper, kill=False)
    assert (code, breakers(first), breakers(second)) == (6, [], [("reverts", "open")])

    held_code, held = once(keeper)
    assert (held_code, breakers(held), sent(held)) == (6, [("reverts", "open")], [])
    assert "2 transactions in a row reverted" in not_sent(held)[0]["detail"]
    assert any(one["event"] == "block" for one in held)
    failures = [int(one["status"], 16) for one in hot_receipts(keeper.devnet, start)]
    assert failures == [0, 0]

    listed = keeper.command("breaker", "list", "--json").document["breakers"]
    assert [one["name"] for one in listed if one["open"]] == ["reverts"]
    assert keeper.command("breaker", "reset", "reverts").code == 0
    assert keeper.command("breaker", "reset", "reverts").code == 2
    code, events = once(keeper)

    assert (code, breakers(events), not_sent(events)) == (0, [], [])
    assert all(one["success"] for one in events if one["event"] == "included")
    assert sent(events) != []
    with contextlib.closing(sqlite3.connect(keeper.folder / "keeper.sqlite")) as rows:
        kept = rows.execute("SELECT action, argument, result FROM control_actions").fetchall()
    assert kept[:2] == [
        ("reset", "reverts", "asked, no node running"),
        ("reset", "reverts", "done"),
    ]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ('max_gas_per_hour_eth = "0.0001"', "limit gas_per_transaction: its gas may cost"),
        ('min_balance_eth = "11"', "limit min_balance: the wallet holds"),
    ],
)
def test_a_limit_that_holds_everything_is_told_with_its_numbers(keeper, limit, told):
    """Nothing is signed, the accounts are named with the reason, and scripts see code 6."""
    keeper.configure(more=LIMITS + limit)

    code, events = once(keeper)

    assert (code, sent(events)) == (6, [])
    assert len(not_sent(events)) >= 1
    assert all(one["detail"].startswith(told) for one in not_sent(events))


def test_an_hours_gas_is_counted_from_the_receipts_of_an_earlier_process(keeper):
    """The first spent it, so the second sends nothing, until the chain's hour has passed."""
    devnet = keeper.devnet
    code, first = once(keeper)
    spent = sum(int(one["gas_cost_wei"]) for one in first if one["event"] == "included")
    assert (code, 1 < spent < 10**18) == (0, True)
    keeper.configure(more=LIMITS + f'max_gas_per_hour_eth = "0.{spent - 1:018d}"\n')
    devnet.node.rpc("evm_setAutomine", [True])
    devnet.set_prices({"WETH": 2_200 * 10**8})
    devnet.node.rpc("evm_setAutomine", [False])

    held_code, held = once(keeper)
    devnet.pass_time(3_600)
    _, later = once(keeper)

    assert (held_code, sent(held)) == (6, [])
    assert breakers(held) == [("gas_per_hour", "open")]
    assert "breaker gas_per_hour is open: the last hour's gas cost" in not_sent(held)[0]["detail"]
    assert breakers(later) == [("gas_per_hour", "open"), ("gas_per_hour", "closed")]


def test_a_pause_holds_the_next_process_and_a_running_one_is_resumed(keeper):
    """Monitoring goes on meanwhile; after `resume` it acts on the very next block."""
    node = keeper.devnet.node
    once(keeper)
    assert keeper.command("breaker", "pause").code == 0
    node.rpc("evm_setAutomine", [True])
    keeper.devnet.set_prices({"WETH": 2_200 * 10**8})
    node.rpc("evm_setAutomine", [False])

    with keeper.running() as running:
        running.until("block")
        held = list(running.events)
        resumed = keeper.command("breaker", "resume")
        running.until("breaker")
        node.rpc("evm_mine")
        running.until("attempt")
        paused = keeper.command("breaker", "pause", "--json").document

    assert (breakers(held), sent(held)) == ([("paused", "open")], [])
    assert not_sent(held)[0]["detail"].endswith("sending is paused by the operator")
    assert (resumed.code, resumed.out) == (
        0,
        "resume paused: done by the running keeper; open: none\n",
    )
    assert [one["name"] for one in paused["breakers"] if one["open"]] == ["paused"]
