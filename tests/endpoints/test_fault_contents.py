"""Answers that are valid JSON-RPC and lack what is needed: no answer to what was asked."""

import pytest

from keeper.chain.awaiting import YOUNG_BLOCKS
from keeper.chain.quorum import Quorum
from keeper.domain.errors import BlockUnknown, RpcMalformed, RpcUnavailable
from keeper.domain.reads import Call, LogFilter
from tests.endpoints.test_fault_late_blocks import ME, PINNED, over
from tests.support.scripted_node import Refusal, ScriptedNode, block

HASH = "0x" + "ab" * 32
GOOD = {
    "eth_getBlockByHash": block(3),
    "eth_getBlockByNumber": block(3),
    "eth_getTransactionCount": "0x7",
    "eth_getTransactionReceipt": None,
    "eth_getTransactionByHash": None,
}


async def read(reader, method):
    match method:
        case "eth_getBlockByHash":
            return (await reader.head(block(3)["hash"])).number
        case "eth_getBlockByNumber":
            return (await reader.heads(3, 3))[0].number
        case "eth_getTransactionCount":
            return await reader.transaction_count(ME)
        case "eth_getTransactionReceipt":
            return await reader.receipt(HASH)
    return await reader.transaction(HASH)


EXPECTED = {
    "eth_getBlockByHash": 3,
    "eth_getBlockByNumber": 3,
    "eth_getTransactionCount": 7,
    "eth_getTransactionReceipt": None,
    "eth_getTransactionByHash": None,
}


def spoil(node, method, times=10**4):
    """Let so many answers of a method be objects without a good field, and the others good."""
    left = [{"blockHash": "0x1"}] * times
    node.handlers[method] = lambda _: left.pop() if left else GOOD[method]


@pytest.mark.parametrize("method", GOOD)
async def test_content_that_lacks_fields_is_read_elsewhere(method):
    """A second endpoint answers; the block is not lost, nor the transaction."""
    poor, good = ScriptedNode(height=5), ScriptedNode(height=5)
    async with over(poor, good) as reader:
        spoil(poor, method)
        spoil(good, method, times=0)

        assert await read(reader, method) == EXPECTED[method]


@pytest.mark.parametrize("method", GOOD)
async def test_content_that_lacks_fields_once_is_asked_for_again(method):
    """One answer in twenty, where there is one endpoint."""
    node = ScriptedNode(height=5)
    async with over(node) as reader:
        spoil(node, method, times=1)

        assert await read(reader, method) == EXPECTED[method]


@pytest.mark.parametrize("method", GOOD)
async def test_content_that_always_lacks_fields_is_said_with_its_method(method):
    """The log, ``/readyz`` and the command's end name what the node gets wrong."""
    node = ScriptedNode(height=5)
    async with over(node, block_seconds=0.0) as reader:
        spoil(node, method)
        with pytest.raises(RpcMalformed, match=method):
            await read(reader, method)

        assert [fault.method for fault in reader.rpc.faults.unanswered()] == [method]


async def test_one_form_of_a_method_is_a_fault_where_another_is_answered():
    """The newest block is there by its tag, and no block by its number."""
    node = ScriptedNode(height=5)
    async with over(node, block_seconds=0.0) as reader:
        honest = node.handlers.get("eth_getBlockByNumber", lambda params: node.tagged(params[0]))
        node.handlers["eth_getBlockByNumber"] = lambda params: (
            {} if params[0].startswith("0x") else honest(params)
        )
        for _ in range(2):
            with pytest.raises(RpcMalformed):
                await reader.head(3)
            await reader.head()

        assert [fault.form for fault in reader.rpc.faults.unanswered()] == [
            "eth_getBlockByNumber by number"
        ]


def log(number):
    return {
        "address": ME,
        "topics": [],
        "data": "0x",
        "blockNumber": hex(number),
        "blockHash": block(number)["hash"],
        "transactionHash": HASH,
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "removed": False,
    }


@pytest.mark.parametrize("field", ["blockHash", "transactionHash", "topics"])
async def test_logs_of_a_range_that_lack_a_field_are_read_elsewhere(field):
    """Where each log's own block and transaction are needed; the start needs neither."""
    poor, good = ScriptedNode(height=5), ScriptedNode(height=5)
    good.handlers["eth_getLogs"] = lambda _: [log(3)]
    poor.handlers["eth_getLogs"] = lambda _: [log(3) | {field: None}]
    async with over(poor, good) as reader:
        (found,) = await reader.logs_between(LogFilter(addresses=(ME,)), 2, 4)

    assert found.block_number == 3


async def test_who_never_has_a_block_is_no_witness_that_is_waited_for():
    """After two blocks' time the others decide, as where it does not answer."""
    poor, good = ScriptedNode(height=5), ScriptedNode(height=5)
    async with over(poor, good, block_seconds=0.0) as reader:
        poor.handlers["eth_getBlockByNumber"] = lambda _: None

        assert (await Quorum(reader).head(5)).number == 5


async def test_who_lacks_an_old_block_is_no_witness_at_once():
    """It is not late with that one: another endpoint has it, and it announced much later ones."""
    poor, good = (ScriptedNode(height=5 + YOUNG_BLOCKS) for _ in range(2))
    async with over(poor, good) as reader:
        poor.handlers["eth_getBlockByNumber"] = lambda _: None

        assert (await Quorum(reader).head(5)).number == 5


@pytest.mark.parametrize("reverts", [True, False])
@pytest.mark.parametrize("often", [5, 7, 20, 44])
async def test_calls_of_a_batch_that_fail_now_and_then_are_answered(often, reverts):
    """A refusal that may pass is no answer: the next attempt asks again, and for it alone."""
    asked = []

    def call(params):
        asked.append(params[0]["data"])
        if len(asked) % often == 0:
            raise Refusal("Internal error", code=-32603)
        if reverts:
            raise Refusal("execution reverted", code=3, data="0x")
        return "0x" + "00" * 32

    node = ScriptedNode(height=5, handlers={"eth_call": call})
    async with over(node) as reader:
        calls = [Call(target=ME, data=bytes([number])) for number in range(44)]
        single = reader.reads.single_calls(calls, PINNED)
        results = await reader.reads.read_at(PINNED, single.ask)

    assert [result.success for result in results] == [not reverts] * 44


async def test_who_counts_fewer_blocks_keeps_its_say():
    """A block that an endpoint made up is not believed because an honest one never has it."""
    honest, liar = ScriptedNode(height=5), ScriptedNode(height=5)
    async with over(honest, liar, block_seconds=0.0) as reader:
        liar.handlers["eth_getBlockByNumber"] = lambda _: block(9)
        for _ in range(2):
            with pytest.raises(RpcUnavailable, match="only endpoint 1 has block 9"):
                await Quorum(reader).head(9)


async def test_headers_that_are_never_there_are_said_with_their_method():
    """``null`` is a good answer to a question for a header, and a fault when it is the only one."""
    node = ScriptedNode(height=5)
    async with over(node, block_seconds=0.0) as reader:
        node.handlers["eth_getBlockByHash"] = lambda _: None
        with pytest.raises(BlockUnknown):
            await read(reader, "eth_getBlockByHash")

        assert [fault.method for fault in reader.rpc.faults.unanswered()] == ["eth_getBlockByHash"]
