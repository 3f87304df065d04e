"""A long history is found whole, whatever limits a provider has, told or not (F13)."""

import asyncio

import pytest

from keeper.chain.endpoint import endpoint
from keeper.chain.logs import USUAL_CAPS, may_hold
from keeper.chain.reader import NodeReader, transport
from keeper.chain.rpc import Rpc
from keeper.chain.transport import Timeouts
from keeper.chain.windows import Windows
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.node import Node, Transaction
from keeper.domain.errors import HistoryPruned, RpcMalformed, RpcUnavailable
from keeper.domain.reads import LogFilter
from tests.support.history import history_of
from tests.support.proxy import running

SENDER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
EMITTER = "0x3131313131313131313131313131313131313131"
SEVEN = bytes(31) + b"\7"
EMITS_TWO = bytes.fromhex("60015fa060075f5fa1")
"""A log without topics and one with the topic 7."""
BLOCKS = 240
BURST_AT, BURST = 150, 30
"""One block has many more than the others."""
FAST = Timeouts(connect=2.0, request=1.0, reads=0.5)
ANYTHING = LogFilter(addresses=(EMITTER,))
SEVENS = LogFilter(addresses=(EMITTER,), topics=((SEVEN,),))


@pytest.fixture(scope="module")
def chain():
    """Blocks with none to three emitting transactions each, and one with thirty."""
    with start_anvil(AnvilOptions()) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setCode", [EMITTER, "0x" + EMITS_TWO.hex()])
        node.rpc("evm_setAutomine", [False])
        emit = Transaction(sender=SENDER, to=EMITTER, gas=60_000)
        nonce = 0
        for number in range(1, BLOCKS + 1):
            count = BURST if number == BURST_AT else 7 * number % 4
            sent = [
                ("eth_sendTransaction", [{**emit.as_json(), "nonce": hex(nonce + each)}])
                for each in range(count)
            ]
            nonce += count
            node.batch([*sent, ("evm_mine", [])] if sent else [("evm_mine", [])])
        yield anvil
        node.close()


@pytest.fixture
async def proxy(chain):
    async with running(chain.http) as made:
        yield made


def reader_of(proxy, **windows):
    """Return a reader that begins with windows of the whole chain."""
    rpc = Rpc([transport(endpoint(proxy.url), FAST)], timeouts=FAST)
    return NodeReader(rpc, windows=Windows(**{"first": 500, "outage": 0.0, **windows}))


async def found(proxy, wanted=ANYTHING, **windows):
    """Return which logs a scan finds, by block and index, and the reader."""
    reader = reader_of(proxy, **windows)
    try:
        table = await history_of(reader, wanted, 0, BLOCKS)
    finally:
        await reader.close()
    return sorted(zip(table.blocks, table.indices, strict=True))


@pytest.fixture(scope="module")
def everything(chain):
    """What the node itself has."""
    node = Node(chain.port)
    answer = node.rpc("eth_getLogs", [{"fromBlock": "0x0", "toBlock": hex(BLOCKS)}])
    node.close()
    found = sorted((int(one["blockNumber"], 16), int(one["logIndex"], 16)) for one in answer)
    assert len(found) > 600
    return found


def span_of(request):
    """Return the range that a request for logs asks for; None for any other request."""
    if request.get("method") != "eth_getLogs" or "fromBlock" not in request["params"][0]:
        return None
    wanted = request["params"][0]
    return int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)


def refused(request, text, code=-32005):
    return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": text}}


def answered(request, logs):
    return {"jsonrpc": "2.0", "id": request["id"], "result": logs}


async def test_without_limits_few_questions_find_everything(proxy, everything):
    """One window, its two edges, a header, and the head of the range."""
    assert await found(proxy) == everything
    assert proxy.counts["eth_getLogs"] <= 4


RANGE_TEXTS = {
    "exceed maximum block range: 50": 50,
    "eth_getLogs is limited to a 50 range": 50,
    "You can make eth_getLogs requests with up to a 0.05K block range": 20,
    "block range is too wide": 17,
    "requested too many blocks from 0 to 240, maximum is set to 50": 50,
}


@pytest.mark.parametrize(("text", "most"), RANGE_TEXTS.items())
async def test_a_limit_of_the_range_is_adapted_to(proxy, everything, text, most):
    """Each provider says it in its own words, with or without the number."""

    async def limit(request):
        span = span_of(request)
        return refused(request, text) if span and span[1] - span[0] >= most else None

    proxy.hooks.append(limit)

    assert await found(proxy) == everything
    # Not asked too long again and again: each window, its two edges, and what was learnt.
    assert proxy.counts["eth_getLogs"] <= 3 * (BLOCKS // (most // 2) + 8)


@pytest.mark.parametrize("cap", [50, 100])
async def test_a_limit_of_results_that_is_told_is_adapted_to(proxy, everything, cap):
    """Alchemy's words, with the range that would do; the burst's block comes from receipts."""

    async def limit(request):
        span = span_of(request)
        if span is None:
            return None
        logs = await proxy.ask("eth_getLogs", *request["params"])
        if len(logs) <= cap:
            return answered(request, logs)
        upto = int(logs[cap]["blockNumber"], 16) - 1
        hint = f"Try with this block range [{hex(span[0])}, {hex(max(span[0], upto))}]."
        return refused(request, f"query returned more than {cap} results. {hint}")

    proxy.hooks.append(limit)

    assert await found(proxy) == everything
    assert (proxy.counts["eth_getBlockReceipts"] > 0) == (cap < 2 * BURST)


def first_ones(logs, cap):
    return logs[:cap]


def last_ones(logs, cap):
    return logs[-cap:]


@pytest.mark.parametrize("kept", [first_ones, last_ones])
@pytest.mark.parametrize("cap", [50, 73, 500])
async def test_answers_cut_off_without_a_word_are_found_out(proxy, everything, cap, kept):
    """The last page, or the first, is missing; 73 is no number that anybody would guess."""

    async def cut(request):
        if span_of(request) is None:
            return None
        return answered(request, kept(await proxy.ask("eth_getLogs", *request["params"]), cap))

    proxy.hooks.append(cut)

    assert await found(proxy) == everything
    assert (cap in USUAL_CAPS) == (cap != 73)


RECEIPTS_LACK = {
    "refused": lambda request, _: refused(request, "the method does not exist", -32601),
    "not allowed": lambda request, _: refused(request, "not on your plan", 35),
    "null": lambda request, _: answered(request, None),
    "empty": lambda request, _: answered(request, []),
    "cut off": lambda request, receipts: answered(request, receipts[:-1]),
    "of another block": lambda request, receipts: answered(
        request, [{**receipt, "blockHash": "0x" + "ab" * 32} for receipt in receipts]
    ),
}


@pytest.mark.parametrize("lack", RECEIPTS_LACK)
async def test_without_a_blocks_receipts_they_are_read_one_by_one(proxy, everything, lack):
    """A block that has more logs than the node answers is whole by its transactions' receipts."""

    async def cut(request):
        if request["method"] == "eth_getBlockReceipts":
            receipts = await proxy.ask("eth_getBlockReceipts", *request["params"])
            return RECEIPTS_LACK[lack](request, receipts)
        if span_of(request) is None:
            return None
        return answered(request, (await proxy.ask("eth_getLogs", *request["params"]))[:43])

    proxy.hooks.append(cut)

    assert await found(proxy) == everything
    assert proxy.counts["eth_getTransactionReceipt"] == BURST


async def test_a_block_that_the_node_cannot_give_whole_is_an_error(proxy):
    """Cut off, and no receipts to ask instead: better no book than one with holes."""

    async def cut(request):
        if request["method"] in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
            return refused(request, "the method does not exist", -32601)
        if span_of(request) is None:
            return None
        return answered(request, (await proxy.ask("eth_getLogs", *request["params"]))[:43])

    proxy.hooks.append(cut)

    with pytest.raises(RpcMalformed, match="cuts its answers off at 43 logs"):
        await found(proxy)


async def test_holes_in_the_middle_are_an_error(proxy):
    """A node that lost the logs of some blocks: a sample is held against the blocks' blooms."""

    async def holey(request):
        span = span_of(request)
        if span is None:
            return None
        logs = await proxy.ask("eth_getLogs", *request["params"])
        rest = [at for at in logs if not 20 <= int(at["blockNumber"], 16) <= 220]
        return answered(request, rest)

    proxy.hooks.append(holey)

    with pytest.raises(RpcMalformed, match="leaves out logs of block"):
        await found(proxy, first=4, most=4)


async def test_a_window_that_times_out_is_asked_in_parts(proxy, everything):
    """The node is alive: it answers other questions meanwhile."""

    async def slow(request):
        span = span_of(request)
        if span and span[1] - span[0] >= 100:
            await asyncio.sleep(3)

    proxy.hooks.append(slow)

    assert await found(proxy) == everything


async def test_a_node_that_answers_nothing_is_waited_for_and_then_told(proxy, everything):
    """An outage in the middle of the scan: a short one is survived, a long one is an error."""
    seen = []

    async def outage(request):
        if request["method"] == "eth_blockNumber" or span_of(request):
            seen.append(request)
            if 2 < len(seen) < 5:
                return refused(request, "rate limit exceeded", 429)
        return None

    proxy.hooks.append(outage)

    assert await found(proxy, first=40, outage=60.0) == everything
    seen.clear()
    with pytest.raises(RpcUnavailable):
        await found(proxy, first=40, in_flight=1, outage=0.0)


@pytest.mark.parametrize(
    "text",
    [
        "pruned history unavailable",
        "History has been pruned for this block. To remove restrictions, order a plan",
        "Required historical data pruned",
    ],
)
async def test_a_pruned_history_is_told_with_the_way_out(proxy, text):
    """Asking in smaller parts would go on for ever and find nothing."""

    async def prune(request):
        span = span_of(request)
        return refused(request, text, 4444) if span and span[0] < 100 else None

    proxy.hooks.append(prune)

    with pytest.raises(HistoryPruned) as caught:
        await found(proxy, first=40)

    assert "endpoint that keeps all logs" in caught.value.hint
    assert proxy.counts["eth_getLogs"] <= 8


async def test_a_node_without_old_blocks_is_told_though_it_answers_nothing_amiss(proxy):
    """An empty answer for blocks that the node does not have is no answer."""

    async def forget(request):
        method, params = request.get("method"), request.get("params")
        if method == "eth_getBlockByNumber" and params[0] == "0x0":
            return answered(request, None)
        span = span_of(request)
        return answered(request, []) if span else None

    proxy.hooks.append(forget)

    with pytest.raises(HistoryPruned, match="does not have block 0"):
        await found(proxy)


async def test_a_scan_tells_what_is_covered_in_order(proxy):
    """So that what fails later can be gone on with from there."""
    reader, told = reader_of(proxy, first=16, most=16), []
    await reader.scan_logs(SEVENS, 3, BLOCKS, lambda logs, upto: told.append((logs, upto)))
    await reader.close()

    ends = [upto for _, upto in told]
    assert ends == sorted(ends)
    assert ends[-1] == BLOCKS
    starts = [3, *(end + 1 for end in ends)]
    for (logs, upto), start in zip(told, starts, strict=False):
        assert all(start <= block <= upto for block in logs.blocks)
        assert all(logs.topics[0][at : at + 32] == SEVEN for at in range(0, 32 * logs.rows, 32))


async def test_what_was_not_asked_for_is_refused(proxy):
    """A node, or somebody between, that mixes in another contract's logs."""

    async def foreign(request):
        if span_of(request) is None:
            return None
        logs = await proxy.ask("eth_getLogs", *request["params"])
        return answered(request, [*logs, {**logs[-1], "address": "0x" + "66" * 20}])

    proxy.hooks.append(foreign)

    with pytest.raises(RpcMalformed, match="not asked for"):
        await found(proxy)


def test_a_bloom_holds_what_its_block_holds(chain, everything):
    """Every block with such a log says so, and the blocks without mostly do not."""
    node = Node(chain.port)
    headers = node.batch([("eth_getBlockByNumber", [hex(at), False]) for at in range(BLOCKS + 1)])
    node.close()
    claimed = {at for at, one in enumerate(headers) if may_hold(one["logsBloom"], SEVENS)}

    assert claimed == {block for block, _ in everything}
