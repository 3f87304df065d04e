"""`executor`, `key` and `doctor` against a real market and a real executor."""

import json

import pytest

from keeper.cli import root
from keeper.devnet.market import hot_key
from keeper.devnet.node import Transaction

COLD = "0x00000000000000000000000000000000000C01d0".lower()
ZERO = "0x" + "0" * 40


@pytest.fixture
def settings(aave36, tmp_path, monkeypatch):
    """Write settings for the market, with its hot key in .env, and run commands beside them."""
    devnet = aave36

    def write(executor: str | None = None, endpoint: str = ""):
        lines = [
            "[chain]",
            "id = 31337",
            f'endpoints = ["{endpoint or f"ws://127.0.0.1:{devnet.node.port}"}"]',
            "[[market]]",
            'protocol = "aave_v3"',
            f'addresses_provider = "{devnet.aave.provider.address}"',
            f"from_block = {devnet.from_block}",
            "[[venue]]",
            'kind = "uniswap_v3"',
            f'factory = "{devnet.venue.factory.address}"',
            f'quoter = "{devnet.venue.quoter.address}"',
            f'router = "{devnet.venue.router.address}"',
        ]
        if executor:
            lines += ["[[executor]]", f'address = "{executor}"']
        (tmp_path / "keeper.toml").write_text("\n".join(lines) + "\n")
        (tmp_path / "keeper.toml").chmod(0o600)

    key = hot_key()
    text = key.hex() if isinstance(key, bytes) else str(key)
    (tmp_path / ".env").write_text(f"KEEPER_WALLET__PRIVATE_KEY={text}\n")
    (tmp_path / ".env").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KEEPER_CONFIG", raising=False)
    write()
    return write


@pytest.fixture
def printed(capsys):
    """Run a command and return its exit code and its JSON."""

    def run(*arguments: str):
        capsys.readouterr()
        code = root.run([*arguments, "--json"])
        captured = capsys.readouterr()
        assert captured.out, captured.err
        return code, json.loads(captured.out)

    return run


def levels(document, what):
    return {one["level"] for one in document["checks"] if one["what"] == what}


def test_a_deployed_executor_passes_its_own_check(settings, printed):
    """Deploy, put the address into the settings, check: nothing else is to be done."""
    code, made = printed("executor", "deploy", "--owner", COLD)
    assert code == 0
    settings(made["address"])

    code, document = printed("executor", "check")

    assert code == 0
    assert {one["level"] for one in document["checks"]} == {"ok"}
    assert levels(document, "executor LendingPool") == {"ok"}
    assert levels(document, "executor Factory") == {"ok"}


def test_the_storage_build_is_deployed_and_recognised(settings, printed):
    """Chains without transient storage get the other bytecode."""
    _, made = printed("executor", "deploy", "--storage-build", "--owner", COLD)
    settings(made["address"])
    _, document = printed("executor", "check")

    assert "LiquidationExecutorStorage" in document["checks"][0]["detail"]


def test_somebody_elses_contract_is_no_executor(settings, printed, aave36):
    """An address of another contract in the settings must not be trusted with a key."""
    settings(aave36.tokens["WETH"].address)
    code, document = printed("executor", "check")

    assert code == 3
    assert [one["level"] for one in document["checks"]] == ["fail"]


def test_what_lies_in_the_executor_is_seen_and_swept(settings, printed, aave36):
    """Tokens sent there by mistake are not lost."""
    hot, weth = aave36.accounts.hot, aave36.tokens["WETH"]
    _, made = printed("executor", "deploy")
    settings(made["address"])
    aave36.node.send(Transaction(sender=hot, to=weth.address, data=b"", value=10**16))
    weth.send("transfer", made["address"], 10**15, sender=hot)

    _, before = printed("executor", "check")
    code, document = printed("executor", "sweep", "--to", COLD)
    _, after = printed("executor", "check")

    assert levels(before, "executor balances") == {"warn"}
    assert code == 0
    assert [one["amount"] for one in document["swept"]] == [str(10**15)]
    assert weth.call("balanceOf", COLD) == 10**15
    assert levels(after, "executor balances") == {"ok"}


def test_only_the_owner_sweeps(settings, capsys, printed):
    """The refusal costs no gas."""
    _, made = printed("executor", "deploy", "--owner", COLD)
    settings(made["address"])
    code = root.run(["executor", "sweep"])

    assert code == 2
    assert "only the owner" in capsys.readouterr().err


def test_the_doctor_refuses_the_addresses_that_a_run_refuses(settings, printed, tmp_path):
    """A token of another chain in a route is a failure before the first block, not at it."""
    _, made = printed("executor", "deploy", "--owner", COLD)
    settings(made["address"])
    text = (tmp_path / "keeper.toml").read_text()
    other = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
    (tmp_path / "keeper.toml").write_text(
        text.replace('kind = "uniswap_v3"', f'kind = "uniswap_v3"\nvia = ["{other}"]')
    )

    code, document = printed("doctor")

    (check,) = [one for one in document["checks"] if one["what"] == "addresses"]
    assert code == 3
    assert check["level"] == "fail"
    assert other in check["detail"]


def test_the_doctor_finds_nothing_wrong_with_a_good_set_up(settings, printed):
    """Every line is ok but the warnings about a key in the environment."""
    _, made = printed("executor", "deploy", "--owner", COLD)
    settings(made["address"])
    code, document = printed("doctor")

    failures = [one for one in document["checks"] if one["level"] == "fail"]
    assert failures == []
    assert code == 0
    assert levels(document, "executor code") == {"ok"}


def test_the_doctor_says_what_is_wrong_and_hides_the_endpoint(settings, capsys):
    """An unreachable node: one line, exit code 3, no key."""
    settings(endpoint="http://127.0.0.1:9/CANARY")
    code = root.run(["doctor"])

    captured = capsys.readouterr()
    assert code == 3
    assert "fail  endpoint http://127.0.0.1:9" in captured.out
    assert "CANARY" not in captured.out + captured.err


def test_the_doctor_names_an_account_without_code(settings, capsys, aave36, tmp_path):
    """A market's address with nothing behind it."""
    text = (tmp_path / "keeper.toml").read_text()
    (tmp_path / "keeper.toml").write_text(text.replace(aave36.aave.provider.address, COLD))
    code = root.run(["doctor"])

    assert code == 3
    assert "fail  market aave_v3:" in capsys.readouterr().out


def test_the_key_is_checked_on_the_chain(settings, printed, aave36):
    """Balance, nonce, no code; empty is a failure."""
    code, document = printed("key", "check")
    aave36.node.set_balance(aave36.accounts.hot, 0)
    empty_code, empty = printed("key", "check")

    assert code == 0
    assert levels(document, "key code") == {"ok"}
    assert empty_code == 3
    assert levels(empty, "key balance") == {"fail"}


def test_init_asks_the_chain_for_its_id(aave36, tmp_path):
    """Nobody should look up what the node knows."""
    endpoint = f"http://127.0.0.1:{aave36.node.port}"
    code = root.run(["init", str(tmp_path / "x"), "--endpoint", endpoint])

    text = (tmp_path / "x" / "keeper.toml").read_text()
    assert code == 0
    assert "\nid = 31337\n" in text
    assert endpoint in text
