"""
Every wrong input is one clear line: what, where, what is allowed, how to fix it.

The rows are in ``tests/support/bad_settings.py`` and ``bad_keys.py``. What needs a chain (an
address without code, a node of another chain, a block that is not there yet, an executor that
does not know the key) is in ``tests/chain/test_acceptance_inputs.py``; there are no remote signers.
"""

import pytest

from keeper.config import SettingsInvalid, load
from tests.support.bad_inputs import KEY, MINIMAL, Place, told
from tests.support.bad_keys import OTHERS
from tests.support.bad_settings import SETTINGS

ROWS = [*SETTINGS, *OTHERS]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=map(str, ROWS))
def test_a_bad_input_is_one_clear_line(tmp_path, row):
    """What is wrong is named, what would be right is said, and no secret is repeated."""
    code, message, hint = told(row, Place(tmp_path))

    assert code == row.code
    assert row.said in message
    assert row.hint in hint
    assert message
    assert "\n" not in message
    assert KEY[2:-2] not in message + hint
    assert "Traceback" not in message + hint


def test_every_row_is_there_once():
    """A row that hides another one checks nothing."""
    assert len({str(row) for row in ROWS}) == len(ROWS)


def test_every_problem_is_kept_and_the_first_is_told(tmp_path):
    """`config check` lists them all, so that one edit fixes them all."""
    with pytest.raises(SettingsInvalid) as caught:
        Place(tmp_path).load(MINIMAL + "\n[policy]\nmin_profit = 1\nconfirmations = 0\n")

    assert len(caught.value.problems) == 2
    assert "and 1 more" in str(caught.value)


@pytest.mark.parametrize(
    "change", [lambda t: b"\xef\xbb\xbf" + t, lambda t: t.replace(b"\n", b"\r\n")]
)
def test_what_an_editor_adds_is_no_mistake(tmp_path, change):
    """A byte order mark, line ends of another system."""
    path = tmp_path / "keeper.toml"
    path.write_bytes(change(MINIMAL.encode()))

    assert load(path, environ={}).settings.chain.id == 31337
