"""What an operator gets wrong: one line that says what and where, a hint, and the exit code."""

import json

import pytest

from tests.chain.worlds import Keeper

NOBODY = "0x00000000000000000000000000000000DeaDBeef"
USAGE, ENVIRONMENT, JOURNAL, FOREIGN = 2, 3, 4, 5
COMMANDS = (("run", "--once"), ("scan",))


@pytest.fixture
def keeper(aave36, tmp_path):
    made = Keeper(tmp_path / "keeper", aave36)
    made.configure()
    return made


def refused(finished, code):
    """Check the manner of an error and return its lines."""
    lines = [line for line in finished.err.splitlines() if line.startswith(("error[", "hint:"))]
    assert finished.code == code, finished.err
    if finished.out:  # under --json the error is a document, or an event, too
        document = json.loads(finished.out)
        assert document.get("error", document)["message"] in lines[0]
    assert "Traceback" not in finished.err
    assert [line.partition(":")[0].partition("[")[0] for line in lines] == ["error", "hint"]
    assert "127.0.0.1:" not in finished.err
    return lines


@pytest.mark.parametrize("command", COMMANDS)
def test_another_chain_than_configured(keeper, command):
    keeper.configure(chain_id=1)

    lines = refused(keeper.command(*command, "--json"), USAGE)

    assert "31337" in lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_node_that_is_not_there(keeper, command):
    keeper.endpoint = "ws://127.0.0.1:9/secret-key"
    keeper.configure()

    finished = keeper.command(*command, "--json")

    refused(finished, ENVIRONMENT)
    assert "secret-key" not in finished.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_market_without_code(keeper, command):
    keeper.configure(market=NOBODY)

    lines = refused(keeper.command(*command, "--json"), USAGE)

    assert NOBODY in lines[0]


def test_a_factory_without_code(keeper):
    file = keeper.folder / "keeper.toml"
    factory = keeper.devnet.venue.factory.address
    file.write_text(file.read_text().replace(f'factory = "{factory}"', f'factory = "{NOBODY}"'))

    lines = refused(keeper.command("run", "--once", "--json"), USAGE)

    assert NOBODY in lines[0]


def test_an_executor_without_code(keeper):
    keeper.executor = NOBODY
    keeper.configure()

    lines = refused(keeper.command("run", "--once", "--dry-run", "--json"), USAGE)

    assert NOBODY in lines[0]


def test_an_executor_that_does_not_know_the_key(keeper):
    keeper.key = "0x" + "11" * 32

    lines = refused(keeper.command("run", "--once", "--json"), ENVIRONMENT)

    assert "operator" in lines[0]


def test_no_executor(keeper):
    keeper.executor = None
    keeper.configure()
    keeper.executor = None

    lines = refused(keeper.command("run", "--once", "--json"), USAGE)

    assert "executor" in lines[0]


def test_no_key(keeper):
    keeper.key = None

    lines = refused(keeper.command("run", "--once", "--json"), USAGE)

    assert "key" in lines[0]


def test_a_key_with_a_past_and_no_journal(keeper):
    """Elsewhere its nonces may be bound: nothing is signed before somebody says so."""
    devnet = keeper.devnet
    devnet.node.send_all([devnet.tokens["WETH"].transaction("deposit", sender=devnet.accounts.hot)])
    devnet.node.rpc("evm_setAutomine", [False])
    devnet.node.rpc(
        "eth_sendTransaction",
        [devnet.tokens["WETH"].transaction("deposit", sender=devnet.accounts.hot).as_json()],
    )

    refused(keeper.command("run", "--once", "--json"), JOURNAL)


def test_somebody_else_used_the_key(keeper):
    """The journal of the first run does not know the nonce: the key is not ours alone."""
    devnet = keeper.devnet
    assert keeper.command("run", "--once", "--json").code == 0
    devnet.node.send_all([devnet.tokens["WETH"].transaction("deposit", sender=devnet.accounts.hot)])

    refused(keeper.command("run", "--once", "--json"), FOREIGN)


def test_two_live_keepers_with_one_journal(keeper):
    """The lock is held for life."""
    with keeper.running() as running:
        running.until("block")

        refused(keeper.command("run", "--once", "--json"), JOURNAL)
