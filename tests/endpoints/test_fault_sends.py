"""A send to endpoints that lose, lie, swallow or refuse: once each, and what is concluded."""

import asyncio
import contextlib

import pytest
from aiohttp import web
from eth_hash.auto import keccak

from keeper.chain.reader import connect
from keeper.chain.standing import State
from keeper.chain.transport import Timeouts
from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.submission import AttemptState
from keeper.execution.everywhere import SendsEverywhere
from keeper.execution.sending import Answer, classified, state_after
from tests.support.scripted_node import Refusal, ScriptedNode, Silence, nodes, until

RAW = bytes.fromhex("02" + "ab" * 100)
HASH = "0x" + keccak(RAW).hex()
SEND = "eth_sendRawTransaction"


@contextlib.asynccontextmanager
async def over(*made, patience=1.0):
    times = Timeouts(connect=5.0, request=patience, reads=5.0)
    async with nodes(*made):
        places = [one.http for one in made]
        async with connect(places, chain_id=1, timeouts=times) as reader:
            await until(lambda: all(one.asked["eth_chainId"] for one in made))
            yield reader


async def sent(reader):
    """Send and return what was concluded."""
    try:
        await SendsEverywhere(reader.rpc).send_raw(RAW)
    except ChainError as error:
        return classified(error)
    return Answer.ACCEPTED


def delivered_then(answer):
    """Take the bytes, and then answer something else."""

    def handled(node):
        async def raw(request):
            document = await request.json()
            if document["method"] != SEND:
                return None
            node.answer(document)
            given = answer(request)
            return await given if asyncio.iscoroutine(given) else given

        node.raw = raw

    return handled


async def too_late(_):
    await asyncio.sleep(3600)


async def cut(request):
    response = web.StreamResponse(headers={"Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"jsonrpc": "2.0", "id"')
    request.transport.abort()
    return response


async def reset(request):
    request.transport.abort()
    return web.Response()


F03 = {
    "time-out": too_late,
    "status 500": lambda _: web.Response(status=500, text="oops"),
    "status 429": lambda _: web.Response(status=429),
    "reset": reset,
    "truncated body": cut,
    "a page": lambda _: web.Response(text="<html>busy</html>", content_type="text/html"),
}


@pytest.mark.parametrize("how", F03)
async def test_f03_delivered_and_the_answer_lost_is_in_flight_and_sent_once(how):
    """The bytes are in a mempool: nothing may be concluded, and nothing sent again here."""
    node = ScriptedNode()
    async with over(node) as reader:
        delivered_then(F03[how])(node)
        answer = await sent(reader)

        assert state_after(answer) is AttemptState.UNKNOWN
        assert node.sent == ["0x" + RAW.hex()]


async def test_f03_one_endpoint_loses_the_answer_and_another_has_the_bytes():
    """Done if anybody says so, and nobody waits for the one that is silent."""
    lost, good = ScriptedNode(), ScriptedNode()
    async with over(lost, good) as reader:
        delivered_then(too_late)(lost)

        assert await sent(reader) is Answer.ACCEPTED
        assert len(lost.sent) == len(good.sent) == 1


async def test_f04_swallowed_by_one_it_is_with_all_the_others():
    """A node that says ok and tells nobody is why bytes go everywhere, each time once."""
    made = [ScriptedNode() for _ in range(3)]
    made[0].handlers[SEND] = lambda _: HASH  # ok, and forgotten
    async with over(*made) as reader:
        answer = await sent(reader)
        await until(lambda: all(one.asked[SEND] for one in made))

        assert answer is Answer.ACCEPTED
        assert [one.asked[SEND] for one in made] == [1, 1, 1]
        assert [len(one.sent) for one in made] == [0, 1, 1]


async def test_f05_a_busy_endpoint_gets_one_send_and_then_its_peace():
    """One logical send, no storm; the next one leaves it out."""
    busy, good = ScriptedNode(), ScriptedNode()

    def limited(_):
        raise Refusal("limit exceeded", -32005)

    busy.handlers[SEND] = limited
    async with over(busy, good) as reader:
        first = await sent(reader)
        await until(lambda: reader.rpc.pool.standings[0].state is State.COOLING)
        second = await sent(reader)

        assert (first, second) == (Answer.ACCEPTED, Answer.ACCEPTED)
        assert busy.asked[SEND] == 1
        assert good.asked[SEND] == 2


async def test_f05_nobody_to_send_to_is_in_flight_and_not_refused():
    """The bytes stay the nonce's; the next head brings them again."""
    node = ScriptedNode()
    async with over(node) as reader:
        node.raw = lambda _: asyncio.sleep(
            0, web.Response(status=429, headers={"Retry-After": "60"})
        )
        first, second = await sent(reader), await sent(reader)

        assert (first, second) == (Answer.UNKNOWN, Answer.UNKNOWN)
        assert reader.rpc.requests[SEND] == 1


async def test_f10_taken_by_one_and_refused_for_ever_by_another_is_told(caplog):
    """One of them is not on our chain, or does not know our account."""
    good, odd = ScriptedNode(), ScriptedNode()

    def refused(_):
        raise Refusal("invalid chain id for signer")

    odd.handlers[SEND] = refused
    async with over(good, odd) as reader:
        assert await sent(reader) is Answer.ACCEPTED
        await until(lambda: reader.rpc.pool.disagreements.counts["send"] == 1)

    assert "0 says accepted, 1 says refused" in caplog.text


async def test_refused_by_all_the_most_telling_word_counts():
    """Underpriced here and a full pool there: the fee is what can be helped."""
    first, second = ScriptedNode(), ScriptedNode()

    def answers(text):
        def refused(_):
            raise Refusal(text)

        return refused

    first.handlers[SEND] = answers("txpool is full")
    second.handlers[SEND] = answers("replacement transaction underpriced")
    async with over(first, second) as reader:
        with pytest.raises(RpcRefused, match="underpriced"):
            await SendsEverywhere(reader.rpc).send_raw(RAW)


async def test_f12_another_transactions_hash_is_no_proof():
    """The node answered something that is not about these bytes."""
    node = ScriptedNode()
    node.handlers[SEND] = lambda _: "0x" + "12" * 32
    async with over(node) as reader:
        assert await sent(reader) is Answer.UNKNOWN


async def test_a_silent_endpoint_does_not_hold_the_send_up():
    """The first that has the bytes ends the wait."""
    silent, good = ScriptedNode(), ScriptedNode()

    def nothing(_):
        raise Silence

    silent.handlers[SEND] = nothing
    async with (
        over(silent, good, patience=30.0) as reader,
        asyncio.timeout(20),
    ):
        assert await sent(reader) is Answer.ACCEPTED
