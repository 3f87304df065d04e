"""F44: journals that earlier versions wrote, as stored files, and one of a later version."""

import sqlite3
from pathlib import Path

import pytest

from keeper.domain.breaker import Breaker
from keeper.domain.errors import JournalError
from keeper.domain.submission import NonceState
from keeper.storage.journal import Journal

STORED = Path(__file__).resolve().parents[2] / "data" / "journals"
SENDER = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"


def restored(script, folder):
    """Write a stored journal back as the file that it was."""
    path = folder / "keeper.sqlite"
    with sqlite3.connect(path) as rows:
        rows.executescript(script.read_text())
    rows.close()
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
async def test_f44_a_journal_of_an_earlier_version_is_taken_over_with_all_it_has(
    tmp_path, revision
):
    """Nonces, bytes, receipts and switches: an upgrade must not forget what is in a mempool."""
    path = restored(STORED / f"r{revision}.sql", tmp_path)

    journal = Journal.open(path, chain_id=31337, sender=SENDER, chain_nonce=2)
    waiting = await journal.open_submissions()
    final = await journal.final_above(0)
    paused = {one.name: one.open is not None for one in await journal.breakers()}
    spent = await journal.spent(0, 10)
    await journal.finalise(1)
    await journal.keep_anchor(1, "0xaa")
    journal.close()

    assert [(one.nonce, one.state) for one in waiting] == [
        (1, NonceState.INCLUDED),
        (2, NonceState.BOUND),
    ]
    assert [one.newest.raw for one in waiting] == [b"\x02\x01", b"\x02\x02"]
    assert waiting[0].batch.plans[0].data_fee == 0
    assert waiting[0].inclusion.gas_cost == 400_000 * 11 * 10**9
    assert [one.nonce for one in final] == [0]
    assert [one.cost for one in spent] == [400_000 * 11 * 10**9] * 2
    assert paused[Breaker.PAUSED] is (revision != "0001")


def test_f44_a_journal_of_a_later_version_is_refused_with_the_way_out(tmp_path):
    """Going back would write into tables that mean something else."""
    path = restored(STORED / "r0004.sql", tmp_path)
    with sqlite3.connect(path) as rows:
        rows.execute("UPDATE alembic_version SET version_num = '9999'")
    rows.close()

    with pytest.raises(JournalError, match="newer version") as caught:
        Journal.open(path, chain_id=31337, sender=SENDER)
    assert "newer" in caught.value.hint
