"""The examples that people start from are read by the real loader."""

import re
from pathlib import Path

import pytest

from keeper.composition.wiring import check_options
from keeper.config import load

PROJECT = Path(__file__).parents[3]


def test_the_example_settings_are_valid_with_their_options():
    """An example that does not load is worse than none."""
    settings = load(PROJECT / "keeper.example.toml", environ={}).settings

    for section in (*settings.market, *settings.venue):
        check_options(section)
    assert settings.executor_of(settings.market[0]) is None


def test_every_commented_default_is_the_real_default(tmp_path):
    """What the comments call the default is what happens without the line."""
    text = (PROJECT / "keeper.example.toml").read_text()
    path = tmp_path / "keeper.toml"
    path.write_text(text)
    plain = load(path, environ={}).settings
    path.write_text(re.sub(r"(?m)^# (\w+ = (?:\d+|\"[\d.]+\")) *(#.*)?$", r"\1", text))
    spelled = load(path, environ={}).settings

    assert spelled.policy == plain.policy
    assert spelled.chain == plain.chain
    assert spelled.run == plain.run
    assert spelled.limits == plain.limits
    assert "max_gas_per_hour_eth" in spelled.limits.model_fields_set
    assert spelled.observe == plain.observe
    assert "max_fee_gwei" in spelled.policy.model_fields_set


@pytest.mark.parametrize(
    ("name", "value"),
    re.findall(r"(?m)^# (KEEPER_\w+)=(.*)$", (PROJECT / ".env.example").read_text()),
)
def test_every_line_of_the_example_env_is_a_setting(tmp_path, name, value):
    """Uncommenting a line must not lead to an unknown name."""
    filled = value or ("11" * 32 if name.endswith("KEY") else "secret")
    extra = "KEEPER_WALLET__KEYSTORE=key.json\n" if name.endswith("PASSWORD") else ""
    (tmp_path / ".env").write_text(f"{name}={filled}\n{extra}")
    (tmp_path / ".env").chmod(0o600)
    (tmp_path / "keeper.toml").write_text((PROJECT / "keeper.example.toml").read_text())

    load(tmp_path / "keeper.toml", environ={})
