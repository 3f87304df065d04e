"""Which layer wins, what is known of each value's origin, and what is never shown."""

from decimal import Decimal

import pytest
from pydantic import BaseModel, ConfigDict

from keeper.config import AddressText, SettingsInvalid, load, overrides, validated
from keeper.domain.errors import ConfigError

POOL = "0x" + "12" * 20

MINIMAL = f"""\
[chain]
id = 31337
endpoints = ["ws://127.0.0.1:8545"]

[[market]]
protocol = "aave_v3"
addresses_provider = "{POOL}"
from_block = 7
"""
KEY = "ab" * 32


class Options(BaseModel):
    """What an adapter might ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    addresses_provider: AddressText


@pytest.mark.parametrize(
    ("layers", "expected", "origin"),
    [
        ({}, 5, None),
        ({"text": MINIMAL + "[policy]\nmin_profit_usd = 6\n"}, 6, "keeper.toml:10"),
        (
            {"env": "# mine\nKEEPER_POLICY__MIN_PROFIT_USD=7\n"},
            7,
            ".env:2 KEEPER_POLICY__MIN_PROFIT_USD",
        ),
        (
            {
                "env": "KEEPER_POLICY__MIN_PROFIT_USD=7\n",
                "environ": {"KEEPER_POLICY__MIN_PROFIT_USD": "8"},
            },
            8,
            "environment KEEPER_POLICY__MIN_PROFIT_USD",
        ),
        (
            {
                "environ": {"KEEPER_POLICY__MIN_PROFIT_USD": "8"},
                "overrides": {"policy.min_profit_usd": "9.5"},
            },
            Decimal("9.5"),
            "flag policy.min_profit_usd",
        ),
    ],
    ids=["default", "file", "env file", "environment", "flag"],
)
def test_the_nearer_layer_wins_and_is_named(loaded, layers, expected, origin):
    """flag > environment > .env > file > default."""
    result = loaded(**layers)

    assert result.settings.policy.min_profit_usd == expected
    assert result.origins.get("policy.min_profit_usd") == origin


def test_lists_come_from_json_from_one_value_and_by_index(loaded):
    """Whoever sets one endpoint should not have to write JSON."""
    for environ, expected in (
        ({"KEEPER_CHAIN__ENDPOINTS": '["ws://a", "ws://b"]'}, ("ws://a", "ws://b")),
        ({"KEEPER_CHAIN__ENDPOINTS": "ws://a"}, ("ws://a",)),
        ({"KEEPER_CHAIN__ENDPOINTS__1": "/n.ipc"}, ("ws://127.0.0.1:8545", "/n.ipc")),
    ):
        assert loaded(environ=environ).settings.chain.endpoint_addresses == expected


def test_an_item_of_a_list_of_sections_is_set_by_its_index(loaded):
    """Numbers in the environment are text; they become numbers where a number is due."""
    environ = {"KEEPER_MARKET__0__FROM_BLOCK": "9", "KEEPER_VENUE__0__KIND": "uniswap_v3"}

    settings = loaded(environ=environ).settings

    assert settings.market[0].from_block == 9
    assert settings.venue[0].kind == "uniswap_v3"


def test_adapters_get_the_keys_that_are_not_ours(loaded):
    """A second protocol needs no change of the settings."""
    market = loaded().settings.market[0]

    assert market.options == {"addresses_provider": POOL}
    assert market.where == "market[0]"


def test_an_adapters_refusal_names_file_and_line(loaded):
    """The operator does not care who reads which key."""
    market = loaded(MINIMAL.replace("addresses_provider", "adresses_provider")).settings.market[0]

    with pytest.raises(SettingsInvalid) as caught:
        validated(Options, market.options, where=market.where, origins=market.origins)

    missing, unknown = sorted(caught.value.problems, key=lambda one: one.reason)
    assert str(missing) == "market[0].addresses_provider: is missing (keeper.toml:5)"
    assert str(unknown) == "market[0].adresses_provider: is not a setting (keeper.toml:7)"
    assert unknown.hint == "did you mean addresses_provider?"


def test_nothing_secret_is_in_the_settings_text(loaded):
    """Settings end up in logs and tracebacks."""
    result = loaded(
        MINIMAL.replace("127.0.0.1:8545", "node.example/SECRET"),
        env=f"KEEPER_WALLET__PRIVATE_KEY=0x{KEY}\n",
    )

    text = repr(result)
    assert KEY not in text
    assert "SECRET" not in text
    assert result.settings.wallet.private_key.get_secret_value() == f"0x{KEY}"


def test_a_dollar_in_a_value_stays_a_dollar(loaded):
    """Interpolation would put other variables into a password."""
    env = "KEEPER_WALLET__PASSWORD='a${HOME}b'\nKEEPER_WALLET__KEYSTORE=k.json\n"

    assert loaded(env=env).settings.wallet.password.get_secret_value() == "a${HOME}b"


def test_relative_paths_start_at_the_settings_file(loaded, tmp_path):
    """A service is started from anywhere."""
    settings = loaded(MINIMAL + '[wallet]\nkeystore = "key.json"\n').settings

    assert settings.wallet.keystore == tmp_path / "key.json"
    assert settings.journal.path == tmp_path / "keeper.sqlite"


def test_windows_line_ends_and_a_byte_order_mark_are_taken(written):
    """Editors add them; they change nothing."""
    path = written()
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())

    assert load(path, environ={}).settings.chain.id == 31337


def test_an_address_becomes_checksummed(loaded):
    """Lower case is explicit; everything after the settings compares checksummed text."""
    lower = "0xd8da6bf26964af9d7eed9e03e53415d37aa96045"
    settings = loaded(f'{MINIMAL}\n[[executor]]\naddress = "{lower}"\n').settings

    assert settings.executor[0].address == "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"


def test_settings_do_not_change(loaded):
    """What was checked is what is used."""
    settings = loaded().settings

    with pytest.raises(ValueError, match="frozen"):
        settings.chain.id = 1


def test_another_variable_of_ours_is_not_a_setting(loaded):
    """KEEPER_CONFIG names the file; it must not be refused."""
    assert loaded(environ={"KEEPER_CONFIG": "x", "HOME": "/"}).settings.chain.id == 31337


def test_a_missing_equals_sign_in_set_is_told():
    """`--set policy.min_profit_usd 10` is an easy slip."""
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        overrides(["policy.min_profit_usd"])
