"""Which program made a decision."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import keeper
from keeper.version import code_version


def test_the_code_s_version_names_version_and_sources():
    """A release and a working copy of it are told apart."""
    assert re.fullmatch(re.escape(keeper.__version__) + r"\+[0-9a-f]{16}", code_version())


@pytest.mark.io
def test_one_changed_line_is_another_version(tmp_path):
    """Whoever replays a decision sees that it was made by other code."""
    shutil.copytree(
        Path(keeper.__file__).parent,
        tmp_path / "keeper",
        ignore=shutil.ignore_patterns("__pycache__", "devnet"),
    )
    asked = [sys.executable, "-c", "from keeper.version import code_version as v; print(v())"]
    first = subprocess.check_output(asked, cwd=tmp_path, text=True)
    with (tmp_path / "keeper" / "risk" / "tiers.py").open("a") as changed:
        changed.write("\n")
    second = subprocess.check_output(asked, cwd=tmp_path, text=True)

    assert first != second
