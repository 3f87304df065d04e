"""The hash that says which settings a decision was made under."""

import pytest

from keeper.config import load
from keeper.config.hashing import settings_hash

FILE = (
    '[chain]\nid = 1\nendpoints = ["http://127.0.0.1:1/{ending}"]\n'
    '[[market]]\nprotocol = "aave_v3"\n'
    'addresses_provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"\nfrom_block = 1\n'
    '[policy]\nmin_profit_usd = "{profit}"\n'
)


@pytest.fixture
def hashed(tmp_path, monkeypatch):
    """Return the hash of a file's settings, with what the environment adds."""
    monkeypatch.chdir(tmp_path)

    def made(name="keeper.toml", ending="a", profit="5", **environment):
        path = tmp_path / name
        path.write_text(FILE.format(ending=ending, profit=profit))
        with monkeypatch.context() as patched:
            for key, value in environment.items():
                patched.setenv(key, value)
            return settings_hash(load(path, {}).settings)

    return made


def test_the_same_settings_have_the_same_hash_wherever_they_were_written(hashed):
    """In another file, or in the environment."""
    assert hashed() == hashed(name="other.toml")
    assert hashed(profit="7") == hashed(profit="5", KEEPER_POLICY__MIN_PROFIT_USD="7")


def test_another_setting_is_another_hash_and_a_secret_is_not(hashed):
    """Nobody may guess an endpoint's key from the record."""
    assert hashed() != hashed(profit="6")
    assert hashed(ending="a") == hashed(ending="b")
