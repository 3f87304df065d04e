"""Wrong keys and keystores, command lines, and contracts that answer nonsense."""

import json

from keeper.chain import abi
from keeper.chain.multicall import unpacked
from keeper.execution import keystore
from keeper.execution.signer import checked_key
from tests.support.bad_inputs import ENVIRONMENT, KEY, Row, typed, variables
from tests.support.bad_settings import rows

DEVELOPMENT_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def key(text):
    return variables(WALLET__PRIVATE_KEY=text)


def opened(password="secret", **changes):  # noqa: S107
    return lambda place: keystore.load(place.keystore(**changes), password)


def file(content, mode=0o600):
    return lambda place: keystore.load(place.write("key.json", content, mode), "secret")


def read_by_others(place):
    path = place.keystore()
    path.chmod(0o644)
    return keystore.load(path, "secret")


def swapped(place):
    return keystore.load(place.keystore(address="11" * 20), "secret")


def with_key_file(content, mode=0o600):
    def act(place):
        place.write("password", "long enough\n")
        place.write("key", content, mode)
        return place.command(
            "key", "import", "new.json", "--key-file", "key", "--password-file", "password"
        )

    return act


def with_password_file(content, mode=0o600):
    def act(place):
        place.write("password", content, mode)
        return place.command("key", "new", "new.json", "--password-file", "password")

    return act


NO_KEY = "wallet.private_key: is not a private key"
OUT_OF_RANGE = "wallet.private_key: is out of the range of private keys"

KEYS = rows(
    "keys",
    ("31 bytes", key(KEY[2:]), NO_KEY, "64 hex"),
    ("33 bytes", key(KEY + "00"), NO_KEY, "64 hex"),
    ("odd digits", key(KEY[1:]), NO_KEY, "64 hex"),
    ("a blank", key(KEY + " "), NO_KEY, "64 hex"),
    ("a line end", key(KEY + "\n"), NO_KEY, "64 hex"),
    ("empty", key(""), NO_KEY, "64 hex"),
    ("words", key("test test junk"), NO_KEY, "64 hex"),
    ("zero", key("0" * 64), OUT_OF_RANGE, "64"),
    ("the order", key(f"{ORDER:064x}"), OUT_OF_RANGE, "64"),
    ("above the order", key("f" * 64), OUT_OF_RANGE, "64"),
    (
        "31 bytes as bytes",
        lambda _: checked_key(bytes.fromhex(KEY)[1:]),
        "the private key has 31 bytes instead of 32",
        "64 hex",
    ),
    ("zero as bytes", lambda _: checked_key(bytes(32)), "outside of the curve's range", "key new"),
    (
        "everybody's on a real chain",
        lambda _: checked_key(DEVELOPMENT_KEY, 1),
        "a development key that everybody has",
        "key new",
    ),
    ("a spoilt key file", with_key_file(KEY[:-1] + "\n"), "is not a private key", "64 hex"),
    ("a key file of others", with_key_file(KEY + "\n", 0o644), "other users may read", "600"),
)

KEYSTORES = rows(
    "keystores",
    ("missing", lambda p: keystore.load(p.folder / "no.json", "x"), "no.json", "wallet.keystore"),
    ("a folder", lambda p: keystore.load(p.folder, "x"), "cannot read the keystore", "keystore"),
    ("nothing in it", file("{}"), "key.json is not a keystore of version 3", "key new"),
    ("another version", opened(version=2), "key.json is not a keystore of version 3", "key new"),
    ("not JSON", file("key"), "key.json is not a keystore: not JSON", ""),
    ("not an object", file("[]"), "key.json is not a keystore: not a JSON object", ""),
    ("not text", file(b"\xff\xfe"), "key.json is not a keystore: not text", ""),
    ("a wrong password", opened("guess"), "cannot decrypt", "check the password"),
    ("another's address", swapped, "but its key is that of", "do not use it"),
    ("no address in it", opened(address="xyz"), "states an address that is none", ""),
    ("no crypto in it", opened(crypto=None), "key.json is not a keystore", "key new"),
    ("of others too", read_by_others, "others must not read it", "chmod 600"),
    (
        "no password",
        variables(WALLET__PASSWORD="", WALLET__KEYSTORE="k"),
        "wallet.password: is empty",
        "",
    ),
    ("an empty password file", with_password_file("\n"), "the password file password is empty", ""),
    ("a password file of others", with_password_file("x", 0o644), "other users may read", "600"),
    ("a password file that is none", with_password_file(b"\xff"), "cannot be read as text", ""),
)

COMMANDS = rows(
    "the command line",
    ("an unknown command", typed("scna"), "Did you mean 'scan'", ""),
    ("an unknown option", typed("--verion"), "Did you mean --version", ""),
    ("a missing argument", typed("explain"), "ACCOUNT", ""),
    ("both modes", typed("run", "--dry-run", "--observe"), "--dry-run and --observe", "choose"),
    ("both bounds", typed("run", "--once", "--blocks", "2"), "--once and --blocks", "--blocks 1"),
    ("a key as an option", typed("run", "--dry-run", "--private-key", KEY), "--private-key", ""),
    ("no block", typed("run", "--blocks", "0"), "--blocks", ""),
    ("no number", typed("run", "--blocks", "x"), "--blocks", ""),
    ("half an override", typed("run", "--set", "policy"), "--set takes KEY=VALUE", "--set"),
    ("no file", typed("run", "--config", "no.toml"), "no.toml does not exist", "keeper init"),
    ("no key", typed("run"), "no key is configured", "wallet.keystore"),
    (
        "nobody at the terminal",
        typed("key", "new", "k.json"),
        "is not a terminal",
        "--password-file",
    ),
    ("nobody to type a key", typed("key", "import", "k.json"), "is not a terminal", "--key-file"),
)


def wrong(case, act, said, hint=""):
    return Row(
        kind="what a contract says", case=case, act=act, said=said, hint=hint, code=ENVIRONMENT
    )


def decoding(types, raw):
    return lambda _: abi.decoded(types, raw, "the answer of f()")


def abi_file(content):
    def act(place):
        folder, abi.ABI_FOLDER = abi.ABI_FOLDER, place.folder
        place.write("Broken.json", content)
        try:
            return abi.load_abi("Broken")
        finally:
            abi.ABI_FOLDER = folder

    return act


ANSWERS = [
    wrong("nothing", decoding(["uint256"], b""), "the answer of f() is not (uint256)"),
    wrong("a wide address", decoding(["address"], b"\xff" * 32), "is not (address)"),
    wrong("neither true nor false", decoding(["bool"], b"\x02" * 32), "is not (bool)"),
    wrong("an offset beyond", decoding(["bytes"], (2**255).to_bytes(32)), "is not (bytes)"),
    wrong(
        "a length beyond",
        decoding(["bytes"], (32).to_bytes(32) + (2**200).to_bytes(32)),
        "is not (bytes)",
    ),
    wrong(
        "text that is none",
        decoding(["string"], (32).to_bytes(32) + (2).to_bytes(32) + b"\xff\xff" + bytes(30)),
        "is not (string)",
    ),
    wrong("too few words", lambda _: abi.word(b"\x01" * 31, 0), "has no word 0"),
    wrong("no address", lambda _: abi.address_at(b"\xff" * 32, 0), "word 0 of the answer is not"),
    wrong("another count", lambda _: unpacked(bytes(64), 3), ""),
    wrong("no ABI of that name", lambda _: abi.load_abi("NoSuch"), "the ABI of NoSuch is missing"),
    wrong("an ABI that is not JSON", abi_file("{"), "the ABI of Broken is missing or broken"),
    wrong("an ABI that is a list", abi_file(json.dumps([1])), "the ABI of Broken is missing"),
    wrong("an ABI without entries", abi_file("{}"), "the ABI of Broken is missing or broken"),
]

OTHERS = [*KEYS, *KEYSTORES, *COMMANDS, *ANSWERS]
