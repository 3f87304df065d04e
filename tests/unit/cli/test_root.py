"""What the command line promises before any command does its work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from keeper.cli import lazy, root
from keeper.domain.errors import ConfigError, ForeignKeyUse, JournalError

PROJECT = Path(__file__).parents[3]
SECRET_URL = "https://user:pass@node.example/v2/SECRET-API-KEY?token=SECRET-API-KEY"


def command_that_raises(error: BaseException):
    def command() -> None:
        """Raise what the test wants to see reported."""
        raise error

    return command


@pytest.fixture
def invoked(monkeypatch, capsys):
    """Run one command whose body raises the given error; return code, stdout, stderr."""

    def run(error: BaseException, *arguments: str):
        monkeypatch.setattr(lazy, "loaded", lambda target: command_that_raises(error))
        code = root.run(["scan", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_an_expected_error_is_two_lines_with_its_code_and_hint(invoked):
    """Scripts match on the code; people read the hint."""
    code, out, err = invoked(ConfigError("chain.id: missing", hint="set it"))

    assert (code, out, err) == (2, "", "error[config]: chain.id: missing\nhint: set it\n")


@pytest.mark.parametrize(("error", "expected"), [(JournalError("x"), 4), (ForeignKeyUse("x"), 5)])
def test_the_exit_code_is_the_errors_own(invoked, error, expected):
    """A supervisor decides by the code whether a restart helps."""
    code, _, _ = invoked(error)

    assert code == expected


def test_an_unexpected_error_is_one_line_without_the_endpoints_key(invoked):
    """Foreign exceptions carry whole addresses; those hold keys."""
    code, out, err = invoked(RuntimeError(f"no route to {SECRET_URL}"))

    assert code == 1
    assert out == ""
    assert err.count("\n") == 1
    assert "https://node.example" in err
    assert "--debug" in err
    assert "SECRET" not in err
    assert "pass" not in err


def test_debug_shows_the_traceback_redacted(invoked):
    """A bug report must be safe to paste."""
    code, _, err = invoked(RuntimeError(f"no route to {SECRET_URL}"), "--debug")

    assert code == 1
    assert "Traceback" in err
    assert "SECRET" not in err


def test_an_interrupt_is_quiet(invoked):
    """Ctrl-C is not an error of the program."""
    assert invoked(KeyboardInterrupt()) == (130, "", "")


@pytest.mark.io
def test_a_closed_pipe_is_quiet():
    """`keeper --help | true` ends well."""
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-m", "keeper", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        cwd=PROJECT,
    )
    os.close(writing)

    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["scna"], "Did you mean 'scan'"),
        (["config", "shwo"], "Did you mean 'show'"),
        (["--verion"], "Did you mean --version"),
    ],
)
def test_a_slip_of_the_finger_names_the_nearest(monkeypatch, capsys, arguments, wanted):
    """One line, no box, no usage text."""
    group = typer.Typer()
    group.command("show")(lambda: None)
    group.command("check")(lambda: None)
    monkeypatch.setattr(lazy, "loaded", lambda target: group)

    code = root.run(arguments)

    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith("error[usage]: ")
    assert wanted in err
    assert err.count("\n") == 1


def test_a_missing_module_breaks_only_its_own_command(monkeypatch, capsys):
    """A broken room must not take `keeper --help` with it."""
    broken = lazy.CommandSpec(target="keeper.cli.no_such_module:command", help="broken")
    monkeypatch.setitem(lazy.COMMANDS, "scan", broken)

    listed, broken_code = root.run(["--help"]), root.run(["scan"])

    assert (listed, broken_code) == (0, 3)
    assert "no_such_module" in capsys.readouterr().err


@pytest.mark.io
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"_KEEPER_COMPLETE": "complete_bash", "COMP_WORDS": "keeper ", "COMP_CWORD": "1"},
    ],
    ids=["help", "completion"],
)
def test_help_and_completion_do_not_import_the_heavy_libraries(environment):
    """Importing web3 takes a second; pressing tab must not."""
    code = (
        "import sys\n"
        "from keeper.cli.root import run\n"
        "try:\n"
        "    run([] if len(sys.argv) < 2 else sys.argv[1:])\n"
        "finally:\n"
        "    heavy = {'web3', 'eth_account', 'sqlalchemy', 'aiohttp', 'eth_abi'}\n"
        "    print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env=environment,
    )

    assert "scan" in result.stdout
    assert "heavy: []" in result.stdout
