"""Reads that one endpoint refuses for reasons of its own: another one may answer them."""

import pytest

from keeper.chain.awaiting import FIRST_PAUSES
from keeper.domain.errors import RpcRefused
from tests.endpoints.test_fault_late_blocks import ME, PINNED, over
from tests.support.lateness import STATE, Lateness
from tests.support.scripted_node import Refusal, ScriptedNode

INTERNAL = Refusal("Internal error", -32603)
MISSING = Refusal("the method eth_getStorageAt does not exist/is not available", -32601)
PLAN = Refusal("not available on your plan", 35)
INVALID = Refusal("invalid params", -32602)
OWN = {"internal": INTERNAL, "missing": MISSING, "plan": PLAN, "invalid": INVALID}
OF_THE_QUESTION = {
    "revert": Refusal("execution reverted", 3, "0x08c379a0"),
    "out of gas": Refusal("out of gas"),
    "size": Refusal("query returned more than 10000 results", -32005),
}


def word(reader):
    """Read a word of storage at the block: a method for which there is no other."""
    block = PINNED.block_hash
    return reader.rpc.read("eth_getStorageAt", ME, "0x0", {"blockHash": block}, block=block)


def refusing(refusal, times=10**9):
    """A node that refuses so many words of storage, and tells the others."""
    left = [refusal] * min(times, 10_000)

    def stored(_):
        if left:
            raise left.pop()
        return STATE["eth_getStorageAt"]

    return ScriptedNode(height=5, handlers={"eth_getStorageAt": stored})


def answering():
    return Lateness().put_before(ScriptedNode(height=5))


@pytest.mark.parametrize("how", OWN)
@pytest.mark.parametrize("first", [True, False])
async def test_what_one_endpoint_refuses_another_answers(how, first):
    """Wherever it is in the settings, and for good."""
    poor, good = refusing(OWN[how]), answering()
    async with over(*((poor, good) if first else (good, poor))) as reader:
        for _ in range(5):
            assert await word(reader) == "0x1"

    assert good.asked["eth_getStorageAt"] == 5
    if not first:
        assert poor.asked["eth_getStorageAt"] == 0


@pytest.mark.parametrize("how", ["internal", "plan"])
async def test_who_refuses_what_others_answer_is_asked_less(how):
    """One question more, and not one more for each read."""
    poor, good = refusing(OWN[how]), answering()
    async with over(poor, good) as reader:
        for _ in range(5):
            await word(reader)

    assert poor.asked["eth_getStorageAt"] == 1


async def test_who_lacks_a_method_is_not_asked_less_for_the_others():
    """An own node without an optional method is still the one that the operator put first."""
    poor, good = refusing(MISSING), answering()
    async with over(poor, good) as reader:
        await word(reader)

        assert reader.rpc.pool.best() == 0


@pytest.mark.parametrize("how", ["internal", "plan"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_refusal_of_the_moment_is_asked_again_where_there_is_one_endpoint(how, times):
    """One answer in twenty."""
    node = refusing(OWN[how], times)
    async with over(node) as reader:
        assert await word(reader) == "0x1"

    assert node.asked["eth_getStorageAt"] == times + 1


@pytest.mark.parametrize(("how", "asked"), [("internal", 3), ("missing", 1), ("invalid", 1)])
async def test_a_refusal_that_stays_is_passed_on(how, asked):
    """After two more questions at most; an unknown method stays unknown."""
    node = refusing(OWN[how])
    async with over(node) as reader:
        with pytest.raises(RpcRefused) as caught:
            await word(reader)

    assert caught.value.number == OWN[how].document["code"]
    assert node.asked["eth_getStorageAt"] == asked


@pytest.mark.parametrize("how", OF_THE_QUESTION)
async def test_what_is_refused_for_the_question_is_asked_nowhere_else(how):
    """A revert is an answer, and what is too much must be asked in parts."""
    poor, good = refusing(OF_THE_QUESTION[how]), answering()
    async with over(poor, good) as reader:
        with pytest.raises(RpcRefused):
            await word(reader)

    assert good.asked["eth_getStorageAt"] == 0


async def test_a_revert_at_the_second_endpoint_is_the_answer():
    """The first one refuses for reasons of its own; the second one has run the call."""
    poor, honest = refusing(INTERNAL), refusing(OF_THE_QUESTION["revert"])
    async with over(poor, honest) as reader:
        with pytest.raises(RpcRefused, match="reverted"):
            await word(reader)


@pytest.mark.parametrize("late_first", [True, False])
async def test_of_a_late_and_a_refusing_endpoint_the_late_one_answers_in_the_end(late_first):
    """Neither is good; together they are good enough."""
    lateness = Lateness(seconds=0.1, methods=("eth_getStorageAt",))
    late, poor = lateness.put_before(ScriptedNode(height=5)), refusing(INTERNAL)
    async with over(*((late, poor) if late_first else (poor, late))) as reader:
        assert await word(reader) == "0x1"

    assert lateness.lacked["eth_getStorageAt"] <= len(FIRST_PAUSES)


async def test_the_nonce_is_asked_elsewhere_too():
    """A read that names no block."""
    poor, good = ScriptedNode(height=5), ScriptedNode(height=5, nonce=7)

    def refused(_):
        raise INTERNAL

    poor.handlers["eth_getTransactionCount"] = refused
    async with over(poor, good) as reader:
        assert await reader.transaction_count(ME) == 7


@pytest.mark.parametrize("how", OWN)
async def test_the_headers_of_a_gap_are_asked_elsewhere_too(how):
    """Several requests of one message, each of which the first endpoint refuses."""
    poor, good = ScriptedNode(height=5), ScriptedNode(height=5)

    def refused(_):
        raise OWN[how]

    poor.handlers["eth_getBlockByNumber"] = refused
    async with over(poor, good) as reader:
        heads = await reader.heads(2, 4)

    assert [head.number for head in heads] == [2, 3, 4]
