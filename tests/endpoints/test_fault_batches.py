"""A node that takes no batches, or small ones only, is read from all the same."""

import asyncio
import contextlib
import logging

import pytest
from aiohttp import web

from keeper.chain.capabilities import FIRST_RETRY_SECONDS, Capabilities, Capability
from keeper.chain.reader import connect
from keeper.chain.transport import Timeouts
from keeper.domain.errors import RpcRefused, RpcUnavailable
from tests.support.scripted_node import (
    Hangup,
    Refusal,
    ScriptedNode,
    Silence,
    nodes,
    refused_whole,
)

HEIGHT = 100
BLOCKS = [("eth_getBlockByNumber", (hex(number), False)) for number in range(HEIGHT)]


def over(limit, refusal):
    """Refuse a batch of more than so many requests."""

    def batch(requests):
        return refusal(requests) if len(requests) > limit else None

    return batch


def status(code, text="batch requests are not supported"):
    return lambda _: web.Response(status=code, text=text)


def hang_up(_):
    raise Hangup


def in_first_entry(requests):
    error = {"code": -32600, "message": "batch too large"}
    return [{"jsonrpc": "2.0", "id": requests[0]["id"], "error": error}]


REFUSALS = {
    "an error object without id": lambda _: refused_whole("batch requests are not supported"),
    "an error object of no known code": lambda _: refused_whole("not today", 31),
    "an internal error": lambda _: refused_whole("internal error", -32603),
    "no such method": lambda _: refused_whole("method not found", -32601),
    "an error of the first request": in_first_entry,
    "an empty list": lambda _: [],
    "the first answer alone": lambda requests: {
        "jsonrpc": "2.0",
        "id": requests[0]["id"],
        "result": None,
    },
    "null": lambda _: "null",
    "an error without JSON-RPC": lambda _: {"error": "batch requests are not supported"},
    "a text": lambda _: "batch requests are not supported",
    "a page": lambda _: "<html>no</html>",
}
BY_HTTP = {
    **REFUSALS,
    **{f"status {code}": status(code) for code in (400, 403, 404, 405, 413, 414, 500, 501, 502)},
    "status 400 and an error object": lambda _: web.json_response(
        refused_whole("batching is off"), status=400
    ),
    "a closed connection": hang_up,
}
BY_WEBSOCKET = {**REFUSALS, "a closed connection": hang_up}


@contextlib.asynccontextmanager
async def connected(node, scheme="http", clock=None, **options):
    """Run the node, and yield what reads from it."""
    times = Timeouts(connect=5.0, request=options.pop("request", 20.0), reads=20.0)
    async with nodes(node):
        place = getattr(node, scheme)
        async with connect([place], chain_id=1, timeouts=times) as reader:
            if clock is not None:
                reader.rpc.capabilities = Capabilities(clock)
            yield reader.rpc


def numbers(answers):
    return [int(answer["number"], 16) for answer in answers]


@pytest.mark.parametrize("limit", [1, 3, 10])
@pytest.mark.parametrize("refusal", BY_HTTP)
async def test_batches_that_are_refused_are_halved_down_to_what_is_taken(refusal, limit):
    """A keeper that ends over the form of its question does not need another node."""
    node = ScriptedNode(height=HEIGHT, batch=over(limit, BY_HTTP[refusal]))
    async with connected(node) as rpc:
        assert numbers(await rpc.read_batch(BLOCKS)) == list(range(HEIGHT))

        learnt = rpc.capabilities.limit(0, Capability.BATCHES)
        node.batches.clear()
        assert numbers(await rpc.read_batch(BLOCKS)) == list(range(HEIGHT))

    assert learnt is not None
    assert learnt <= limit
    assert all(size <= limit for size in node.batches)


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("refusal", BY_WEBSOCKET)
async def test_the_same_holds_over_a_websocket(refusal, limit):
    """There a refusal may have no id, or may be the end of the connection."""
    node = ScriptedNode(height=HEIGHT, batch=over(limit, BY_WEBSOCKET[refusal]))
    async with connected(node, "ws") as rpc:
        assert numbers(await rpc.read_batch(BLOCKS)) == list(range(HEIGHT))

    assert rpc.capabilities.lacks(0)[0].capability is Capability.BATCHES


@pytest.mark.parametrize("refusal", ["an error object without id", "an empty list", "null"])
async def test_a_refusal_without_id_is_for_the_batches_that_wait(refusal):
    """Nobody can say for which: each is halved, and the connection, with its heads, stays."""
    node = ScriptedNode(height=HEIGHT)
    async with connected(node, "ws") as rpc:
        openings = node.openings
        node.batch = over(10, REFUSALS[refusal])
        reads = [rpc.read_batch(BLOCKS) for _ in range(4)] + [rpc.read("eth_blockNumber")]
        *batches, height = await asyncio.gather(*reads)

    assert [numbers(answers) for answers in batches] == [list(range(HEIGHT))] * 4
    assert int(height, 16) == HEIGHT
    assert node.openings == openings


async def test_a_batch_that_is_never_answered_costs_one_time_out():
    """Some gateways drop what they do not take; a time-out for each halving would be a minute."""
    node = ScriptedNode(height=HEIGHT)

    def silent(_):
        raise Silence

    node.batch = over(1, silent)
    async with connected(node, "ws", request=1.5) as rpc:
        assert numbers(await rpc.read_batch(BLOCKS)) == list(range(HEIGHT))

    assert len(node.batches) == 1


async def test_what_was_learnt_is_said_once_and_tried_again(caplog):
    """A provider may lift its limit, and an operator wants one line, not one in each block."""
    now = [0.0]
    node = ScriptedNode(height=HEIGHT, batch=over(10, status(400)))
    with caplog.at_level(logging.WARNING):
        async with connected(node, clock=lambda: now[0]) as rpc:
            for _ in range(3):
                await rpc.read_batch(BLOCKS)
            now[0] += FIRST_RETRY_SECONDS
            await rpc.read_batch(BLOCKS)
            node.batch = None
            now[0] += 2 * FIRST_RETRY_SECONDS
            await rpc.read_batch(BLOCKS[:2])
            assert rpc.capabilities.lacks(0)  # two requests prove nothing about a hundred
            await rpc.read_batch(BLOCKS)

    assert rpc.capabilities.lacks(0) == []
    assert sum("endpoint_lacks" in line for line in caplog.messages) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32600, "batch limit exceeded"),
        (-32005, "batch size limit exceeded: at most 10"),
        (31, "Batch of more than 10 requests are not allowed on the free plan"),
        (-32003, "response too large"),
        (-32002, "request timed out"),
    ],
)
async def test_entries_that_were_too_many_are_asked_again_alone(code, message):
    """The others have their answers: to ask for them again would meet the same limit."""
    node = ScriptedNode(height=HEIGHT)

    def batch(requests):
        error = {"code": code, "message": message}
        return [
            node.answer(request)
            if place < 10
            else {"jsonrpc": "2.0", "id": request["id"], "error": error}
            for place, request in enumerate(requests)
        ]

    node.batch = batch
    async with connected(node) as rpc:
        assert numbers(await rpc.read_batch(BLOCKS)) == list(range(HEIGHT))

    assert node.asked["eth_getBlockByNumber"] == HEIGHT


async def test_entries_that_met_a_rate_limit_are_asked_again_and_no_others():
    """Who answers twenty of a hundred would answer the same twenty again, for ever."""
    node = ScriptedNode(height=HEIGHT)

    def batch(requests):
        error = {"code": -32005, "message": "request rate exceeded"}
        return [
            node.answer(request)
            if place < 40
            else {"jsonrpc": "2.0", "id": request["id"], "error": error}
            for place, request in enumerate(requests)
        ]

    node.batch = batch
    async with connected(node) as rpc:
        assert numbers(await rpc.read_batch(BLOCKS)) == list(range(HEIGHT))

    assert node.asked["eth_getBlockByNumber"] == HEIGHT


async def test_a_gateway_that_counts_a_batch_as_many_requests_gets_smaller_ones():
    """Its 429 does not go away by waiting: the batch alone is above the plan's rate."""
    node = ScriptedNode(height=HEIGHT, batch=over(30, status(429, "")))
    async with connected(node) as rpc:
        assert numbers(await rpc.read_batch(BLOCKS)) == list(range(HEIGHT))


async def test_a_refusal_of_one_request_is_its_own_answer():
    """A revert, or a block that one cannot have, concerns no other request of the batch."""
    node = ScriptedNode(height=HEIGHT)

    def by_number(params):
        if params[0] == hex(7):
            raise Refusal("execution reverted", 3, "0x")
        return node.at(int(params[0], 16))

    node.handlers["eth_getBlockByNumber"] = by_number
    async with connected(node) as rpc:
        for refuses in (False, True):
            node.batch = over(1, status(400)) if refuses else None
            answers = await rpc.read_batch(BLOCKS)
            assert isinstance(answers[7], RpcRefused)
            assert sum(isinstance(answer, RpcRefused) for answer in answers) == 1


async def test_a_node_that_is_gone_is_not_taken_for_one_without_batches():
    """Nothing is learnt of it, and it is not asked a hundred times alone."""
    node = ScriptedNode(height=HEIGHT)
    async with connected(node) as rpc:
        rpc.timeouts = Timeouts(reads=0.1)
        await node.stop()
        with pytest.raises(RpcUnavailable):
            await rpc.read_batch(BLOCKS)
        await node.start()

    assert rpc.capabilities.lacks(0) == []
    assert rpc.requests["eth_getBlockByNumber"] < 5 * (HEIGHT + 1)


async def test_single_requests_go_several_at_once_but_not_all():
    """A hundred after one another would be late; a hundred at once are what gateways refuse."""
    node = ScriptedNode(height=HEIGHT)
    most = 0
    running = 0

    async def raw(request):
        nonlocal most, running
        document = await request.json()
        if isinstance(document, list):
            return web.Response(status=400)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return web.json_response(node.answer(document))

    async with connected(node) as rpc:
        node.raw = raw
        await rpc.read_batch(BLOCKS)

    assert 1 < most <= 16
