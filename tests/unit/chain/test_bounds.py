"""How much of an answer is read, by what was asked."""

import pytest

from keeper.chain.bounds import (
    ANY,
    BASE_VALUES,
    MAX_ANSWER_BYTES,
    Excess,
    Expected,
    answer_bound,
    expected_bound,
    returned_bytes,
)

MIB = 2**20


@pytest.mark.parametrize(
    "method",
    [
        "eth_chainId",
        "eth_blockNumber",
        "eth_getBlockByNumber",
        "eth_getBlockByHash",
        "eth_getBalance",
        "eth_getTransactionCount",
        "eth_getCode",
        "eth_getStorageAt",
        "eth_gasPrice",
        "eth_maxPriorityFeePerGas",
        "eth_feeHistory",
        "eth_sendRawTransaction",
        "eth_getTransactionByHash",
        "eth_subscribe",
        "eth_unsubscribe",
        "web3_clientVersion",
        "a_method_that_nobody_knows",
    ],
)
def test_what_is_small_is_bounded_by_a_megabyte(method):
    """A node that sends more is at fault: there is nothing to ask less of."""
    bound = answer_bound([(method, ())])

    assert bound.size == MIB
    assert bound.excess is Excess.FAULT
    assert bound.too_large().excessive


@pytest.mark.parametrize("method", ["eth_getBlockByHash", "eth_getBlockByNumber"])
def test_a_block_with_its_transactions_is_longer_than_its_header(method):
    """A full one of mainnet has more than a megabyte: its node is not at fault."""
    header, whole = (answer_bound([(method, ("0x1", full))]) for full in (False, True))

    assert (header.size, whole.size) == (MIB, 16 * MIB)


def test_logs_of_many_blocks_may_be_asked_for_in_parts():
    """So a good node may have too many, and is not at fault."""
    several = answer_bound([("eth_getLogs", ({"fromBlock": "0x1", "toBlock": "0x2"},))])

    assert several.size == 8 * MIB
    assert not several.too_large().excessive


@pytest.mark.parametrize(
    "criteria", [{"blockHash": "0x" + "ab" * 32}, {"fromBlock": "0x5", "toBlock": "0x5"}]
)
def test_logs_of_one_block_are_bounded_by_the_block(criteria):
    """There is no smaller question: whoever sends more is at fault."""
    alone = answer_bound([("eth_getLogs", (criteria,))])

    assert alone.size == 16 * MIB
    assert alone.too_large().excessive


def test_receipts_have_room_for_the_logs_of_a_large_transaction():
    """A hostile token may write them; more than gas pays for it cannot."""
    assert answer_bound([("eth_getTransactionReceipt", ("0x",))]).size == 16 * MIB
    assert answer_bound([("eth_getBlockReceipts", ("0x1",))]).size == MAX_ANSWER_BYTES


@pytest.mark.parametrize("gas", [0, 21_000, 10**6, 45 * 10**6, 2**40])
def test_a_call_returns_no_more_than_its_gas_pays_for(gas):
    """Memory costs three gas a word and a 512th of the square of the words."""
    most = returned_bytes(gas)
    words = most // 32

    assert 3 * words + words**2 // 512 <= gas
    assert 3 * (words + 2) + (words + 2) ** 2 // 512 > gas


def test_a_call_is_bounded_by_the_gas_that_it_is_given():
    """A contract can return that much at a good node: another endpoint decides."""
    little = answer_bound([("eth_call", ({"to": "0x", "gas": hex(100_000)}, "latest"))])
    much = answer_bound([("eth_call", ({"to": "0x", "gas": hex(45_000_000)}, "latest"))])
    unsaid = answer_bound([("eth_call", ({"to": "0x"}, "latest"))])

    assert little.size == MIB
    assert 2 * returned_bytes(45_000_000) < much.size < 10 * MIB
    assert unsaid.size == 16 * MIB
    assert {bound.excess for bound in (little, much, unsaid)} == {Excess.CONTRACT}
    assert much.values_within(much.size) == BASE_VALUES


def test_a_simulation_is_bounded_by_the_gas_of_its_calls():
    """Each may return and log what its gas pays for."""

    def simulation(*calls):
        return answer_bound([("eth_simulateV1", ({"blockStateCalls": [{"calls": calls}]}, "0x1"))])

    empty, one, two = (
        simulation(),
        simulation({"gas": hex(2_000_000)}),
        simulation({"gas": hex(2_000_000)}, {"gas": hex(2_000_000)}),
    )

    assert empty.size == MIB
    assert one.size > MIB + 4 * returned_bytes(2_000_000)
    assert two.size - one.size == one.size - empty.size
    assert simulation(*[{}] * 9).size == MAX_ANSWER_BYTES


@pytest.mark.parametrize(
    "params", [(), (None,), ("0x",), ({},), ({"blockStateCalls": None},), ({"gas": 5},)]
)
@pytest.mark.parametrize("method", ["eth_call", "eth_simulateV1", "eth_getLogs"])
def test_odd_parameters_have_a_bound_too(method, params):
    """A bound never fails."""
    assert MIB <= answer_bound([(method, params)]).size <= MAX_ANSWER_BYTES


def test_a_batch_is_bounded_by_its_members_together():
    """No further than the most that is read of any answer."""
    three = answer_bound([("eth_chainId", ())] * 3)
    hundred = answer_bound([("eth_getBlockByNumber", ("0x1", False))] * 100)
    mixed = answer_bound([("eth_chainId", ()), ("eth_call", ({"gas": "0x1"}, "latest"))])

    assert (three.size, three.excess) == (3 * MIB, Excess.FAULT)
    assert (hundred.size, hundred.excess) == (MAX_ANSWER_BYTES, Excess.DIVISIBLE)
    assert mixed.excess is Excess.CONTRACT


def test_ids_carry_the_bound_of_their_answers():
    """A transport reads no further; who says nothing gets the widest one."""
    bound = answer_bound([("eth_chainId", ())])
    expected = Expected([3, 4], bound)

    assert (list(expected), len(expected), 4 in expected) == ([3, 4], 2, True)
    assert expected_bound(expected) is bound
    assert expected_bound([3, 4]) is ANY
