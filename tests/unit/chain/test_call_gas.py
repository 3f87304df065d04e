"""A refusal of the gas field is told from every other, in the words of nodes and providers."""

import pytest

from keeper.chain.call_gas import is_gas_cap, lower_gas, may_be_gas_cap
from keeper.chain.refusal import refusal
from keeper.domain.errors import RpcRefused
from keeper.domain.units import Gas

ASKED = Gas(45_000_000)
HALF = Gas(22_500_000)

CAPPED = [
    # revm, so reth, Anvil and op-reth: InvalidTransaction::TxGasLimitGreaterThanCap
    (-32000, "transaction gas limit (45000000) is greater than the cap (16777216)", 16_777_216),
    (-32000, "transaction gas limit 45000000 is greater than the cap (16777216)", 16_777_216),
    # paradigmxyz/reth issue 1898, pull request 17847
    (-32000, "intrinsic gas too high", HALF),
    # foundry-rs/foundry issue 3573, pull request 4389
    (-32603, "EVM error CallerGasLimitMoreThenBlock", HALF),
    # NethermindEth/nethermind issue 11172
    (-32000, "Block gas limit exceeded", HALF),
    # hiero-ledger/hiero-json-rpc-relay pull request 2095
    (
        -32005,
        "[Request 4559f94a] Transaction gas limit '0x2aea540' exceeds block gas limit '15000000'",
        15_000_000,
    ),
    # category-labs/monad-bft: eth_call's handler
    (-32603, "user-specified gas exceeds provider limit", HALF),
    # go-ethereum core/error.go: ErrGasLimitTooHigh; txpool: ErrGasLimit
    (-32000, "transaction gas limit too high (cap: 16777216, tx: 45000000)", 16_777_216),
    (-32000, "exceeds block gas limit", HALF),
    # a public endpoint of Ethereum, quoted in a bug report of its user
    (-32603, "gas limit is too high, max is 5M gas", 5_000_000),
]
NUMBERS = [
    ("25,000,000", 25_000_000),
    ("25_000_000", 25_000_000),
    ("7.5 million", 7_500_000),
    ("10M", 10_000_000),
    ("0xe4e1c0", 15_000_000),
    ("'15000000'.", 15_000_000),
    ("50000000, and 10000000 for free", 10_000_000),
]
OTHERS = [
    (3, "execution reverted"),
    (-32000, "execution reverted: gas limit exceeded"),
    (-32000, "out of gas"),
    (-32000, "out of gas: gas required exceeds: 45000000"),
    (-32000, "gas required exceeds allowance (45000000)"),
    (-32000, "intrinsic gas too low: have 21000, want 53000"),
    (-32003, "call gas cost (5300000) exceeds the gas limit (2000000)"),
    (-32003, "gas floor (5300000) exceeds the gas limit (2000000)"),
    (-32000, "max fee per gas less than block base fee: address 0x0, maxFeePerGas: 1"),
    (-32000, "insufficient funds for gas * price + value"),
    (-32000, "gas price too high"),
    (-32603, "response size exceeded the limit of 150MB"),
    (-32000, "execution aborted (timeout = 5s)"),
    (-32000, "max code size exceeded"),
    (-32000, "missing trie node"),
]


def refused(code, text, data=None):
    return refusal("eth_call", {"code": code, "message": text, "data": data})


@pytest.mark.parametrize(("code", "text", "expected"), CAPPED)
def test_a_cap_on_the_gas_field_is_recognised_and_its_number_taken(code, text, expected):
    """The number saves the search for it; without one half as much is tried."""
    error = refused(code, text)

    assert is_gas_cap(error)
    assert lower_gas(error, ASKED, None) == expected


@pytest.mark.parametrize(("number", "expected"), NUMBERS)
def test_a_cap_may_be_written_in_many_ways(number, expected):
    """Of several numbers the greatest that is lower than what was refused is taken."""
    assert lower_gas(refused(-32000, f"gas limit above {number}"), ASKED, None) == expected


@pytest.mark.parametrize(("code", "text"), OTHERS)
def test_other_refusals_are_not_taken_for_a_cap(code, text):
    """Less gas would turn a call that needs more into one that fails for good."""
    error = refused(code, text)

    assert not (isinstance(error, RpcRefused) and is_gas_cap(error))


def test_a_revert_is_never_a_cap_whatever_it_says():
    """A contract chooses its words, and would else choose how much gas reads get."""
    data = "0x08c379a0" + "00" * 64
    error = refused(-32000, "gas limit exceeds the cap (21000)", data)

    assert not is_gas_cap(error)
    assert not may_be_gas_cap(error)


def test_an_unclassified_refusal_may_be_a_cap():
    """Moonbeam said ``Module(ModuleError { index: 51, error: [7, 0, 0, 0] })`` (its issue 1718)."""
    error = refused(-32603, "execution fatal: Module(ModuleError { index: 51, message: None })")

    assert may_be_gas_cap(error)
    assert not is_gas_cap(error)
    assert lower_gas(error, ASKED, None) is None


def test_without_a_number_the_blocks_own_limit_is_tried_before_half():
    """Nodes that refuse more than a block holds take as much as it holds."""
    error = refused(-32000, "exceeds block gas limit")

    assert lower_gas(error, ASKED, Gas(30_000_000)) == 30_000_000
    assert lower_gas(error, Gas(30_000_000), Gas(30_000_000)) == 15_000_000
    assert lower_gas(error, ASKED, Gas(2**50)) == HALF


def test_numbers_that_cannot_be_a_cap_are_passed_over():
    """Codes, chain ids and addresses stand in messages, too."""
    text = (
        "gas limit too high for 0x00000000009896807028862be2a173976ca11000 on chain 137: 0x2aea540"
    )

    assert lower_gas(refused(-32000, text), ASKED, None) == HALF


def test_the_search_ends_without_the_field():
    """A node whose cap is below all that is worth trying may have a default of its own."""
    gas, tried = ASKED, []
    while gas is not None:
        gas = lower_gas(refused(-32000, "gas limit too high"), gas, None)
        tried.append(gas)

    assert len(tried) == 6
    assert tried[-1] is None
