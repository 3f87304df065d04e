"""`executor deploy` and `run` on a chain with real money: nothing by accident, nothing unknown."""

import json
import secrets

import pytest

from keeper.chain.abi import checksum
from keeper.cli import root
from keeper.cli.executor_deploy import created_address
from keeper.execution.signer import checked_key
from tests.support.undoing import undo

COLD = checksum("0x00000000000000000000000000000000000c01d0")
REAL = 42161


@pytest.fixture
def real(aave36, tmp_path, monkeypatch):
    """A chain that is nobody's local one, a funded key of its own, settings beside it."""
    kept = aave36.node.rpc("evm_snapshot")
    aave36.node.rpc("anvil_setChainId", [REAL])
    key = secrets.token_bytes(32)
    aave36.node.rpc("anvil_setBalance", [checked_key(key), hex(10**20)])
    lines = [
        "[chain]",
        f"id = {REAL}",
        "block_time_ms = 1000",
        f'endpoints = ["ws://127.0.0.1:{aave36.node.port}"]',
        "[[market]]",
        'protocol = "aave_v3"',
        f'addresses_provider = "{aave36.aave.provider.address}"',
        f"from_block = {aave36.from_block}",
        "[[venue]]",
        'kind = "uniswap_v3"',
        f'factory = "{aave36.venue.factory.address}"',
        f'quoter = "{aave36.venue.quoter.address}"',
        f'router = "{aave36.venue.router.address}"',
        "[observe]",
        'listen = ""',
        "[run]",
        "quiet_blocks = 0",
    ]
    settings = tmp_path / "keeper.toml"
    settings.write_text("\n".join(lines) + "\n")
    settings.chmod(0o600)
    (tmp_path / ".env").write_text(f"KEEPER_WALLET__PRIVATE_KEY=0x{key.hex()}\n")
    (tmp_path / ".env").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KEEPER_CONFIG", raising=False)
    yield checked_key(key)
    aave36.node.rpc("anvil_setChainId", [31337])
    undo(aave36.node, kept)


@pytest.fixture
def run(capsys):
    """Run a command; return its exit code, its output and what went to stderr."""

    def command(*arguments: str):
        capsys.readouterr()
        code = root.run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def deployed(run, *arguments: str) -> str:
    code, out, err = run("executor", "deploy", "--yes", "--json", *arguments)
    assert code == 0, err
    return json.loads(out)["address"]


def test_an_owner_has_to_be_named(real, run):
    """The hot key as the owner of its own executor must be nobody's accident."""
    code, _, err = run("executor", "deploy", "--yes")

    assert code == 2
    assert "--owner" in err


def test_nothing_is_deployed_without_a_word_of_the_operator(real, run, aave36):
    """The cost is shown, and where nobody can answer nothing is spent."""
    before = aave36.node.rpc("eth_getTransactionCount", [real, "latest"])

    code, _, err = run("executor", "deploy", "--owner", COLD)

    assert code == 2
    assert "ETH" in err
    assert "--yes" in err
    assert aave36.node.rpc("eth_getTransactionCount", [real, "latest"]) == before


def test_a_second_one_is_not_deployed_by_accident(real, run):
    """Also not where the first never came into the settings: the deployer's nonces tell of it."""
    first = deployed(run, "--owner", COLD)

    code, _, err = run("executor", "deploy", "--yes", "--owner", COLD)
    assert code == 2
    assert first in err

    assert deployed(run, "--owner", COLD, "--another") != first


def test_the_settings_lines_are_printed_or_written(real, run, tmp_path):
    """What has to be typed by hand is typed wrongly."""
    _, _, err = run("executor", "deploy", "--yes", "--owner", COLD)
    assert "[[executor]]" in err

    written = deployed(run, "--owner", COLD, "--another", "--write")
    text = (tmp_path / "keeper.toml").read_text()
    assert f'[[executor]]\naddress = "{written}"' in text
    assert (tmp_path / "keeper.toml").stat().st_mode & 0o777 == 0o600
    code, out, _ = run("executor", "check", "--json")
    assert code == 0, out

    code, _, err = run("executor", "deploy", "--yes", "--owner", COLD)
    assert code == 2
    assert written in err


def test_a_live_run_refuses_code_that_is_no_release(real, run, aave36, tmp_path):
    """A key that signs for an unknown contract signs for its author."""
    mine = deployed(run, "--owner", COLD, "--write")
    code = bytearray.fromhex(aave36.node.rpc("eth_getCode", [mine, "latest"])[2:])
    code[-1] ^= 1
    aave36.node.rpc("anvil_setCode", [mine, "0x" + code.hex()])

    status, _, err = run("run", "--once")

    assert status == 3
    assert "no release" in err


@pytest.mark.parametrize("role", ["owner", "receiver"])
def test_a_live_run_refuses_the_hot_key_in_a_cold_role(real, run, role, tmp_path):
    """Unless the settings accept it: whoever steals the key would own everything."""
    cold = {
        "owner": ("--owner", real, "--receiver", COLD),
        "receiver": ("--owner", COLD, "--receiver", real),
    }
    deployed(run, *cold[role], "--write")

    status, _, err = run("run", "--once")
    assert status == 3
    assert f"is the {role}" in err

    settings = tmp_path / "keeper.toml"
    settings.write_text(settings.read_text() + "allow_hot_roles = true\n")
    status, _, err = run("run", "--once")
    assert status == 0, err


def test_a_live_run_takes_a_cold_executor(real, run):
    """The way that the README shows works."""
    deployed(run, "--owner", COLD, "--write")

    status, _, err = run("run", "--once")

    assert status == 0, err


def test_created_addresses_are_the_chains_own():
    """
    The first contracts of an account, by its nonce.

    Source: the account 0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0, used by go-ethereum's tests.
    """
    account = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"

    assert [created_address(account, nonce).lower() for nonce in (0, 1)] == [
        "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d",
        "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8",
    ]
