"""`keeper config` and `keeper init`, run as a user runs them."""

import json
import os
import stat
from pathlib import Path

import pytest

from keeper.cli import root
from keeper.config import load

PROJECT = Path(__file__).parents[3]
KEY = "ab" * 32


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the example settings in it, where commands run."""
    text = (PROJECT / "keeper.example.toml").read_text()
    text = text.replace("127.0.0.1:8545", "user:CANARY@node.example/CANARY")
    (tmp_path / "keeper.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KEEPER_CONFIG", raising=False)
    return tmp_path


def test_show_hides_secrets_and_names_origins(folder, capsys):
    """What an operator pastes into a chat when asking for help."""
    (folder / ".env").write_text(f"KEEPER_WALLET__PRIVATE_KEY={KEY}\n")
    (folder / ".env").chmod(0o600)
    code = root.run(["config", "show", "--origin", "--set", "policy.min_profit_usd=7"])

    out = capsys.readouterr().out
    assert code == 0
    assert "chain.endpoints.0 = ws://node.example    # keeper.toml:11" in out
    assert "policy.min_profit_usd = 7    # flag policy.min_profit_usd" in out
    assert "wallet.private_key = ***    # .env:1 KEEPER_WALLET__PRIVATE_KEY" in out
    assert "policy.bump_bps = 1250    # default" in out
    assert "market.0.addresses_provider = 0x2f39" in out
    assert "CANARY" not in out
    assert KEY not in out


def test_show_prints_one_json_document(folder, capsys):
    """For scripts."""
    assert root.run(["config", "show", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["chain.id"] == 31337


def test_check_lists_every_problem(folder, capsys):
    """One run of the check, one round of edits."""
    text = (folder / "keeper.toml").read_text()
    text = text.replace("min_profit_usd", "min_profit").replace("31337", '"1"')
    (folder / "keeper.toml").write_text(text)
    code = root.run(["config", "check"])

    out = capsys.readouterr().out
    assert code == 2
    assert len(out.splitlines()) == 2
    assert "did you mean min_profit_usd?" in out


def test_check_knows_the_adapters_options(folder, capsys):
    """The settings alone cannot know what a protocol needs."""
    text = (folder / "keeper.toml").read_text()
    (folder / "keeper.toml").write_text(text.replace("quoter =", "quotr ="))
    code = root.run(["config", "check", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert code == 2
    assert {one["setting"] for one in document["problems"]} == {"venue[0].quoter", "venue[0].quotr"}


def test_init_writes_private_files_that_load(tmp_path, capsys):
    """The endpoint in the settings may hold a key, so both files are private."""
    before = os.umask(0)
    try:
        code = root.run(["init", str(tmp_path / "new")])
    finally:
        os.umask(before)

    assert code == 0
    for name in ("keeper.toml", ".env"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert load(tmp_path / "new" / "keeper.toml", environ={}).settings.chain.id == 31337


def test_init_overwrites_only_when_told(folder, capsys):
    """Somebody's settings are in that file."""
    before = (folder / "keeper.toml").read_text()

    assert root.run(["init"]) == 2
    assert (folder / "keeper.toml").read_text() == before
    assert root.run(["init", "--force"]) == 0
    assert (folder / "keeper.toml").read_text() != before
