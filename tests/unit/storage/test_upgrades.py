"""F44: journals that earlier versions wrote, as stored files, and one of a later version."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from keeper.domain.breaker import Breaker
from keeper.domain.errors import JournalError
from keeper.domain.submission import NonceState
from keeper.storage.database import opened
from keeper.storage.journal import Journal
from keeper.storage.migrations import FOLDER, newest

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


@pytest.mark.io
@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0007"])
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


@pytest.mark.io
def test_f44_a_journal_of_a_later_version_is_refused_with_the_way_out(tmp_path):
    """Going back would write into tables that mean something else."""
    path = restored(STORED / "r0004.sql", tmp_path)
    with sqlite3.connect(path) as rows:
        rows.execute("UPDATE alembic_version SET version_num = '9999'")
    rows.close()

    with pytest.raises(JournalError, match="newer version") as caught:
        Journal.open(path, chain_id=31337, sender=SENDER)
    assert "newer" in caught.value.hint


def test_what_is_called_the_newest_revision_is_the_one_that_migrations_lead_to():
    """It is read from the names of the files, without Alembic."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))

    assert newest() == ScriptDirectory.from_config(config).get_current_head()


@pytest.mark.io
def test_a_journal_of_this_version_is_opened_without_the_machinery_of_migrations(tmp_path):
    """Importing that took a fifth of every start."""
    path = tmp_path / "keeper.sqlite"
    opened(path).close()
    script = (
        "import sys; from pathlib import Path; from keeper.storage.database import opened\n"
        "opened(Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )

    again = subprocess.check_output([sys.executable, "-c", script, str(path)])

    assert again == b"False\n"


KILLED = """
import os, signal, sys
from pathlib import Path
from alembic.operations import Operations
from keeper.storage.database import opened
left = int(sys.argv[2])
made = Operations.create_table
def create_table(*arguments, **options):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return made(*arguments, **options)
Operations.create_table = create_table
opened(Path(sys.argv[1])).close()
"""


@pytest.mark.io
@pytest.mark.parametrize("table", [2, 3, 9])
def test_a_process_that_is_killed_while_it_makes_the_journal_leaves_none(tmp_path, table):
    """Half of the tables would stop every process after it, and there is nothing to restore."""
    path = tmp_path / "keeper.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(table)], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL

    database = opened(path)

    assert database.write_now(schema_of) == schema_of_a_new_one(tmp_path)
    database.close()


def schema_of(connection):
    query = "select name, sql from sqlite_master where name not like 'sqlite_%' order by name"
    return [tuple(row) for row in connection.exec_driver_sql(query)]


def schema_of_a_new_one(folder):
    database = opened(folder / "another.sqlite")
    found = database.write_now(schema_of)
    database.close()
    return found
