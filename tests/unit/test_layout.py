"""What keeps the code readable by its mere shape, as far as no linter looks."""

from pathlib import Path

import keeper

ROOT = Path(keeper.__file__).parent


def test_every_file_can_be_read_in_one_sitting():
    """A file of more than four hundred lines is two files."""
    long = {
        str(file.relative_to(ROOT)): count
        for file in sorted(ROOT.rglob("*.py"))
        if (count := len(file.read_text().splitlines())) > 400
    }

    assert long == {}
