"""What commands cost on a kept book, counted at the node, and that they harm no keeper."""

import contextlib
import signal
import sqlite3
import threading
from collections.abc import Iterator

import pytest

from keeper.devnet import local
from keeper.devnet.market import Devnet
from tests.chain.worlds import Finished, Keeper
from tests.support.forked import started
from tests.support.proxy import Message, Proxy
from tests.support.threaded import proxied

MORE = 10
"""So many requests more than the blocks that it follows a command may cost."""


@pytest.fixture
def proxy(aave36: Devnet) -> Iterator[Proxy]:
    """A counting node in front of the market's."""
    with proxied(aave36.node.port) as made:
        yield made


@pytest.fixture
def keeper(aave36: Devnet, proxy: Proxy, tmp_path) -> Keeper:
    """A keeper's folder, without anything kept."""
    made = Keeper(tmp_path / "keeper", aave36, endpoint=proxy.ws_url)
    made.configure()
    return made


def commands(keeper: Keeper) -> list[tuple[str, ...]]:
    """Return each command that reads a whole market."""
    account = keeper.devnet.borrowers[0].address
    return [
        ("scan", "--all"),
        ("stress", "--shock", "WETH=-20%"),
        ("explain", account),
        ("audit", "book"),
    ]


def counted(keeper: Keeper, proxy: Proxy, *arguments: str) -> tuple[Finished, int]:
    """Run a command and return it with its number of requests."""
    proxy.reset()
    done = keeper.command(*arguments, "--json")
    assert done.code == 0, done.err
    return done, sum(proxy.counts.values())


def mined(keeper: Keeper, blocks: int) -> None:
    keeper.devnet.node.rpc("anvil_mine", [hex(blocks)])


def health(done: Finished) -> dict[str, str]:
    return {one["account"]: one["health_factor"] for one in done.document["accounts"]}


def fresh(keeper: Keeper) -> Finished:
    """Return a scan of the whole history."""
    done = keeper.command("scan", "--all", "--json", "--set", "book.keep=false")
    assert done.code == 0, done.err
    return done


def test_the_first_scan_is_kept_and_the_next_commands_follow_it(keeper, proxy):
    """Neither history nor accounts are read again, nor what the market consists of."""
    first, requests = counted(keeper, proxy, "scan", "--all")
    assert requests > 100

    for command in commands(keeper):
        mined(keeper, 1)
        _, requests = counted(keeper, proxy, *command)
        assert requests <= 1 + MORE, (command, dict(proxy.counts))
        assert proxy.counts["eth_getBlockByNumber"] <= 5

    assert health(first).keys() == health(fresh(keeper)).keys()


def test_commands_on_a_kept_book_of_the_newest_block_cost_at_most_ten(keeper, proxy):
    """Nothing was mined since."""
    counted(keeper, proxy, "scan")

    for command in commands(keeper):
        _, requests = counted(keeper, proxy, *command)
        assert requests <= MORE, (command, dict(proxy.counts))


@pytest.mark.parametrize("behind", [0, 1, 3])
def test_explaining_a_liquidatable_account_costs_at_most_ten_more(keeper, proxy, behind):
    """Its decision too: fees, clock, pools, simulation, and what the venue itself quotes."""
    counted(keeper, proxy, "scan")
    keeper.devnet.set_prices({"WETH": 2_300 * 10**8})
    scan, _ = counted(keeper, proxy, "scan")
    worst = scan.document["accounts"][0]["account"]
    mined(keeper, behind)

    done, requests = counted(keeper, proxy, "explain", worst)

    assert done.document["stories"][0]["decisions"][0]["action"] == "liquidate"
    assert requests <= behind + MORE, dict(proxy.counts)


@pytest.mark.parametrize("behind", [3, 8, 40])
def test_some_blocks_behind_cost_at_most_ten_more(keeper, proxy, behind):
    """By hash or as a range, whatever is less."""
    counted(keeper, proxy, "scan")

    for command in commands(keeper):
        mined(keeper, behind)
        _, requests = counted(keeper, proxy, *command)
        assert requests <= behind + MORE, (command, dict(proxy.counts))


def test_a_kept_book_three_hundred_blocks_behind_is_followed(keeper, proxy):
    """And says the same as one that is read anew."""
    counted(keeper, proxy, "scan")
    mined(keeper, 150)
    keeper.devnet.set_prices({"WETH": 2_600 * 10**8})
    mined(keeper, 150)
    behind = keeper.devnet.node.block_number() - kept_block(keeper)

    scan, requests = counted(keeper, proxy, "scan", "--all")

    assert requests <= behind + MORE
    assert health(scan) == health(fresh(keeper))


def kept_block(keeper: Keeper) -> int:
    """Return the newest block at which the market is kept."""
    connection = sqlite3.connect(keeper.folder / "keeper.book.sqlite")
    try:
        ((number,),) = connection.execute("SELECT number FROM market")
    finally:
        connection.close()
    return int(number)


def test_a_reorganisation_between_two_commands_is_undone(keeper, proxy, aave36):
    """The kept book's newest blocks are gone, and what they said."""
    who = aave36.borrowers[0]
    mined(keeper, 5)
    symbol = next(iter(who.debt))
    aave36.node.rpc("anvil_setBalance", [who.address, hex(10**18)])
    aave36.aave.pool.send(
        "borrow", aave36.tokens[symbol].address, 1_000, 2, 0, who.address, sender=who.address
    )
    before, _ = counted(keeper, proxy, "scan", "--all")
    aave36.node.rpc("anvil_reorg", [3, []])
    mined(keeper, 2)

    scan, requests = counted(keeper, proxy, "scan", "--all")

    assert requests <= 5 + 3 + MORE, dict(proxy.counts)
    assert health(scan) == health(fresh(keeper))
    assert health(scan)[who.address] != health(before)[who.address]


def test_commands_beside_a_running_keeper_neither_cost_much_nor_harm_it(keeper, proxy, aave36):
    """They read its file; it goes on writing to it, and says nothing."""
    node = aave36.node
    with keeper.running() as running:
        node.rpc("evm_mine")
        running.until("block", block=node.block_number())
        node.rpc("evm_mine")
        running.until("block", block=node.block_number())
        # What a keeper asks is counted here, too: it does not ask while nothing is mined.
        for command in commands(keeper):
            _, requests = counted(keeper, proxy, *command)
            assert requests <= 2 + MORE, (command, dict(proxy.counts))
        for _ in range(3):
            node.rpc("evm_mine")
            running.until("block", block=node.block_number())
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == 0
    assert kept_block(keeper) == node.block_number()
    assert "book_" not in (keeper.folder / "stderr.log").read_text()


@pytest.mark.parametrize("at", range(4))
def test_every_command_shows_how_far_a_history_is(keeper, at):
    """And says from which block it goes on, the next time."""
    command = commands(keeper)[at]
    first = keeper.command(*command)
    second = keeper.command(*command)

    assert first.code == second.code == 0
    assert "history " in first.err
    assert "history " not in second.err
    assert "from the kept book of block " in second.err


def test_a_run_starts_from_what_a_scan_kept(keeper, proxy, aave36):
    """No history, no accounts."""
    counted(keeper, proxy, "scan")
    kept_at = kept_block(keeper)
    proxy.reset()
    with keeper.running("--blocks", "1") as running:
        assert running.end() == 0

    assert kept_at <= kept_block(keeper)
    assert proxy.counts["eth_getLogs"] <= 2
    assert proxy.counts["eth_getBlockByNumber"] < 40


def test_a_killed_scan_leaves_a_usable_file(keeper, proxy, aave36):
    """Killed while the node is slow to say the accounts."""
    asked = threading.Event()

    async def held(request: Message) -> Message | None:
        if request.get("method") == "eth_getLogs":
            asked.set()
        return None

    proxy.hooks.append(held)
    proxy.latency = 0.2
    with (keeper.folder / "scan.log").open("w") as log:
        process = started(
            ["scan", "--json"],
            cwd=keeper.folder,
            env=keeper.environment(),
            stdout=log,
            stderr=log,
        )
    assert asked.wait(60)
    process.kill()
    process.wait()
    proxy.hooks.clear()
    proxy.latency = 0.0

    scan, _ = counted(keeper, proxy, "scan", "--all")

    assert health(scan) == health(fresh(keeper))
    assert kept_block(keeper) == aave36.node.block_number()


@contextlib.contextmanager
def both_protocols(folder) -> Iterator[tuple[Keeper, Proxy]]:
    """A keeper of an Aave market and of every market of a Morpho deployment."""
    options = local.UpOptions(folder=folder, protocol="both", borrowers=20)
    local.up(options)
    try:
        devnet = local.attach(folder)
        try:
            with proxied(devnet.node.port) as proxy:
                keeper = Keeper(folder, devnet)
                settings = folder / "keeper.toml"
                plain = f"ws://127.0.0.1:{devnet.node.port}"
                settings.write_text(settings.read_text().replace(plain, proxy.ws_url))
                yield keeper, proxy
        finally:
            devnet.node.close()
    finally:
        local.down(folder)


def test_every_market_of_a_deployment_is_known_from_the_kept_book(tmp_path):
    """Which markets there are is history, too: it is not read again; a new one is found."""
    with both_protocols(tmp_path / "devnet") as (keeper, proxy):
        counted(keeper, proxy, "scan")
        for command in commands(keeper):
            mined(keeper, 1)
            _, requests = counted(keeper, proxy, *command)
            assert requests <= 1 + MORE, (command, dict(proxy.counts))

        scan, _ = counted(keeper, proxy, "scan", "--all")
        assert {one["market"].partition(":")[0] for one in scan.document["accounts"]} == {
            "aave_v3",
            "morpho_blue",
        }
        assert health(scan) == health(fresh(keeper))
