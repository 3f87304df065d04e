"""Terminals and pipes that take no Unicode."""

import io
import json
import os
import subprocess
import sys

import pytest

from keeper.cli.plain_text import plain
from keeper.cli.words import TIER_LOOKS
from keeper.observe.sink import unbuffered
from tests.unit.cli.test_breaker_command import SETTINGS
from tests.unit.cli.test_calls_command import GUARDIAN, played


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "keeper.toml").write_text(SETTINGS + GUARDIAN)
    played(tmp_path, 2_600, *[2_050] * 4)
    return tmp_path


def told(folder, encoding, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "keeper", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.io
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_table_is_written_in_whatever_stdout_takes(folder, encoding):
    """It ended as a bug: a cron job's stdout is often ASCII."""
    out = told(folder, encoding, "calls").decode(encoding)

    assert ("✖ liquidatable" if encoding == "utf-8" else "x liquidatable") in out


@pytest.mark.io
def test_json_loses_nothing_in_ascii(folder):
    """It has escapes of its own for that."""
    document = json.loads(told(folder, "ascii", "calls", "--json"))

    assert len(document["calls"]) == 2


def test_each_tier_has_a_plain_symbol_of_its_own():
    """No tier may look like another."""
    symbols = [plain(symbol) for symbol, _ in TIER_LOOKS.values()]

    assert all(one.isascii() and one for one in symbols)
    assert len(set(symbols)) == len(symbols)


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [("Ünï", "Uni"), ("a…b", "a...b"), ("0x1→0x2", "0x1->0x2"), ("₮", "?"), ("plain", "plain")],
)
def test_letters_keep_what_they_can(text, ascii_text):
    """And what has no plain form is a question mark, not an error."""
    assert plain(text) == ascii_text


@pytest.mark.parametrize(("encoding", "written"), [("ascii", b"?\n"), ("utf-8", "é\n".encode())])
def test_events_of_a_run_are_written_in_the_streams_encoding(tmp_path, encoding, written):
    """They leave past the stream's own buffer."""
    with (tmp_path / "out").open("wb") as raw, io.TextIOWrapper(raw, encoding=encoding) as stream:
        unbuffered(stream).write("é\n")

    assert (tmp_path / "out").read_bytes() == written
