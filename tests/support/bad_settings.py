"""Wrong settings: in the file, in .env, in the environment, in flags."""

from keeper.config import load
from tests.support.bad_inputs import (
    CHAIN,
    KEY,
    MINIMAL,
    POOL,
    Row,
    chain,
    endpoint,
    env_file,
    executor,
    flag,
    in_file,
    policy,
    section,
    variables,
)

MISTYPED = "0xCA11bde05977b3631167028862bE2a173976CA11"
GAS = "limits.max_gas_per_transaction_eth"


def rows(kind, *cases):
    return [
        Row(kind=kind, case=case, act=act, said=said, hint=hint) for case, act, said, hint in cases
    ]


def twice(address):
    one = f'[[executor]]\nname = "%s"\naddress = "{address}"\n'
    return section(one % "a" + one % "b")


UNKNOWN = rows(
    "unknown key",
    ("in the file", policy("min_profit = 1"), "policy.min_profit: is not", "min_profit_usd"),
    ("a section", section("[polciy]"), "polciy: is not a setting", "policy"),
    (
        "a variable",
        variables(POLICY__MIN_PROFT_USD="1"),
        "KEEPER_POLICY__MIN_PROFT_USD: is not",
        "KEEPER_POLICY__MIN_PROFIT_USD",
    ),
    ("one underscore", variables(CHAIN_ID="1"), "KEEPER_CHAIN_ID: is not", "KEEPER_CHAIN__ID"),
    ("in .env", env_file("KEEPER_CHAN__ID=1\n"), ".env:1", "KEEPER_CHAIN__ID"),
    ("not ours in .env", env_file("KEPER_CHAIN__ID=1\n"), ".env:1", "KEEPER_CHAIN__ID"),
    ("a flag", flag("policy.min_proft_usd", "1"), "policy.min_proft_usd is not", "min_profit_usd"),
    ("missing", chain('endpoints = ["ws://a"]'), "chain.id: is missing", "set it"),
    ("no market", in_file(f"[chain]\n{CHAIN}\n"), "market: is missing", "set it"),
)

SECRETS = rows(
    "a secret where it must not be",
    (
        "a key in the file",
        section(f'[wallet]\nprivate_key = "{KEY}"'),
        "wallet.private_key: may not stand in the settings file (keeper.toml:11)",
        "KEEPER_WALLET__PRIVATE_KEY",
    ),
    (
        "a password in the file",
        section(f'[wallet]\npassword = "{KEY}"'),
        "wallet.password: may not",
        ".env",
    ),
    ("a key in a flag", flag("wallet.private_key"), "wallet.private_key may not be given", "KEEP"),
    ("a spoilt key", variables(WALLET__PRIVATE_KEY=KEY + "0"), "wallet.private_key: is not", "64"),
)

ENV_FILE = rows(
    ".env",
    ("twice", env_file("KEEPER_CHAIN__ID=1\n\nKEEPER_CHAIN__ID=2\n"), ".env:3", "line 1"),
    ("no value", env_file("# a\nKEEPER_CHAIN__ID\n"), ".env:2 is not NAME=VALUE", "value"),
    ("an open quote", env_file('KEEPER_CHAIN__ID="1\n'), ".env:1 is not NAME=VALUE", "quotes"),
    ("not expanded", env_file("KEEPER_CHAIN__ID='${HOME}'\n"), "chain.id: '${HOME}'", "digits"),
    (
        "readable by others",
        env_file(f"KEEPER_WALLET__PRIVATE_KEY={KEY}\n", 0o644),
        ".env holds a secret and other users may read it",
        "chmod 600",
    ),
)


def dangling(place):
    (place.folder / "link.toml").symlink_to(place.folder / "gone.toml")
    return load(place.folder / "link.toml", environ={})


FILES = rows(
    "the file",
    (
        "missing",
        lambda place: load(place.folder / "none.toml", environ={}),
        "none.toml does not exist",
        "keeper init",
    ),
    ("a folder", lambda place: load(place.folder, environ={}), "is a folder", ""),
    ("a link to nothing", dangling, "link.toml does not exist", "keeper init"),
    ("not UTF-8", in_file(b"# \xe9\n"), "keeper.toml is not UTF-8", "UTF-8"),
    ("not TOML", in_file(MINIMAL + "x = \n"), "keeper.toml:9 is not valid TOML", ""),
    ("a section that is a value", in_file(f"policy = 1\n{MINIMAL}"), "policy: is not a", "["),
)

TWO_WAYS = rows(
    "two ways at once",
    (
        "two passwords",
        variables(WALLET__PASSWORD="x", WALLET__PASSWORD_FILE="y", WALLET__KEYSTORE="k"),
        "wallet: both a password and a password file",
        "keep one",
    ),
    (
        "two signers",
        variables(WALLET__PRIVATE_KEY=KEY, WALLET__KEYSTORE="k"),
        "wallet: both a keystore and a private key",
        "keep one",
    ),
    (
        "a password for nothing",
        section('[wallet]\npassword_file = "p"'),
        "wallet: a password is set but no keystore",
        "wallet.keystore",
    ),
)

NUMBERS = rows(
    "numbers",
    ("letters", variables(CHAIN__ID="abc"), "chain.id: 'abc'", "digits"),
    ("nothing", variables(CHAIN__ID=""), "chain.id: ''", "digits"),
    ("an exponent", variables(CHAIN__ID="1e3"), "chain.id: '1e3'", "digits"),
    ("hexadecimal", variables(CHAIN__ID="0x10"), "chain.id: '0x10'", "digits"),
    ("grouped", variables(CHAIN__ID="1_000"), "chain.id: '1_000'", "digits"),
    ("text", chain('id = "1"\nendpoints = ["ws://a"]'), "chain.id: '1'", "digits"),
    ("a fraction", policy("confirmations = 1.5"), "policy.confirmations: '1.5'", "digits"),
    ("an exponent in the file", policy("confirmations = 1e3"), "policy.confirmations", "digits"),
    ("not a number", policy("min_profit_usd = nan"), "policy.min_profit_usd: 'nan'", "write it"),
    ("infinite", policy("max_fee_gwei = inf"), "policy.max_fee_gwei: 'inf'", "write it out"),
    ("an exponent in text", policy('min_profit_usd = "1e3"'), "policy.min_profit_usd", "1.25"),
    ("grouped in text", policy('min_profit_usd = "1_000"'), "policy.min_profit_usd", "1.25"),
    ("hexadecimal in text", policy('max_fee_gwei = "0x10"'), "policy.max_fee_gwei", "1.25"),
    ("empty text", policy('min_profit_usd = ""'), "policy.min_profit_usd: ''", "1.25"),
    ("negative", policy("min_profit_usd = -1"), "policy.min_profit_usd: is '-1' but", ""),
    ("zero", policy("max_fee_gwei = 0"), "policy.max_fee_gwei: is '0' but must be more", ""),
    ("beyond a word", chain(f'id = {2**256}\nendpoints = ["ws://a"]'), "chain.id: is", ""),
    ("wei for gwei", policy("max_fee_gwei = 30000000000"), "policy.max_fee_gwei: is '300", ""),
    ("wei for ether", section(f"[limits]\n{GAS[7:]} = 20000000000000000000"), GAS, ""),
    ("a boolean", policy("confirmations = true"), "policy.confirmations: True", "digits"),
)

MEASURES = rows(
    "durations, shares, order",
    ("a unit", variables(POLICY__DEADLINE_SECONDS="10s"), "policy.deadline_seconds: '10s'", ""),
    ("no time", policy("deadline_seconds = 0"), "policy.deadline_seconds: is 0", ""),
    ("negative time", section("[run]\ndrain_seconds = -1"), "run.drain_seconds: is -1", ""),
    ("over a year", policy("deadline_seconds = 99999999"), "at most 31536000", ""),
    ("a share of more", policy("tolerance_bps = 10001"), "policy.tolerance_bps: is 10001", ""),
    ("per cent for bps", policy("tolerance_bps = 0.5"), "policy.tolerance_bps: '0.5'", "digits"),
    (
        "shares of more together",
        policy("profit_bid_bps = 6000\nbuilder_share_bps = 6000"),
        "profit_bid_bps and builder_share_bps together are more than the profit",
        "",
    ),
    ("a bump nodes refuse", policy("bump_bps = 500"), "policy.bump_bps: is 500 but must", ""),
    ("gas above the cap", policy("max_transaction_gas = 16777217"), "policy.max_trans", ""),
    (
        "least above most",
        section("[limits]\nmin_balance_eth = 30"),
        "min_balance_eth is not less than max_balance_eth",
        "",
    ),
    (
        "an hour above the day",
        section("[limits]\nmax_gas_per_hour_eth = 51"),
        "max_gas_per_hour_eth is more than max_gas_per_day_eth",
        "",
    ),
    (
        "tiers out of order",
        section('[policy.tiers]\nwatch = "1.05"\ncall = "1.10"'),
        "policy.tiers: the tiers are not in order",
        "watch > call > urgent",
    ),
    ("below the line", section('[policy.tiers]\nurgent = "0.9"'), "policy.tiers.urgent: is", ""),
)

SHAPES = rows(
    "booleans, lists, words",
    *(
        (f"{word} for true", variables(OBSERVE__EXPOSE=word), f"expose: '{word}'", "true or false")
        for word in ("yes", "on", "1", "True", "")
    ),
    ("a word", section('[log]\nlevel = "loud"'), "log.level: is 'loud'", "'debug', 'info'"),
    ("an empty text", section('[journal]\npath = ""'), "journal.path: is empty", ""),
    ("blanks", section('[observe]\nhosts = [" a"]'), "observe.hosts[0]", ""),
    ("broken JSON", variables(CHAIN__ENDPOINTS='["ws://a"'), "KEEPER_CHAIN__ENDPOINTS is", "list"),
    ("a hole in a list", variables(MARKET__5__FROM_BLOCK="1"), "leaves out items", "next: 1"),
    ("no list", chain('id = 1\nendpoints = "ws://a"'), "chain.endpoints: is not a", "brackets"),
    ("an empty list", chain("id = 1\nendpoints = []"), "chain.endpoints: is empty", "one"),
)

ENDPOINTS = rows(
    "endpoints",
    ("no scheme", endpoint("127.0.0.1:8545"), "chain.endpoints[0]: an endpoint has no", "ws://"),
    ("a file", endpoint("file:///x"), "chain.endpoints[0]: an endpoint has the unknown", "ws://"),
    ("a blank", endpoint("ws://a "), "chain.endpoints[0]: an endpoint is empty or has", "ws://"),
    ("a look-alike", endpoint("ws://n\u043ede.example"), "foreign characters", "ws://"),
    ("a bad port", endpoint("ws://a:99999"), "chain.endpoints[0]: an endpoint has no", "ws://"),
    ("no host", endpoint("ws://user:pass@"), "chain.endpoints[0]: an endpoint has no", "ws://"),
    ("a cloud's metadata", endpoint("http://169.254.169.254/x"), "a link-local address", ""),
    (
        "twice the same",
        chain('id = 1\nendpoints = ["ws://a/", "ws://A"]'),
        "chain: two endpoints are the same",
        "once",
    ),
)

CHAINS = rows(
    "chain and blocks",
    ("no such chain", chain('id = 0\nendpoints = ["ws://a"]'), "chain.id: is 0", ""),
    (
        "a block before the first",
        in_file(MINIMAL.replace("from_block = 7", "from_block = -1")),
        "market[0].from_block: is -1",
        "",
    ),
    (
        "an unknown executor",
        in_file(MINIMAL + 'executor = "other"\n'),
        "unknown executor 'other'",
        "executors: none",
    ),
)

ADDRESSES = rows(
    "addresses",
    ("39 digits", executor("0x" + "1" * 39), "executor[0].address: ", "40 hex"),
    ("41 digits", executor("0x" + "1" * 41), "(41 digits)", "40 hex"),
    ("no 0x", executor("1" * 40), "executor[0].address: ", "0x"),
    ("nobody's", executor("0x" + "0" * 40), "executor[0].address: the zero address", "40 hex"),
    ("mistyped", executor(MISTYPED), "executor[0].address: ", "lower case"),
    ("a name", executor("vitalik.eth"), "executor[0].address: 'vitalik.eth' is not an", "0x"),
    ("a bank's", executor("XE7338O073KYGTWWZN0F2WZ0R8PX5ZPPZS"), "is not an address", "0x"),
    ("a blank after", executor(POOL + " "), "executor[0].address: ", ""),
    ("a number", in_file(f"{MINIMAL}[[executor]]\naddress = 1\n"), "executor[0].address", ""),
    (
        "two executors of one name",
        section(f'[[executor]]\naddress = "{POOL}"\n' * 2),
        "two executors have the same name",
        "its own name",
    ),
    ("one address for two executors", twice(POOL), "executor[1].address", "executor[0].address"),
    (
        "the multicall for an executor",
        executor("0xcA11bde05977b3631167028862bE2a173976CA11"),
        "executor[0].address",
        "chain.multicall",
    ),
)

SETTINGS = [
    *UNKNOWN,
    *SECRETS,
    *ENV_FILE,
    *FILES,
    *TWO_WAYS,
    *NUMBERS,
    *MEASURES,
    *SHAPES,
    *ENDPOINTS,
    *CHAINS,
    *ADDRESSES,
]
