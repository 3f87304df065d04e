"""``keeper devnet`` as a person uses it: up, price, status, down, and what it leaves behind."""

import json
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from keeper.cli.root import run
from keeper.config import load
from keeper.devnet import local
from keeper.devnet.anvil import is_running
from keeper.devnet.node import Node
from keeper.domain.errors import ConfigError
from tests.support.schemas import check_document


@pytest.fixture
def folder(tmp_path):
    """A devnet's folder; whatever runs in it is stopped."""
    yield tmp_path / "devnet"
    local.down(tmp_path / "devnet")


def command(capsys, folder, *arguments):
    code = run(["devnet", *arguments, "--dir", str(folder), "--json"])
    document = json.loads(capsys.readouterr().out or "null")
    return code, document if document is None else check_document(document)


def test_up_price_status_down(capsys, folder):
    """The whole life of a devnet, each command in a process of its own as far as it knows."""
    code, up = command(capsys, folder, "up", "--borrowers", "16")
    assert code == 0
    assert all(map(is_running, up["pids"]))

    code, after = command(capsys, folder, "price", "WETH=2600", "LINK=7.5")
    assert code == 0
    assert after["prices"]["LINK"] == "750000000"
    assert after["block_number"] == up["block_number"] + 1
    assert len(after["unhealthy"]) >= 5
    assert command(capsys, folder, "status")[1] == after

    code, answer = command(capsys, folder, "down")
    assert (code, answer["ended"]) == (0, up["pids"])
    assert not any(map(is_running, up["pids"]))
    code, answer = command(capsys, folder, "down")
    assert (code, answer["ended"]) == (0, [])


def test_a_recorded_crash_is_played_through_the_real_feeds(capsys, folder, tmp_path):
    """Each asset by the path's proportions, the chain's time with it, and borrowers fall."""
    path = tmp_path / "prices.csv"
    path.write_text(
        "timestamp_utc,WETH,USDC,stETH\n"
        "2022-06-13T00:00:00Z,1500,1,1480\n"
        "2022-06-13T01:00:00Z,1200,1,1110\n"
    )
    _, up = command(capsys, folder, "up", "--borrowers", "16")
    before = command(capsys, folder, "status")[1]
    node = Node(int(up["rpc"]["http"].rpartition(":")[2]))
    began = int(node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)

    call = ["devnet", "play", "--prices", str(path), "--step-minutes", "30", "--pause", "0"]
    assert run([*call, "--dir", str(folder), "--json"]) == 0

    steps = [json.loads(line)["prices"] for line in capsys.readouterr().out.splitlines()]
    weth = int(before["prices"]["WETH"])
    assert [int(one["WETH"]) for one in steps] == [weth, weth * 9 // 10, weth * 8 // 10]
    staked = int(before["prices"]["wstETH"])
    assert abs(int(steps[-1]["wstETH"]) - staked * 3 // 4) <= 10
    ended = int(node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)
    node.close()
    assert ended - began >= 3_600
    assert len(command(capsys, folder, "status")[1]["unhealthy"]) > len(before["unhealthy"])


def test_the_written_settings_are_the_keepers(capsys, folder):
    """The keeper starts from them as they are; the key is nobody else's to read."""
    _, up = command(capsys, folder, "up", "--borrowers", "1")

    settings = load(Path(up["config"]), environ={}).settings

    assert settings.chain.endpoint_addresses == (up["rpc"]["ws"],)
    assert tomllib.loads(Path(up["config"]).read_text())["executor"][0]["address"] == up["executor"]
    assert stat.S_IMODE(Path(up["key_file"]).stat().st_mode) == 0o600
    assert "0x" in Path(up["key_file"]).read_text()


def test_a_new_chain_does_not_inherit_a_journal(capsys, folder):
    """A journal of the last devnet would hold nonces that this one never saw."""
    folder.mkdir()
    (folder / "keeper.sqlite").write_bytes(b"of another chain")

    command(capsys, folder, "up", "--borrowers", "3")

    assert not (folder / "keeper.sqlite").exists()


def test_a_fork_leaves_the_base_untouched(capsys, folder):
    """Prices move on the fork; the chain under it stays where it was."""
    _, up = command(capsys, folder, "up", "--aave", "3.0", "--borrowers", "8", "--fork")
    base = Node(int(up["base_rpc"]["http"].rpartition(":")[2]))
    before = base.rpc("eth_getBlockByNumber", ["latest", False])["hash"]

    _, after = command(capsys, folder, "price", "WETH=2500")

    assert after["unhealthy"]
    assert base.rpc("eth_getBlockByNumber", ["latest", False])["hash"] == before
    assert up["rpc"] != up["base_rpc"]
    base.close()


def test_all_prices_move_in_one_block_of_a_chain_with_an_interval(capsys, folder):
    """Many accounts become unhealthy in one block, as in a real fall."""
    _, up = command(capsys, folder, "up", "--borrowers", "8", "--block-time", "1")
    _, after = command(capsys, folder, "price", "WETH=2500", "WBTC=50000")

    node = Node(int(up["rpc"]["http"].rpartition(":")[2]))
    blocks = [
        node.rpc("eth_getBlockByNumber", [hex(number), False])
        for number in range(up["block_number"] + 1, after["block_number"] + 1)
    ]
    node.close()
    assert sum(1 for block in blocks if block["transactions"]) == 1


def test_a_second_devnet_in_the_same_folder_is_refused(capsys, folder):
    """The first would be lost, with its processes running on."""
    command(capsys, folder, "up", "--borrowers", "0")

    with pytest.raises(ConfigError, match="already"):
        local.up(local.UpOptions(folder=folder))


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--aave", "4"),
        ("up", "--borrowers", "-1"),
        ("up", "--block-time", "-1"),
        ("up", "--port", "70000"),
        ("price", "WETH"),
        ("price", "WETH=abc"),
        ("price", "WETH=nan"),
        ("price", "WETH=1e999999"),
    ],
)
def test_a_bad_argument_is_one_line_and_exit_code_2(capsys, folder, arguments):
    """Nobody should read a traceback because of a typing error."""
    assert run(["devnet", *arguments, "--dir", str(folder)]) == 2
    assert capsys.readouterr().err.startswith("error[config]: ")


@pytest.mark.parametrize("name", ["price", "status"])
def test_without_a_devnet_the_hint_says_how_to_start_one(capsys, folder, name):
    """Exit code 3: the environment is not fit, the command was right."""
    arguments = ["devnet", name, *(["WETH=1"] if name == "price" else []), "--dir", str(folder)]

    assert run(arguments) == 3
    assert "keeper devnet up" in capsys.readouterr().err


def test_a_chain_of_a_test_ends_with_its_owner(tmp_path):
    """A test process that is killed leaves no Anvil behind."""
    script = (
        "import os, signal\n"
        "from keeper.devnet.anvil import AnvilOptions, start_anvil\n"
        "print(start_anvil(AnvilOptions()).pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    pid = int(done.stdout)
    for _ in range(6_000):
        if not is_running(pid):
            break
        time.sleep(0.01)
    assert not is_running(pid)
