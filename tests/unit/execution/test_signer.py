import pickle
from dataclasses import replace

import pytest
from eth_account import Account
from eth_keys.constants import SECPK1_N
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import ConfigError, NotBroadcast
from keeper.domain.submission import Fees
from keeper.execution import keystore
from keeper.execution.signer import LocalSigner, Mandate, Unsigned

KEY = bytes.fromhex("5a" * 32)
DEVELOPMENT_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
FIELDS = Unsigned(
    nonce=3,
    to="0x0000000000000000000000000000000000000009",
    calldata=b"\x01",
    gas_limit=100_000,
    fees=Fees(max_fee=9, priority_fee=2),
)


def test_the_signed_bytes_are_the_accounts_and_their_hash_is_known():
    """The hash must be in the journal before the bytes leave."""
    signer = LocalSigner(KEY, 1)

    signed = signer.sign(FIELDS)

    assert Account.recover_transaction(signed.raw) == signer.address
    assert signer.sign(FIELDS) == signed


@pytest.mark.slow
@given(
    nonce=st.integers(0, 2**32),
    data=st.binary(max_size=70) | st.binary(min_size=250, max_size=300),
    gas=st.integers(21_000, 2**24),
    fees=st.lists(st.integers(0, 2**90), min_size=2, max_size=2),
)
def test_the_bytes_are_the_librarys_to_the_bit(nonce, data, gas, fees):
    """Signed by hand for speed: every length of every field must come out the same."""
    low, high = sorted(fees)
    wanted = Unsigned(
        nonce=nonce,
        to=FIELDS.to,
        calldata=data,
        gas_limit=gas,
        fees=Fees(max_fee=high, priority_fee=low),
    )
    theirs = Account.from_key(KEY).sign_transaction(
        {
            "type": 2,
            "chainId": 1,
            "nonce": nonce,
            "to": wanted.to,
            "value": 0,
            "data": data,
            "gas": gas,
            "maxFeePerGas": high,
            "maxPriorityFeePerGas": low,
        }
    )

    signed = LocalSigner(KEY, 1).sign(wanted)

    assert signed.raw == theirs.raw_transaction
    assert signed.hash == theirs.hash.to_0x_hex()


OTHERS = {
    "chainId": 5,
    "nonce": 4,
    "to": "0x0000000000000000000000000000000000000008",
    "value": 1,
    "data": b"\x02",
    "gas": 100_001,
    "maxFeePerGas": 10,
    "maxPriorityFeePerGas": 3,
    "accessList": [(b"\x01" * 20, [b"\x02" * 32])],
}


@pytest.mark.parametrize("field", OTHERS)
def test_what_was_not_asked_for_is_not_given_out(field):
    """Whatever is wrong with our own encoding, a library reads the bytes before they leave."""
    signer = LocalSigner(KEY, 1)
    honest = signer.sign_fields
    signer.sign_fields = lambda fields: honest({**fields, field: OTHERS[field]})

    with pytest.raises(NotBroadcast, match=r"the signer (signed another|added)"):
        signer.sign(FIELDS)


@pytest.mark.parametrize(
    ("bytes_of", "says"),
    [
        (lambda raw: raw[:-1], "cannot be read"),
        (lambda raw: raw + b"\x00", "cannot be read"),
        (lambda raw: raw[:1], "cannot be read"),
        (lambda raw: raw[1:], "another kind"),
        (lambda raw: b"\x01" + raw[1:], "cannot be read"),
        (lambda _: LocalSigner(b"\x07" * 32, 1).sign(FIELDS).raw, "not the configured account's"),
    ],
)
def test_bytes_that_are_no_transaction_of_ours_are_not_given_out(bytes_of, says):
    """Cut off, too long, of another type, of another key."""
    signer = LocalSigner(KEY, 1)
    honest = signer.sign_fields
    signer.sign_fields = lambda fields: bytes_of(honest(fields))

    with pytest.raises(NotBroadcast, match=says):
        signer.sign(FIELDS)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (b"\x01" * 31, "31 bytes instead of 32"),
        (b"\x01" * 33, "33 bytes instead of 32"),
        (bytes(32), "outside of the curve's range"),
        (SECPK1_N.to_bytes(32), "outside of the curve's range"),
    ],
)
def test_what_is_no_key_gets_a_true_message_without_the_key(key, says):
    """The library says '32 bytes instead of 32 bytes' here."""
    with pytest.raises(ConfigError, match=says) as caught:
        LocalSigner(key, 1)

    assert key.hex() not in str(caught.value) + caught.value.hint


def test_a_development_key_signs_on_local_chains_only():
    """Everybody has it: the gas money would be gone within a block."""
    assert LocalSigner(DEVELOPMENT_KEY, 31337).chain_id == 31337

    with pytest.raises(ConfigError, match="development key"):
        LocalSigner(DEVELOPMENT_KEY, 1)


def test_the_key_is_in_no_representation():
    """Neither logs nor crash reports may show it."""
    signer = LocalSigner(KEY, 1)

    assert KEY.hex() not in repr(signer) + str(signer)
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    with pytest.raises(TypeError):
        vars(signer)


@pytest.fixture
def cheap(monkeypatch):
    """Encrypt with few rounds: the strength is the library's, the checks are ours."""
    strong = Account.encrypt
    monkeypatch.setattr(
        Account, "encrypt", lambda key, password: strong(key, password, kdf="pbkdf2", iterations=2)
    )


def test_a_keystore_comes_back_as_the_key_it_was_made_of(tmp_path, cheap):
    """And nobody else may read the file."""
    path = tmp_path / "key.json"

    address = keystore.store(path, KEY, "secret")

    assert path.stat().st_mode & 0o777 == 0o600
    assert keystore.load(path, "secret") == KEY
    assert keystore.stated_address(path) == address == LocalSigner(KEY, 1).address


def test_a_keystore_that_is_cheap_to_guess_is_told(tmp_path, cheap, caplog):
    """It works; whoever gets the file tries a million passwords a second."""
    path = tmp_path / "key.json"
    keystore.store(path, KEY, "secret")

    assert keystore.load(path, "secret") == KEY
    assert "keystore_weak" in caplog.text
    assert keystore.is_weak({"crypto": {"kdf": "scrypt", "kdfparams": {"n": 2**13}}})
    assert not keystore.is_weak({"crypto": {"kdf": "scrypt", "kdfparams": {"n": 262_144}}})


def test_a_keystore_is_never_written_over(tmp_path, cheap):
    """The old key may hold money."""
    path = tmp_path / "key.json"
    keystore.store(path, KEY, "secret")

    with pytest.raises(ConfigError, match="exists already"):
        keystore.create(path, "secret")


MANDATE = Mandate(targets=frozenset({"0x" + "11" * 20}), selector=b"\x01\x02\x03\x04", max_fee=100)


def asked(**changes):
    made = Unsigned(
        nonce=1,
        to="0x" + "11" * 20,
        calldata=b"\x01\x02\x03\x04rest",
        gas_limit=1_000_000,
        fees=Fees(max_fee=100, priority_fee=1),
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "0x" + "22" * 20},
        {"to": None},
        {"calldata": b"\x09\x09\x09\x09"},
        {"calldata": b""},
        {"gas_limit": 2**24 + 1},
        {"fees": Fees(max_fee=101, priority_fee=1)},
    ],
)
def test_a_nodes_signer_signs_nothing_but_what_a_node_sends(changes):
    """Another contract, another call, a deployment, more gas or a higher fee: none of it."""
    with pytest.raises(NotBroadcast, match="not signed"):
        LocalSigner(KEY, 1, MANDATE).sign(asked(**changes))


def test_a_nodes_signer_signs_liquidations_and_cancellations():
    """Those two are its mandate."""
    signer = LocalSigner(KEY, 1, MANDATE)

    assert signer.sign(asked()).raw
    assert signer.sign(asked(to=signer.address, calldata=b"")).raw
    with pytest.raises(NotBroadcast):
        signer.sign(asked(to=signer.address))
