"""Whatever text passes through, no endpoint's key and no private key comes out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.observe.redaction import endpoint_label, one_line, redacted

KEY = "ab" * 32


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("wss://node.example/v2/SECRET", "wss://node.example"),
        ("https://user:SECRET@node.example:8545/x?key=SECRET#y", "https://node.example:8545"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://[::1]:8545/SECRET", "http://[::1]:8545"),
        ("https://a@b:SECRET@node.example", "https://node.example"),
        ("/var/run/SECRET/geth.ipc", "ipc"),
    ],
)
def test_an_endpoint_shows_scheme_and_host_only(url, label):
    """Keys stand in the path, the query or the user part."""
    assert endpoint_label(url) == label


@pytest.mark.parametrize(
    "text",
    [
        f"private_key={KEY}",
        f"private key: 0x{KEY}",
        f"KEEPER_WALLET__PRIVATE_KEY=0x{KEY}",
        f"{{'privateKey': '0x{KEY}'}}",
        f'"secret": "{KEY}"',
        f"the key is {KEY}",
        f"password = '{KEY}'",
        f"Authorization: Bearer {KEY}",
        f"https://node.example/{KEY}",
    ],
)
def test_a_key_is_hidden_wherever_it_stands(text):
    """Thirty-two bytes after a word for a key are a key."""
    assert KEY not in redacted(text)


def test_a_transactions_hash_is_not_a_key():
    """A log without hashes would be useless."""
    assert redacted(f"sent hash=0x{KEY}") == f"sent hash=0x{KEY}"


def test_text_of_the_chain_cannot_forge_lines_or_colours():
    """A token's symbol is chosen by whoever deploys it."""
    assert one_line("A\nERROR forged\x1b[31mred\x1b]0;title\x07\r") == "A ERROR forgedred"


@pytest.mark.slow
@given(st.text(alphabet="abcXYZ019/?=&%-_.", min_size=8, max_size=40))
def test_no_part_of_a_path_survives(path):
    """Whatever a provider calls its keys."""
    secret = f"k3y{path}"

    assert secret not in redacted(f"failed: https://node.example/{secret} (timeout)")
