"""``scripts/demo`` from a stranger's side: one command, an exit code, and nothing left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keeper.devnet.anvil import is_running
from tests.support.forked import completed

pytestmark = pytest.mark.early(2)

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 280


@contextlib.contextmanager
def demo(folder, *arguments):
    """Run the demo with its temporary folder under ``folder``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keeper.devnet.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def forked(folder, *arguments):
    """Run it to its end, without the time that it takes to import."""
    return completed(
        arguments,
        module="keeper.devnet.demo",
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        timeout=SECONDS,
    )


def shown(folder, *arguments):
    done = forked(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return json.loads(done.stdout), done.stderr


def appeared(folder, name):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for found in folder.glob(f"keeper-demo-*/{name}"):
            if found.stat().st_size:
                return found
        time.sleep(0.02)
    raise AssertionError(f"{name} did not appear")


def kinds(entries):
    return {each["kind"] for each in entries}


def test_everything_that_pays_is_liquidated_and_the_books_hold(tmp_path):
    """The promise of the first page, on the newest Aave."""
    with demo(tmp_path, "--json") as process:
        out, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told
    assert list(tmp_path.iterdir()) == []
    found = json.loads(out)

    assert found["ok"]
    assert all(check["held"] for check in found["checks"])
    done = found["liquidations"]
    assert kinds(done) >= {"several_collaterals", "e_mode", "two_by_two", "deep", "own_asset"}
    assert {each["spent_token"] for each in done} >= {"USDC", "USDT", "DAI", "WETH"}
    assert any(each["spent_token"] == each["received_token"] for each in done)
    assert all(int(each["health_before"]) < 10**18 for each in done)
    assert all(int(each["net_profit_usd_e8"]) > 0 for each in done)
    assert all(each["blocks"] >= 1 for each in done)
    reasons = {each["kind"]: each["reason"] for each in found["left_alone"]}
    assert reasons["dust"] == "dust"
    assert set(reasons.values()) <= {"dust", "below_min_profit", "exit_too_shallow"}
    breached = {who for step in found["steps"] for who in step["breached"]}
    left = {each["account"] for each in found["left_alone"]}
    assert breached == {each["account"] for each in done} | left
    assert int(found["books"]["net_usd_e8"]) > 10_000 * 10**8
    assert "nothing that pays is left" in told
    assert "\x1b" not in told


def test_the_older_aave_on_a_fork_holds_too(tmp_path):
    """Bad debt stays with its account there; the keeper says why it does not touch it."""
    found, _ = shown(tmp_path, "--aave", "3.0", "--fork")

    assert found["ok"]
    assert kinds(found["liquidations"]) >= {"e_mode", "stable_rate", "deep", "own_asset"}
    reasons = {(each["kind"], each["reason"]) for each in found["left_alone"]}
    assert {("deep", "no_collateral"), ("dust", "dust")} <= reasons


def markets(entries):
    return {each["market"].partition(":")[0] for each in entries}


def test_isolated_markets_are_liquidated_and_the_books_hold(tmp_path):
    """Another protocol, the same demo: nothing is borrowed, and all debt is repaid."""
    found, told = shown(tmp_path, "--protocol", "morpho_blue")

    assert found["ok"]
    done = found["liquidations"]
    assert markets(done) == {"morpho_blue"}
    assert len({each["market"] for each in done}) >= 5
    assert {each["spent_token"] for each in done} >= {"USDC", "USDT", "DAI"}
    assert {each["funding"] for each in done} == {"Morpho's callback"}
    assert all(int(each["health_before"]) < 10**18 for each in done)
    assert {each["reason"] for each in found["left_alone"]} <= {"exit_too_shallow"}
    assert found["protocol"] == "morpho_blue"
    assert "Morpho Blue" in told


def test_both_protocols_are_liquidated_in_the_same_books(tmp_path):
    """Borrowers of both, by one keeper; each position once, in one set of books."""
    found, _ = shown(tmp_path, "--protocol", "both")

    assert found["ok"]
    assert markets(found["liquidations"]) == {"aave_v3", "morpho_blue"}
    together = {}
    for each in found["liquidations"]:
        together.setdefault(each["transaction"], []).append(each)
    assert any(len(markets(each)) == 2 for each in together.values())


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path, by):
    """Neither processes nor files, at whatever moment it is stopped."""
    with demo(tmp_path) as process:
        lock = appeared(tmp_path, "keeper.sqlite.lock")
        keeper = int(lock.read_text())
        pids = [
            node["pid"] for node in json.loads((lock.parent / "state.json").read_text())["nodes"]
        ]

        process.send_signal(by)
        _, err = process.communicate(timeout=SECONDS)

    assert process.returncode == 130
    assert err.splitlines()[-1] == "stopped; nothing runs on"
    assert not any(map(is_running, pids))
    assert not Path(f"/proc/{keeper}").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_keeper_that_dies_is_told_in_one_line(tmp_path):
    """The demo does not wait for ever, nor call it a success."""
    with demo(tmp_path) as process:
        lock = appeared(tmp_path, "keeper.sqlite.lock")
        os.kill(int(lock.read_text()), signal.SIGKILL)
        out, err = process.communicate(timeout=SECONDS)

    assert process.returncode == 3
    assert "error[environment]: the keeper ended with code -9" in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_bad_option_is_refused_before_anything_starts(tmp_path):
    """Exit code 2, as of every command here."""
    done = forked(tmp_path, "--borrowers", "none")

    assert done.returncode == 2
    assert "--borrowers" in done.stderr
