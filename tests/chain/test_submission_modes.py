"""A dry run cannot send and observing cannot sign: not by a flag, but since nothing is there to."""

import json

import pytest

import keeper.app
import keeper.cli.here
import keeper.cli.run
import keeper.composition.treatment
import keeper.execution.keystore
import keeper.execution.signer
from keeper.chain.sender import Sender
from keeper.cli import root
from keeper.execution.everywhere import SendsEverywhere
from keeper.execution.signer import LocalSigner
from tests.chain.worlds import Keeper, decisions

FALL = {"WETH": 2_500 * 10**8}


def forbidden(*_, **__):
    raise AssertionError("this mode must not reach it")


@pytest.fixture
def here(aave36, tmp_path, monkeypatch):
    """Commands run in this process, where what they reach can be watched."""
    made = Keeper(tmp_path / "keeper", aave36)
    made.configure()
    for name in ("KEEPER_CONFIG", "KEEPER_WALLET__PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEEPER_OBSERVE__LISTEN", "127.0.0.1:0")  # others may run meanwhile
    monkeypatch.chdir(made.folder)
    aave36.set_prices(FALL)
    return made


@pytest.fixture
def nothing_that_signs(monkeypatch):
    """Whoever makes a signer or a sender, or sends, fails the test."""
    monkeypatch.setattr(LocalSigner, "__init__", forbidden)
    for sender in (Sender, SendsEverywhere):
        monkeypatch.setattr(sender, "__init__", forbidden)
        monkeypatch.setattr(sender, "send_raw", forbidden)


def events(capsys):
    captured = capsys.readouterr()
    assert "error" not in captured.err, captured.err
    return [json.loads(line) for line in captured.out.splitlines()]


def test_a_dry_run_makes_no_signer_and_no_sender(here, nothing_that_signs, monkeypatch, capsys):
    """With a key in the environment it plans and simulates, and has nothing to sign with."""
    monkeypatch.setenv("KEEPER_WALLET__PRIVATE_KEY", here.key)

    code = root.run(["run", "--dry-run", "--once", "--json"])

    told = events(capsys)
    assert code == 0
    assert decisions(told, "liquidate")
    assert {one["event"] for one in told} >= {"paper", "decision", "block"}


def test_observing_reads_no_key_even_where_one_is_configured(
    here, nothing_that_signs, monkeypatch, capsys
):
    """The keystore is not a keystore and nobody notices: it is never opened."""
    keystore = here.folder / "key.json"
    keystore.write_text("no keystore")
    keystore.chmod(0o600)
    with (here.folder / "keeper.toml").open("a") as settings:
        settings.write('\n[wallet]\nkeystore = "key.json"\n')
    for module, name in (
        (keeper.cli.run, "wallet_key"),
        (keeper.composition.treatment, "hot_address"),
        (keeper.execution.keystore, "load"),
        (keeper.execution.keystore, "stated_address"),
        (keeper.execution.signer, "checked_key"),
    ):
        monkeypatch.setattr(module, name, forbidden)

    code = root.run(["run", "--observe", "--once", "--json"])

    told = events(capsys)
    assert code == 0
    assert {one["event"] for one in told} == {"block", "margin_call"}
    assert told[-1]["unhealthy"] > 0


def test_a_live_run_without_a_key_ends_before_it_reads_the_market(here, capsys):
    """Exit code 2, and the line says what to do."""
    code = root.run(["run", "--once"])

    assert code == 2
    assert "no key is configured" in capsys.readouterr().err


def test_a_live_run_does_reach_signer_and_sender(here, nothing_that_signs, monkeypatch, capsys):
    """Or the two tests above would prove nothing."""
    monkeypatch.setenv("KEEPER_WALLET__PRIVATE_KEY", here.key)

    assert root.run(["run", "--once"]) == 1
    assert "must not reach" in capsys.readouterr().err
