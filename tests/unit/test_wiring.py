"""Adapters are found by name, and a wrong name says which there are."""

import pytest

from keeper.composition.wiring import check_options, load_market
from keeper.config import Market, SettingsInvalid, Venue

POOL = "0x" + "12" * 20


def market(protocol: str = "aave_v3", **options) -> Market:
    return Market.model_validate(
        {
            "protocol": protocol,
            "from_block": 1,
            "where": "market[0]",
            "origins": {"": "keeper.toml", "protocol": "keeper.toml:6"},
            **options,
        }
    )


def test_a_market_is_built_from_its_options():
    """The folder's name is the protocol's name in the settings."""
    built = load_market(market(addresses_provider=POOL), reader=None)

    assert built.key == f"aave_v3:{POOL}"
    assert built.from_block == 1


@pytest.mark.parametrize(
    ("name", "hint"), [("aave-v3", "did you mean aave_v3?"), ("zzz", "allowed: aave_v3")]
)
def test_an_unknown_protocol_names_what_there_is(name, hint):
    """One line, with the place in the file."""
    with pytest.raises(SettingsInvalid) as caught:
        check_options(market(name, addresses_provider=POOL))

    assert str(caught.value).startswith(f"market[0].protocol: {name!r}")
    assert "keeper.toml:6" in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.slow
def test_wrong_options_are_the_settings_fault():
    """An adapter's own model speaks in the settings' words."""
    venue = Venue.model_validate({"kind": "uniswap_v3", "where": "venue[0]", "factory": "0x1"})

    with pytest.raises(SettingsInvalid) as caught:
        check_options(venue)

    assert {one.setting for one in caught.value.problems} == {"venue[0].factory", "venue[0].quoter"}
