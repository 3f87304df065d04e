"""The examples that people start from are read by the real loader."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from keeper.composition.wiring import check_options
from keeper.config import load
from keeper.config.models import Settings
from keeper.protocols.aave_v3.adapter import Options as AaveOptions
from keeper.protocols.morpho_blue.options import Options as MorphoOptions
from keeper.quotes.uniswap_v3.adapter import Options as VenueOptions

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


def _settings(model, prefix=""):
    """Every setting of a model and of its sections, by its dotted name."""
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        nested = [kind for kind in kinds if _is_model(kind)]
        if nested:
            yield from _settings(nested[0], f"{prefix}{name}.")
        elif name not in ("options", "origins", "where"):
            yield f"{prefix}{name}"


def _is_model(kind):
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _named_in_the_example():
    """Every key that the example sets or shows in a comment, with its section."""
    section = ""
    for line in (PROJECT / "keeper.example.toml").read_text().splitlines():
        if table := re.match(r"(?:# +)?\[+([a-z_.]+)\]+", line):
            section = table.group(1)
        elif key := re.match(r"(?:# +)?(\w+) = ", line):
            yield f"{section}.{key.group(1)}"


def _every_setting():
    """Return all settings, those of the adapters included."""
    return {
        *_settings(Settings),
        *(f"market.{name}" for model in (AaveOptions, MorphoOptions) for name in _settings(model)),
        *(f"venue.{name}" for name in _settings(VenueOptions)),
    }


def test_every_setting_is_in_the_example():
    """README promises it; a setting that is not shown is not found."""
    shown = {*_named_in_the_example(), "market.usd_feeds"}

    assert sorted(_every_setting() - shown) == []
    assert "[market.usd_feeds]" in (PROJECT / "keeper.example.toml").read_text()


def test_every_key_of_the_example_is_a_setting():
    """A line in the wrong section is refused once somebody uncomments it."""
    assert sorted(set(_named_in_the_example()) - _every_setting()) == []
