"""Which mode asks for what, and settings that are wrong, by the real command without a chain."""

import os

import pytest

from keeper.devnet.toolchain import ROOT
from tests.support.forked import completed

KEY = "0x" + "11" * 32
SETTINGS = """\
[chain]
id = 31337
endpoints = ["http://127.0.0.1:9/secret"]

[[market]]
protocol = "aave_v3"
addresses_provider = "0x00000000000000000000000000000000DeaDBeef"
from_block = 0
"""
LIVE, DRY, OBSERVE = (), ("--dry-run",), ("--observe",)


@pytest.fixture
def keeper(tmp_path):
    """Run the command in a folder with settings; returns exit code, stdout and stderr."""

    def run(*arguments, settings=SETTINGS, key="", env_mode=None):
        (tmp_path / "keeper.toml").write_text(settings)
        if env_mode is not None:
            (tmp_path / ".env").write_text(f"KEEPER_WALLET__PRIVATE_KEY={KEY}\n")
            (tmp_path / ".env").chmod(env_mode)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
        own = {"PYTHONPATH": str(ROOT)} | ({"KEEPER_WALLET__PRIVATE_KEY": key} if key else {})
        done = completed(arguments, cwd=tmp_path, env=kept | own, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return run


def error_of(told):
    """Return the one error line, with its hint behind it."""
    lines = told.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("error[")]
    assert lines[at + 1].startswith("hint: ")
    assert "Traceback" not in told
    return lines[at]


def test_a_live_run_asks_for_its_key_before_anything_else(keeper):
    """No node was asked: the error is about the key, not about the endpoint."""
    code, out, told = keeper("run", "--once")

    assert (code, out) == (2, "")
    assert "key" in error_of(told)


@pytest.mark.parametrize("mode", [DRY, OBSERVE])
def test_modes_that_send_nothing_need_no_key(keeper, mode):
    """They get as far as the node, which is not there."""
    code, out, told = keeper("run", "--once", *mode)

    assert (code, out) == (3, "")
    assert "key" not in error_of(told)
    assert "secret" not in told


@pytest.mark.parametrize(
    "arguments", [("--dry-run", "--observe"), ("--once", "--blocks", "2"), ("--blocks", "0")]
)
def test_contradicting_options_are_usage(keeper, arguments):
    """Refused before the settings are read."""
    code, out, told = keeper("run", *arguments, key=KEY)

    assert (code, out) == (2, "")
    assert told.count("error[") == 1


def test_an_unknown_key_names_the_nearest(keeper):
    """What, in which line, and what was probably meant."""
    wrong = SETTINGS.replace("endpoints", "poll_intervall_ms = 100\nendpoints")

    code, _, told = keeper("run", "--dry-run", "--once", settings=wrong)

    assert code == 2
    assert "poll_intervall_ms" in error_of(told)
    assert "keeper.toml:3" in error_of(told)
    assert "poll_interval_ms?" in told


def test_a_missing_key_names_what_was_mistyped(keeper):
    """One mistake, one line: the market is there, though it is not complete."""
    wrong = SETTINGS.replace("from_block = 0", "from_blok = 0")

    code, _, told = keeper("run", "--dry-run", "--once", settings=wrong)

    assert code == 2
    assert error_of(told) == "error[config]: market[0].from_block: is missing (keeper.toml:5)"
    assert "from_blok mistyped" in told


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o666])
def test_an_env_file_that_others_may_read_is_refused(keeper, mode):
    """The key in it may be somebody else's by now."""
    code, _, told = keeper("run", "--once", env_mode=mode)

    assert code == 2
    assert ".env" in error_of(told)
    assert KEY[2:] not in told


def test_an_env_file_of_ones_own_is_read(keeper):
    """With the key from it the run gets as far as the node."""
    code, _, told = keeper("run", "--once", env_mode=0o600)

    assert code == 3
    assert KEY[2:] not in told
