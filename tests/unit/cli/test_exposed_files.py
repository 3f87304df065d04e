"""What commands say of files that other users of the machine may get at."""

import pytest

from keeper.book.file import BookFile
from keeper.cli import root
from keeper.cli.doctor_checks import _check_files
from keeper.config import load
from keeper.storage.database import opened

SETTINGS = (
    '[chain]\nid = 1\nendpoints = ["http://127.0.0.1:1"]\n'
    '[[market]]\nprotocol = "aave_v3"\n'
    'addresses_provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"\nfrom_block = 1\n'
)
KEYED = SETTINGS.replace("127.0.0.1:1", "127.0.0.1:1/v2/aB3dE5fG7hJ9")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with settings, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    return tmp_path


def test_config_check_warns_of_open_settings(folder, capsys):
    """They hold no key today."""
    (folder / "keeper.toml").chmod(0o644)

    assert root.run(["config", "check"]) == 0

    assert "warning: keeper.toml: other users may read it" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["run", "--dry-run", "--once"],
        ["doctor"],
        ["scan"],
        ["config", "show"],
        ["config", "check"],
        ["tx", "list"],
        ["calls"],
        ["notify", "test"],
        ["breaker", "list"],
        ["report", "fairness"],
        ["audit", "verify"],
        ["key", "check"],
    ],
)
def test_every_command_refuses_open_settings_with_a_key(folder, capsys, command):
    """Whichever is called first says so, with the one command that ends it."""
    (folder / "keeper.toml").write_text(KEYED)
    (folder / "keeper.toml").chmod(0o644)

    assert root.run(command) != 0

    said = "".join(capsys.readouterr())
    assert "keeper.toml holds a secret and other users may read it: its mode is 0644" in said
    assert "chmod 600" in said
    assert "aB3dE5fG7hJ9" not in said


@pytest.mark.slow
def test_doctor_names_each_open_file_and_its_fix(folder):
    """What the keeper wrote in earlier versions, or somebody copied, is looked at, too."""
    opened(folder / "keeper.sqlite").close()
    BookFile(folder / "keeper.book.sqlite", 1).close()
    old = folder / "keeper.book.sqlite.old"
    old.touch()
    names = ("keeper.toml", "keeper.sqlite", "keeper.book.sqlite", "keeper.book.sqlite.old")
    assert [one.level for one in _check_files(load(None, environ={}))] == ["ok"]
    for name in names:
        (folder / name).chmod(0o644)

    found = _check_files(load(None, environ={}))

    assert [one.level for one in found] == ["warn"] * len(names)
    for name, finding in zip(names, found, strict=True):
        assert name in finding.detail
        assert finding.fix.startswith("chmod 600 ")
