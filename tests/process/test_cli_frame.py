"""The installed command as a shell sees it: exit codes, streams, pipes."""

import os
import subprocess
from pathlib import Path

import pytest

from keeper.cli.lazy import COMMANDS
from tests.support.forked import completed

PROJECT = Path(__file__).parents[2]


def keeper(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """
    Run the command in a process of its own, with nothing of this one's settings.

    It imports all of the keeper itself: one command's modules must not need another's.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
    return completed(
        arguments, cwd=PROJECT, env=kept | environment, timeout=60, imported="libraries"
    )


@pytest.mark.io
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_listed_has_help(name):
    """A command in the list that cannot be loaded is a broken installation."""
    result = keeper(name, "--help")

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: keeper {name}")


def test_without_settings_the_hint_says_where_to_start():
    """The first command of a newcomer."""
    result = keeper("config", "check", "--config", "/nonexistent/keeper.toml")

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error[config]: ")
    assert "hint: run `keeper init`" in result.stderr


def test_a_misspelt_variable_stops_every_command_that_reads_settings():
    """Ignored in silence, it would run with another setting than the operator thinks."""
    result = keeper("config", "show", "-c", "keeper.example.toml", KEEPER_POLICY__MIN_PROFIT="10")

    assert result.returncode == 2
    assert "KEEPER_POLICY__MIN_PROFIT_USD" in result.stderr
