"""`keeper key new` and `import`: a file that only its owner reads, and no secret in sight."""

import json
import stat

import pytest

from keeper.cli import root
from keeper.execution import keystore

KEY = "4c" * 32


@pytest.fixture
def files(tmp_path):
    """A password file and a key file, private."""
    for name, text in (("password", "correct horse\n"), ("key", f"0x{KEY}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.mark.slow
def test_an_imported_key_can_be_loaded_again(files, capsys):
    """The address is printed, the key never."""
    target = files / "key.json"
    arguments = ["key", "import", str(target), "--json"]
    arguments += ["--password-file", str(files / "password"), "--key-file", str(files / "key")]
    code = root.run(arguments)

    captured = capsys.readouterr()
    assert code == 0
    assert json.loads(captured.out)["address"] == keystore.stated_address(target)
    assert keystore.load(target, "correct horse").hex() == KEY
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert KEY not in captured.out + captured.err


def test_an_existing_file_is_never_overwritten(files, capsys):
    """A lost key is lost money."""
    (files / "key.json").write_text("precious")
    code = root.run(
        ["key", "new", str(files / "key.json"), "--password-file", str(files / "password")]
    )

    assert code == 2
    assert (files / "key.json").read_text() == "precious"


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("x", 0o644, "other users may read"),
        ("\n", 0o600, "is empty"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_a_bad_password_file_is_one_line(files, capsys, content, mode, said):
    """Before any key is made."""
    path = files / "other"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    code = root.run(["key", "new", str(files / "k.json"), "--password-file", str(path)])

    assert code == 2
    assert said in capsys.readouterr().err
    assert not (files / "k.json").exists()


def test_a_wrong_key_is_not_repeated(files, capsys):
    """What is almost a key is almost a secret."""
    (files / "key").write_text(KEY[:-1] + "\n")
    arguments = ["key", "import", str(files / "k.json")]
    arguments += ["--password-file", str(files / "password"), "--key-file", str(files / "key")]
    code = root.run(arguments)

    err = capsys.readouterr().err
    assert code == 2
    assert "not a private key" in err
    assert KEY[:-1] not in err
