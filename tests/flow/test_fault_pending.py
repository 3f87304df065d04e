"""What waits in the pool is information: a node that does not tell it costs nothing but that."""

import contextlib
import logging

import pytest

from keeper.chain.capabilities import FIRST_RETRY_SECONDS, Capabilities, Capability
from keeper.chain.optional import fetch_pending_nonce
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.chain.transport import Timeouts
from keeper.cli.key_work import _check_nonce
from keeper.domain.errors import ForeignKeyUse, RpcRefused, RpcUnavailable
from tests.flow.test_submit_recovery import World
from tests.support.lacking import LACKS, lacking
from tests.support.scripted_node import ScriptedNode, Silence, nodes
from tests.support.scripted_submission import head

ME = "0x" + "11" * 20


def without_pending(kind, **options):
    """A node that counts what is mined, and not what waits."""
    node = ScriptedNode(nonce=7, **options)
    refuse = kind if callable(kind) else lacking(kind)

    def count(params):
        return refuse(params) if params[1] == "pending" else hex(node.nonce)

    node.handlers["eth_getTransactionCount"] = count
    return node


@contextlib.asynccontextmanager
async def reading(*made, clock=None):
    times = Timeouts(connect=5.0, request=20.0, reads=5.0)
    async with nodes(*made), connect([one.http for one in made], timeouts=times) as reader:
        if clock is not None:
            reader.rpc.capabilities = Capabilities(clock)
        yield reader


@pytest.mark.io
@pytest.mark.parametrize("kind", LACKS)
async def test_a_node_that_does_not_tell_what_waits_is_asked_once(kind, caplog):
    """It is said once, and costs no request in later blocks."""
    node = without_pending(kind)
    with caplog.at_level(logging.WARNING):
        async with reading(node) as reader:
            assert await fetch_pending_nonce(reader, ME) is None
            asked = node.asked["eth_getTransactionCount"]
            assert await fetch_pending_nonce(Quorum(reader), ME) is None
            with pytest.raises(RpcRefused):
                await reader.transaction_count(ME, "pending")
            assert node.asked["eth_getTransactionCount"] == asked
            assert await reader.transaction_count(ME) == 7

    assert sum("endpoint_lacks" in line for line in caplog.messages) == 1


@pytest.mark.io
async def test_a_node_that_never_answers_it_holds_nothing_up():
    """A read of what is optional is not waited for as one that is not."""

    def silent(_):
        raise Silence

    async with reading(without_pending(silent)) as reader:
        assert await fetch_pending_nonce(reader, ME) is None
        assert await reader.transaction_count(ME) == 7


@pytest.mark.io
async def test_another_endpoint_that_tells_it_is_asked():
    """One poor endpoint does not make the check of the key's use weaker."""
    poor, good = without_pending("no such method"), ScriptedNode(nonce=9)
    async with reading(poor, good) as reader:
        for _ in range(2):
            assert await fetch_pending_nonce(reader, ME) == 9

    assert poor.asked["eth_getTransactionCount"] == 1


@pytest.mark.io
async def test_it_is_asked_for_again_after_a_while():
    """A node that was upgraded makes the check strong again."""
    now = [0.0]
    node = without_pending("not allowed")
    async with reading(node, clock=lambda: now[0]) as reader:
        assert await fetch_pending_nonce(reader, ME) is None
        del node.handlers["eth_getTransactionCount"]
        assert await fetch_pending_nonce(reader, ME) is None
        now[0] += FIRST_RETRY_SECONDS
        assert await fetch_pending_nonce(reader, ME) == 7

    assert reader.rpc.capabilities.lacks() == []


@pytest.mark.io
async def test_an_outage_is_not_a_lack():
    """A node that restarts has not lost the method; at the start it is waited for."""
    node = ScriptedNode()
    async with reading(node) as reader:
        reader.rpc.timeouts = Timeouts(reads=0.1)
        await node.stop()
        with pytest.raises(RpcUnavailable):
            await fetch_pending_nonce(reader, ME)
        await node.start()

        assert reader.rpc.capabilities.lack(0, Capability.PENDING_NONCE) is None


def blind(world, mined=0):
    """Let a world's chain refuse what is pending, and go on by a block whenever it is asked."""
    blocks = iter(range(20, 30))

    async def newest(block=None):
        return head(next(blocks) if block is None else block)

    async def count(address, block="latest"):
        if block == "pending":
            raise RpcRefused("pending block is not available", number=-32000)
        return mined

    world.chain.transaction_count = count
    world.chain.head = newest


async def test_the_key_is_watched_and_taken_up_without_it(caplog):
    """The start does not depend on it, and says once that the check is weaker."""
    world = World()
    blind(world)
    with caplog.at_level(logging.WARNING):
        await world.submitter.reconcile(head(10))
        await world.submitter.tracker.listen(2, pause=0.0)

    assert sum("pending_nonce_unknown" in line for line in caplog.messages) == 1


async def test_what_others_mined_still_stops_the_signing_without_it():
    """The weaker check sees other use of the key a block later, not never."""
    world = World()
    blind(world, mined=1)

    with pytest.raises(ForeignKeyUse):
        await world.submitter.tracker.listen(2, pause=0.0)


@pytest.mark.parametrize(
    ("pending", "status", "text"),
    [(3, "ok", "3"), (5, "warn", "2 waiting"), (None, "warn", "shows when mined")],
)
def test_doctor_says_where_the_check_of_the_key_is_weaker(pending, status, text):
    """An operator decides on the endpoint before money is at stake."""
    finding = _check_nonce(3, pending)

    assert str(finding.level) == status
    assert text in finding.detail
