"""Every wrong setting is one line that says what, where and how to fix it."""

import pytest

from keeper.config import SettingsInvalid, load
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

CHAIN = 'id = 31337\nendpoints = ["ws://127.0.0.1:8545"]'
KEY = "ab" * 32
MISTYPED = "0xCA11bde05977b3631167028862bE2a173976CA11"


def policy(line: str) -> str:
    return f"{MINIMAL}\n[policy]\n{line}\n"


def chain(lines: str) -> str:
    return MINIMAL.replace(CHAIN, lines)


def executor(address: str) -> str:
    return f'{MINIMAL}\n[[executor]]\naddress = "{address}"\n'


def endpoint(url: str) -> str:
    return chain(f'id = 1\nendpoints = ["{url}"]')


FILE_CASES = {
    "a misspelt key": (policy("min_profit = 1"), "policy.min_profit: is not", "min_profit_usd"),
    "a misspelt section": (MINIMAL + "[polciy]\n", "polciy: is not", "policy"),
    "a missing key": (chain('endpoints = ["ws://a"]'), "chain.id: is missing", "set it"),
    "no market": (f"[chain]\n{CHAIN}\n", "market: is missing", "set it"),
    "text for a number": (chain('id = "1"\nendpoints = ["ws://a"]'), "chain.id: '1'", "digits"),
    "a float for a number": (policy("confirmations = 1.5"), "'1.5' is not a whole", "digits"),
    "an exponent": (policy("confirmations = 1e3"), "'1e3' is not a whole", "digits"),
    "not a number": (policy("min_profit_usd = nan"), "'nan' is not a decimal", "write it out"),
    "infinite": (policy("max_fee_gwei = inf"), "'inf' is not a decimal", "write it out"),
    "an exponent in text": (policy('min_profit_usd = "1e3"'), "'1e3' is not", "1.25"),
    "grouped digits in text": (policy('min_profit_usd = "1_000"'), "'1_000' is not", "1.25"),
    "hexadecimal text": (policy('max_fee_gwei = "0x10"'), "'0x10' is not", "1.25"),
    "an empty number": (policy('min_profit_usd = ""'), "'' is not a decimal", "1.25"),
    "a negative amount": (policy("min_profit_usd = -1"), "must be at least 0", ""),
    "a boolean for a number": (policy("confirmations = true"), "True is not a whole", "digits"),
    "wei where gwei is meant": (policy("max_fee_gwei = 30000000000"), "at most 10000", ""),
    "no fee at all": (policy("max_fee_gwei = 0"), "must be more than 0", ""),
    "more than all of it": (policy("tolerance_bps = 10001"), "at most 10000", ""),
    "a bid above the profit": (
        policy("profit_bid_bps = 6000\nbuilder_share_bps = 6000"),
        "more than the profit",
        "",
    ),
    "a bump that nodes refuse": (policy("bump_bps = 500"), "must be at least 1000", ""),
    "a year and more": (policy("deadline_seconds = 99999999"), "at most 31536000", ""),
    "gas above the protocol's cap": (policy("max_transaction_gas = 16777217"), "16777216", ""),
    "tiers out of order": (
        MINIMAL + '[policy.tiers]\nwatch = "1.05"\ncall = "1.10"\n',
        "tiers are not in order",
        "watch > call > urgent",
    ),
    "a tier below the line": (MINIMAL + '[policy.tiers]\nurgent = "0.9"\n', "more than 1", ""),
    "an unknown level": (MINIMAL + '[log]\nlevel = "loud"\n', "'loud'", "'debug', 'info'"),
    "a short address": (executor("0x" + "1" * 39), "(39 digits)", "40 hex"),
    "an address without 0x": (executor("1" * 40), "is not an address", "0x"),
    "the zero address": (executor("0x" + "0" * 40), "zero address", "40 hex"),
    "a wrong checksum": (executor(MISTYPED), "wrong checksum", "lower case"),
    "a name for an address": (executor("vitalik.eth"), "is not an address", "0x"),
    "a blank after an address": (executor(POOL + " "), "blanks", ""),
    "no scheme": (endpoint("127.0.0.1:8545"), "no scheme", "ws://"),
    "an unknown scheme": (endpoint("file:///x"), "unknown scheme 'file'", "ws://"),
    "a blank in an endpoint": (endpoint("ws://a "), "blanks or foreign", "ws://"),
    "a look-alike letter": (endpoint("ws://n\u043ede.example"), "foreign characters", "ws://"),
    "a bad port": (endpoint("ws://a:99999"), "no valid host and port", "ws://"),
    "a metadata address": (endpoint("http://169.254.169.254/x"), "link-local", ""),
    "the same endpoint twice": (
        chain('id = 1\nendpoints = ["ws://a/", "ws://A"]'),
        "two endpoints are the same",
        "once",
    ),
    "no endpoint": (chain("id = 1\nendpoints = []"), "chain.endpoints: is empty", "one"),
    "one endpoint not in a list": (chain('id = 1\nendpoints = "ws://a"'), "not a list", "brackets"),
    "a section that is a value": (f"policy = 1\n{MINIMAL}", "policy: is not a section", "["),
    "an unknown executor": (
        MINIMAL + 'executor = "other"\n',
        "unknown executor 'other'",
        "executors: none",
    ),
    "two executors of one name": (executor(POOL) + executor(POOL)[len(MINIMAL) :], "same name", ""),
    "a key in the file": (
        f'{MINIMAL}\n[wallet]\nprivate_key = "{KEY}"\n',
        "may not stand in the settings file (keeper.toml:11)",
        "KEEPER_WALLET__PRIVATE_KEY",
    ),
    "a password in the file": (
        f'{MINIMAL}\n[wallet]\npassword = "{KEY}"\n',
        "wallet.password: may not",
        ".env",
    ),
    "a password without a keystore": (
        f'{MINIMAL}\n[wallet]\npassword_file = "p"\n',
        "no keystore",
        "wallet.keystore",
    ),
    "broken TOML": (MINIMAL + "x = \n", "keeper.toml:9 is not valid TOML", ""),
}


@pytest.mark.parametrize(("text", "said", "hint"), FILE_CASES.values(), ids=FILE_CASES)
def test_a_wrong_setting_in_the_file(loaded, text, said, hint):
    """What is wrong and what would be right, without a library's wording."""
    with pytest.raises(ConfigError) as caught:
        loaded(text)

    message = str(caught.value)
    assert said in message
    assert hint in caught.value.hint
    assert "keeper.toml" in message
    assert "\n" not in message + caught.value.hint
    assert KEY not in message + caught.value.hint


ENVIRONMENT_CASES = {
    "a misspelt variable": (
        {"KEEPER_POLICY__MIN_PROFT_USD": "1"},
        "KEEPER_POLICY__MIN_PROFT_USD: is not a setting",
        "KEEPER_POLICY__MIN_PROFIT_USD",
    ),
    "a single underscore": ({"KEEPER_CHAIN_ID": "1"}, "is not a setting", "KEEPER_CHAIN__ID"),
    "no number": ({"KEEPER_CHAIN__ID": "abc"}, "chain.id: 'abc'", "digits"),
    "an exponent": ({"KEEPER_CHAIN__ID": "1e3"}, "chain.id: '1e3'", "digits"),
    "hexadecimal": ({"KEEPER_CHAIN__ID": "0x10"}, "chain.id: '0x10'", "digits"),
    "grouped digits": ({"KEEPER_CHAIN__ID": "1_000"}, "chain.id: '1_000'", "digits"),
    "nothing": ({"KEEPER_CHAIN__ID": ""}, "chain.id: ''", "digits"),
    "broken JSON": ({"KEEPER_CHAIN__ENDPOINTS": '["ws://a"'}, "not valid JSON", "list"),
    "an item left out": ({"KEEPER_MARKET__5__FROM_BLOCK": "1"}, "leaves out items", "next: 1"),
    "a key of 31 bytes": ({"KEEPER_WALLET__PRIVATE_KEY": KEY[2:]}, "not a private key", "64"),
    "a key of zero": ({"KEEPER_WALLET__PRIVATE_KEY": "0" * 64}, "out of the range", "64"),
    "a key above the order": ({"KEEPER_WALLET__PRIVATE_KEY": "f" * 64}, "out of the range", "64"),
    "an empty password": (
        {"KEEPER_WALLET__PASSWORD": "", "KEEPER_WALLET__KEYSTORE": "k"},
        "wallet.password: is empty",
        "",
    ),
    "two passwords": (
        {
            "KEEPER_WALLET__PASSWORD": "x",
            "KEEPER_WALLET__PASSWORD_FILE": "y",
            "KEEPER_WALLET__KEYSTORE": "k",
        },
        "both a password and a password file",
        "keep one",
    ),
    "two signers": (
        {"KEEPER_WALLET__PRIVATE_KEY": KEY, "KEEPER_WALLET__KEYSTORE": "k"},
        "both a keystore and a private key",
        "keep one",
    ),
}


@pytest.mark.parametrize(
    ("environ", "said", "hint"), ENVIRONMENT_CASES.values(), ids=ENVIRONMENT_CASES
)
def test_a_wrong_variable(loaded, environ, said, hint):
    """A misspelt variable that is ignored in silence runs with the wrong setting."""
    with pytest.raises(ConfigError) as caught:
        loaded(environ=environ)

    message = str(caught.value)
    assert said in message
    assert hint in caught.value.hint
    assert KEY[2:] not in message + caught.value.hint


ENV_FILE_CASES = {
    "a misspelt name": ("KEEPER_CHAN__ID=1\n", 0o600, ".env:1", "KEEPER_CHAIN__ID"),
    "a name that is not ours": ("KEPER_CHAIN__ID=1\n", 0o600, ".env:1", "KEEPER_CHAIN__ID"),
    "twice the same": ("KEEPER_CHAIN__ID=1\n\nKEEPER_CHAIN__ID=2\n", 0o600, ".env:3", "line 1"),
    "no value": ("# a\nKEEPER_CHAIN__ID\n", 0o600, ".env:2 is not NAME=VALUE", "value"),
    "an open quote": ('KEEPER_CHAIN__ID="1\n', 0o600, ".env:1 is not NAME=VALUE", "quotes"),
    "a readable secret": (
        f"KEEPER_WALLET__PRIVATE_KEY={KEY}\n",
        0o644,
        "other users may read it",
        "chmod 600",
    ),
}


@pytest.mark.parametrize(
    ("env", "mode", "said", "hint"), ENV_FILE_CASES.values(), ids=ENV_FILE_CASES
)
def test_a_wrong_env_file(loaded, env, mode, said, hint):
    """The reader of .env skips such lines in silence or takes the last: we do not."""
    with pytest.raises(ConfigError) as caught:
        loaded(env=env, mode=mode)

    assert said in str(caught.value)
    assert hint in caught.value.hint
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [("wallet.private_key", "may not be given"), ("policy.min_proft_usd", "is not a setting")],
)
def test_a_wrong_flag(loaded, name, said):
    """A secret in the arguments is in every process list."""
    with pytest.raises(ConfigError, match=said):
        loaded(overrides={name: KEY})


def test_every_problem_is_kept_and_the_first_is_told(loaded):
    """`config check` lists them all, so that one edit fixes them all."""
    with pytest.raises(SettingsInvalid) as caught:
        loaded(policy("min_profit = 1\nconfirmations = 0"))

    assert len(caught.value.problems) == 2
    assert "and 1 more" in str(caught.value)


def test_no_file_says_how_to_get_one(tmp_path):
    """The first thing a newcomer sees."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml", environ={})

    assert "does not exist" in str(caught.value)
    assert "keeper init" in caught.value.hint


def test_a_folder_and_foreign_bytes_are_named(tmp_path):
    """Neither is a traceback."""
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")

    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path, environ={})
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "latin.toml", environ={})
