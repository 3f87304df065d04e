"""Several endpoints over real sockets: identity, lag, patience, contradiction, finality."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from keeper.chain.heads import Heads, Pace
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.chain.standing import Rules, State
from keeper.chain.transport import Timeouts
from keeper.domain.errors import (
    BlockUnknown,
    ConfigError,
    EndpointsDisagree,
    RpcBusy,
    RpcUnavailable,
)
from tests.support.scripted_node import Refusal, ScriptedNode, Silence, block, nodes, until

QUICK = Pace(poll=0.01, silence=60.0, pause=0.01, longest_pause=0.02)
RULES = Rules(lag_blocks=3)
TIMES = Timeouts(connect=5.0, request=1.0, reads=5.0)
ME = "0x" + "11" * 20
HASH = "0x" + "ab" * 32


@contextlib.asynccontextmanager
async def over(*places, rules=RULES, chain_id=1, timeouts=TIMES):
    async with connect(places, rules=rules, chain_id=chain_id, timeouts=timeouts) as reader:
        yield reader


@contextlib.asynccontextmanager
async def following(reader, check_seconds=0.05, silence=60.0):
    pace = Pace(poll=0.01, silence=silence, pause=0.01, longest_pause=0.02)
    heads = Heads(reader, pace=pace, check_seconds=check_seconds).heads()
    async with contextlib.aclosing(heads), asyncio.timeout(60):
        yield heads


@contextlib.asynccontextmanager
async def followed(reader, **options):
    """Follow in the background, for tests that are about something else."""
    seen = []

    async def follow():
        async with following(reader, **options) as heads:
            async for head in heads:
                seen.append(head)  # noqa: PERF401 - the others look at it meanwhile

    task = asyncio.create_task(follow())
    try:
        await until(lambda: seen or task.done())
        yield seen
    finally:
        task.cancel()
        await asyncio.wait([task])


def states(reader):
    return [one.state for one in reader.rpc.pool.standings]


async def test_f09_wrong_chain_at_start_of_the_only_one_is_a_mistake_in_the_settings():
    """Nothing can be done; the error names both ids and not the address."""
    async with nodes(ScriptedNode(chain_id=5)) as (wrong,):
        with pytest.raises(ConfigError, match="serves chain 5, not 1") as caught:
            async with over(wrong.http):
                pass

    assert "secret-path" not in str(caught.value)


async def test_f09_wrong_chain_on_one_of_three_is_quarantined():
    """The others go on, and nothing more is asked of it but its chain."""
    made = (ScriptedNode(), ScriptedNode(chain_id=5), ScriptedNode())
    async with nodes(*made) as (_, wrong, _), over(*(one.http for one in made)) as reader:
        await until(lambda: states(reader)[1] is State.WRONG_CHAIN)
        async with followed(reader):
            await until(lambda: wrong.asked["eth_chainId"] > 3)
            assert await Quorum(reader).transaction_count(ME) == 0

        assert states(reader) == [State.ALIVE, State.WRONG_CHAIN, State.ALIVE]
        assert set(wrong.asked) == {"eth_chainId"}


async def test_f09_wrong_chain_later_quarantines_until_it_is_right_again():
    """A balancer puts another node behind the name after an hour, and takes it away again."""
    async with (
        nodes(ScriptedNode(), ScriptedNode()) as (first, second),
        over(first.http, second.http) as reader,
        followed(reader),
    ):
        await until(lambda: states(reader) == [State.ALIVE, State.ALIVE])
        first.chain_id = 5
        await until(lambda: states(reader)[0] is State.WRONG_CHAIN)
        assert (await reader.head()).number == 1
        first.chain_id = 1
        await until(lambda: states(reader)[0] is State.ALIVE)


async def test_f09_wrong_chain_later_on_the_only_one_stops_reads_not_the_process():
    """It is not dropped for failing, and it is not believed either."""
    async with nodes(ScriptedNode()) as (only,), over(only.http) as reader, followed(reader):
        only.chain_id = 5
        await until(lambda: states(reader) == [State.WRONG_CHAIN])
        with pytest.raises(RpcUnavailable, match="no endpoint is fit: serves chain 5"):
            await reader.head()
        only.chain_id = 1
        await until(lambda: states(reader) == [State.ALIVE])
        assert (await reader.head()).number == 1


async def test_f09_the_same_id_with_other_code_is_another_chain():
    """A fork of somebody's own has the id of the chain it was made from."""
    async with (
        nodes(ScriptedNode(), ScriptedNode(code="0x61")) as (first, second),
        over(first.http, second.http) as reader,
        followed(reader),
    ):
        await until(lambda: State.WRONG_CHAIN in states(reader))

        reasons = [one.reason for one in reader.rpc.pool.standings]
        assert any("has other code" in one for one in reasons)


async def test_f09_a_reconnect_is_identified_before_anything_is_read_over_it():
    """Behind the same address there may be another node now."""
    async with nodes(ScriptedNode(), ScriptedNode()) as (first, second):
        async with over(first.ws, second.http) as reader:
            await reader.head()
            first.chain_id, first.height = 5, 99
            await first.drop()
            await until(lambda: reader.rpc.transports[0].generation == 2)
            head = await reader.head()

        assert head.number == 1
        assert states(reader)[0] is State.WRONG_CHAIN


async def test_one_behind_the_others_is_not_read_from_and_comes_back():
    """Head age and lag are each endpoint's own."""
    async with (
        nodes(ScriptedNode(height=20), ScriptedNode(height=20)) as (first, second),
        over(first.http, second.http) as reader,
        followed(reader) as seen,
    ):
        first.height = 10
        await second.mine(25)
        await until(lambda: states(reader) == [State.BEHIND, State.ALIVE])
        await until(lambda: reader.rpc.pool.standings[0].lag == 15)
        assert (await reader.head()).number == 25
        first.height = 25
        await until(lambda: states(reader) == [State.ALIVE, State.ALIVE])

        await until(lambda: seen[-1].number == 25)


async def test_reads_go_to_who_has_the_block_and_return_to_the_first():
    """A head of the second endpoint is read there while the first has not heard of it."""
    async with (
        nodes(ScriptedNode(), ScriptedNode()) as (first, second),
        over(first.ws, second.ws) as reader,
        following(reader) as heads,
    ):
        await anext(heads)
        await until(lambda: first.sockets and second.sockets)
        await second.mine()
        assert (await anext(heads)).number == 2
        assert reader.rpc.pool.best() == 1
        await first.mine()
        await second.mine(3)
        await anext(heads)
        await first.mine(3)
        await first.mine(4)
        assert (await anext(heads)).number == 4

        assert reader.rpc.pool.best() == 0


async def test_a_dead_one_fails_over_and_is_probed_before_it_is_used_again():
    """It has as many answers to give as it failed."""
    async with (
        nodes(ScriptedNode(), ScriptedNode()) as (first, second),
        over(first.http, second.http) as reader,
        followed(reader),
    ):
        await first.stop()
        await until(lambda: states(reader)[0] is State.UNREACHABLE)
        await second.mine()
        assert (await reader.head()).number == 2
        first.height = 2
        await first.start()
        await until(lambda: states(reader)[0] is State.ALIVE)

        assert first.asked["eth_chainId"] > 1


async def test_the_last_live_one_is_kept_and_shouted_about(caplog):
    """Nothing better is there; the log says so as loudly as it can."""
    async with nodes(ScriptedNode(), ScriptedNode()) as (first, second):
        async with over(first.http, second.http) as reader, followed(reader):
            await second.stop()
            await until(lambda: states(reader)[1] is State.UNREACHABLE)
            await first.stop()
            await until(lambda: reader.rpc.pool.standings[0].clings)

        assert states(reader)[0] is State.ALIVE
        assert any(one.levelname == "CRITICAL" for one in caplog.records)


@pytest.mark.parametrize("how", ["status", "retry-after", "code 429", "code -32005", "gateway"])
async def test_f05_a_node_that_asks_for_patience_is_left_alone(how):
    """With one other endpoint nobody waits, and the first is not asked again."""
    limited = Refusal("Too many requests", -32005, {"rate": {"backoff_seconds": 30}})

    async def too_many(request):
        if how == "status":
            return web_response(429)
        if how == "retry-after":
            return web_response(503, {"Retry-After": "30"})
        if how == "gateway":
            return web_response(200, text='{"code": 429, "message": "Too many requests"}')
        return None

    def refused(_):
        raise limited if how == "code -32005" else Refusal("slow down", 429)

    async with (
        nodes(ScriptedNode(), ScriptedNode()) as (first, second),
        over(first.http, second.http, rules=Rules(first_cooling=30.0)) as reader,
    ):
        first.raw = too_many
        if how.startswith("code"):
            first.handlers["eth_getBlockByNumber"] = refused
        before = sum(first.asked.values())
        heads = [await reader.head() for _ in range(20)]

        assert {one.number for one in heads} == {1}
        assert states(reader) == [State.COOLING, State.ALIVE]
        assert sum(first.asked.values()) - before <= 1
        if how in ("retry-after", "code -32005"):
            assert reader.rpc.pool.standings[0].until - reader.rpc.pool.clock() > 25


async def test_f05_a_stated_delay_is_waited_out_where_there_is_no_other():
    """One question after the delay; no storm before it."""
    answers = iter([Refusal("limit exceeded", -32005, {"retry_after": 0.4})])

    def once(_):
        for error in answers:
            raise error
        return block(1)

    async with nodes(ScriptedNode()) as (only,), over(only.http) as reader:
        only.handlers["eth_getBlockByNumber"] = once
        started = asyncio.get_running_loop().time()
        await reader.head()

        assert asyncio.get_running_loop().time() - started >= 0.4
        assert only.asked["eth_getBlockByNumber"] == 2


async def test_f05_a_delay_longer_than_reads_may_take_ends_them_at_once():
    """Nobody waits for what cannot come in time, and the node is not asked meanwhile."""
    async with nodes(ScriptedNode()) as (only,), over(only.http) as reader:
        only.raw = lambda _: asyncio.sleep(0, web_response(429, {"Retry-After": "120"}))
        for _ in range(5):
            with pytest.raises(RpcBusy):
                await reader.head()

        assert reader.rpc.requests["eth_getBlockByNumber"] == 1


async def test_f10_different_blocks_at_one_height_hold_signing_until_they_agree():
    """Two chains of one height: which one is ours nobody can say."""
    told = []
    async with (
        nodes(ScriptedNode(height=5), ScriptedNode(height=5)) as (first, second),
        over(first.http, second.http) as reader,
        followed(reader),
    ):
        reader.rpc.pool.told = told.append
        chain = Quorum(reader)
        assert (await chain.head(5)).number == 5
        second.fork(5, "b")
        await until(reader.rpc.pool.disagreements.reasons)
        with pytest.raises(EndpointsDisagree, match="different blocks 5"):
            await chain.head(5)
        second.blocks.clear()
        await first.mine()
        await second.mine()
        await until(lambda: not reader.rpc.pool.disagreements.reasons())
        assert (await chain.head(6)).number == 6

    assert reader.rpc.pool.disagreements.counts["head"] >= 1


async def test_f10_different_nonces_hold_signing_and_lag_does_not():
    """At a block that both have the counts must be the same; the newest one may differ."""
    async with nodes(ScriptedNode(height=6, nonce=4), ScriptedNode(height=5, nonce=3)) as both:
        first, second = both
        first.handlers["eth_getTransactionCount"] = lambda asked: (
            "0x4" if asked[1] == "latest" else "0x3"
        )
        async with over(first.http, second.http) as reader:
            await until(lambda: states(reader) == [State.ALIVE, State.ALIVE])
            chain = Quorum(reader)
            assert await chain.transaction_count(ME) == 3
            second.nonce = 9
            with pytest.raises(EndpointsDisagree, match="0 says 3, 1 says 9"):
                await chain.transaction_count(ME)
            assert "nonce" in reader.rpc.pool.concern()
            second.nonce = 3
            assert await chain.transaction_count(ME) == 3
            assert reader.rpc.pool.concern() == ""


def receipt(number=2, status="0x1"):
    return {
        "transactionHash": HASH,
        "blockHash": block(number)["hash"],
        "blockNumber": hex(number),
        "status": status,
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x7",
        "contractAddress": None,
        "logs": [],
        "from": ME,
        "to": ME,
    }


async def test_f10_a_receipt_on_one_endpoint_only_is_waited_for_or_a_contradiction():
    """Late is who has not the block; who has the block and not the receipt contradicts."""
    async with (
        nodes(ScriptedNode(height=2), ScriptedNode(height=1)) as (first, second),
        over(first.http, second.http) as reader,
    ):
        await until(lambda: states(reader) == [State.ALIVE, State.ALIVE])
        chain = Quorum(reader)
        first.receipts[HASH] = receipt()
        late = await chain.receipt(HASH)
        second.height = 2
        with pytest.raises(EndpointsDisagree, match="receipt"):
            await chain.receipt(HASH)
        second.receipts[HASH] = receipt(status="0x0")
        with pytest.raises(EndpointsDisagree, match="receipt"):
            await chain.receipt(HASH)
        second.receipts[HASH] = receipt()
        agreed = await chain.receipt(HASH)

    assert late is None
    assert agreed.block_number == 2


async def test_f10_a_block_that_one_endpoint_alone_has_is_not_signed_upon():
    """The second is waited for a moment; a silent one does not hold anybody up for ever."""
    async with (
        nodes(ScriptedNode(height=2), ScriptedNode(height=1)) as (first, second),
        over(first.http, second.http) as reader,
    ):
        await until(lambda: states(reader) == [State.ALIVE, State.ALIVE])
        chain = Quorum(reader)
        with pytest.raises(RpcUnavailable, match="only endpoint 0 has block 2"):
            await chain.head(2)
        with pytest.raises(BlockUnknown):
            await chain.head(7)

        def silent(_):
            raise Silence

        second.handlers["eth_getBlockByNumber"] = silent
        assert (await chain.head(2)).number == 2


async def test_quorum_reads_cost_one_request_where_there_is_one_endpoint():
    """Nothing is asked twice for the sake of a comparison that cannot be made."""
    async with nodes(ScriptedNode(height=2)) as (only,), over(only.http) as reader:
        only.asked.clear()
        chain = Quorum(reader)
        await chain.head(2)
        await chain.transaction_count(ME)
        await chain.receipt(HASH)

        assert only.asked == {
            "eth_getBlockByNumber": 1,
            "eth_getTransactionCount": 1,
            "eth_getTransactionReceipt": 1,
        }


async def test_f14_without_the_finalized_tag_depth_decides_and_it_is_said_once(caplog):
    """Some chains have no such tag."""
    async with (
        nodes(ScriptedNode(final=None)) as (only,),
        over(only.http) as reader,
        followed(reader),
    ):
        await until(lambda: only.asked["eth_getBlockByNumber"] > 20)
        assert await reader.finalized() is None

    said = [one for one in caplog.records if "finalized_unsupported" in one.getMessage()]
    assert len(said) == 1


async def test_f16_a_changed_finalized_block_holds_signing():
    """What was final cannot change: the node lies, or nothing is certain any more."""
    async with (
        nodes(ScriptedNode(height=9, final=4)) as (only,),
        over(only.http) as reader,
        followed(reader),
    ):
        chain = Quorum(reader)
        assert (await chain.head(9)).number == 9
        only.fork(3, "b")
        await until(reader.rpc.pool.disagreements.reasons)
        with pytest.raises(EndpointsDisagree, match="which was final"):
            await chain.head(9)
        only.blocks.clear()
        await until(lambda: not reader.rpc.pool.disagreements.reasons())


async def test_f16_a_head_older_than_the_finalized_block_is_no_head():
    """It is not handed on, and nothing is signed while it is all there is."""
    async with (
        nodes(ScriptedNode(height=9, final=8)) as (only,),
        over(only.http) as reader,
        followed(reader) as seen,
    ):
        await until(lambda: reader.rpc.pool.finalized is not None)
        only.fork(7, "b", to=7)
        await until(reader.rpc.pool.disagreements.reasons)
        assert "the newest block is 7, and 8 was final" in reader.rpc.pool.concern()
        assert [one.number for one in seen] == [9]
        only.blocks.clear()
        await only.mine(10)
        await until(lambda: not reader.rpc.pool.disagreements.reasons())


def web_response(status, headers=None, text="slow down"):

    return web.Response(status=status, headers=headers, text=text)
