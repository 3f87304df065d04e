"""Hand-packed calls equal what the ABI library encodes; broken answers fail in our own words."""

import contextlib
import subprocess
import sys

import eth_abi.abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain import abi
from keeper.chain.multicall import AGGREGATE3, Limits, chunks, packed, unpacked
from keeper.domain.errors import EnvironmentFault, RpcMalformed
from keeper.domain.reads import Call, CallResult

VITALIK = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"
CALLS = st.lists(
    st.builds(
        Call,
        target=st.binary(min_size=20, max_size=20).map(abi.checksum),
        data=st.binary(max_size=100),
    ),
    max_size=12,
)


@pytest.mark.slow
@given(CALLS)
def test_packing_by_hand_equals_the_library(calls):
    """The library takes 57 ms for a thousand calls; speed must not cost a byte."""
    expected = eth_abi.abi.encode(
        ["(address,bool,bytes)[]"], [[(call.target, True, call.data) for call in calls]]
    )

    assert packed(calls) == AGGREGATE3 + expected


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=100)), max_size=12))
def test_cutting_by_hand_equals_the_library(results):
    """What the library encodes comes back as it was."""
    raw = eth_abi.abi.encode(["(bool,bytes)[]"], [results])

    cut = unpacked(raw, len(results))

    assert cut == [CallResult(success=success, data=data) for success, data in results]


@pytest.mark.slow
@given(st.binary(max_size=300), st.integers(0, 4))
def test_no_answer_breaks_the_cutting(raw, count):
    """Every broken answer is malformed: never an IndexError, never bytes from outside."""
    with contextlib.suppress(RpcMalformed):
        assert len(unpacked(raw, count)) == count


@pytest.mark.slow
@given(CALLS, st.integers(1, 5), st.integers(1, 600))
def test_chunks_keep_order_and_limits(calls, most, calldata):
    """A call that is too large alone still goes, alone."""
    parts = list(chunks(calls, Limits(calls=most, calldata=calldata)))

    assert [call for part in parts for call in part] == calls
    assert all(len(part) <= most for part in parts)
    assert all(len(part) == 1 or sum(len(c.data) for c in part) <= calldata for part in parts)


def test_checksum_is_eip_55():
    """From hex of any one case, and from bytes."""
    assert abi.checksum(VITALIK.lower()) == abi.checksum("0x" + VITALIK[2:].upper()) == VITALIK
    assert abi.checksum(bytes.fromhex(VITALIK[2:])) == VITALIK


@pytest.mark.parametrize(
    "wrong",
    ["", "0x", VITALIK[:-1], VITALIK + "0", "0xD8da6BF26964aF9D7eEd9e03E53415D37aA96045", b"1"],
)
def test_a_wrong_address_is_a_value_error(wrong):
    """Mixed case with a wrong checksum is a typing mistake where money would go."""
    with pytest.raises(ValueError, match="address"):
        abi.checksum(wrong)


@pytest.mark.parametrize(
    ("types", "raw"),
    [
        (["uint256"], b""),
        (["address"], b"\xff" * 32),
        (["bool"], b"\xff" * 32),
        (["string"], (32).to_bytes(32) + (2).to_bytes(32) + b"\xff\xff" + bytes(30)),
        (["bytes"], (2**255).to_bytes(32)),
        (["bytes"], (32).to_bytes(32) + (2**200).to_bytes(32)),
    ],
)
def test_undecodable_data_is_malformed(types, raw):
    """The library raises half a dozen unrelated exceptions for these."""
    with pytest.raises(RpcMalformed):
        abi.decoded(types, raw)


def test_calldata_reads_the_types_from_the_signature():
    """Tuples in the signature keep their commas to themselves."""
    made = abi.calldata("f((uint256,bool)[],address)", [(1, True)], VITALIK)

    assert made[:4] == abi.selector("f((uint256,bool)[],address)")
    assert abi.decoded(["(uint256,bool)[]", "address"], made[4:]) == (((1, True),), VITALIK.lower())


def test_words_are_cut_within_bounds():
    """A short answer must not read as zero."""
    raw = (7).to_bytes(32) + (2**256 - 1).to_bytes(32)

    assert (abi.word(raw, 0), abi.signed_word(raw, 1)) == (7, -1)
    with pytest.raises(RpcMalformed):
        abi.word(raw, 2)
    with pytest.raises(RpcMalformed):
        abi.address_at(raw, 1)


def test_abis_are_loaded_by_name():
    """Those kept in the repository; anything else is the environment's fault."""
    assert {entry["name"] for entry in abi.load_abi("Multicall3")} >= {"aggregate3"}
    with pytest.raises(EnvironmentFault):
        abi.load_abi("NoSuchContract")


@pytest.mark.io
def test_the_codec_does_not_load_web3():
    """Importing web3 takes a second; help and completion must not wait for it."""
    code = "import sys, keeper.chain.abi; sys.exit('web3' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
