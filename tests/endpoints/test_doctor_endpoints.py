"""What doctor says of several endpoints, each alone and side by side."""

from keeper.chain.abi import encoded, word
from keeper.chain.deployless import LENS
from keeper.chain.multicall import aggregator_code
from keeper.cli.doctor_endpoints import endpoints
from keeper.cli.findings import Level
from keeper.config import Chain
from tests.support.scripted_node import ScriptedNode, nodes, refused_whole


async def findings(*made):
    async with nodes(*made):
        chain = Chain(id=1, endpoints=tuple(one.http for one in made))
        return await endpoints(chain)


def bad(found):
    return [(str(one.level), one.detail) for one in found if one.level is not Level.OK]


async def test_one_endpoint_is_a_warning_with_the_way_out():
    """Nothing shows when it errs, and nothing takes over."""
    (last,) = [one for one in await findings(ScriptedNode()) if one.what == "endpoints"]

    assert last.level is Level.WARN
    assert "add a second" in last.fix


async def test_each_endpoint_is_looked_at_and_named_by_its_place():
    """Chain, client, age, distance, lag, and what it can do; never its address."""
    found = await findings(ScriptedNode(height=9), ScriptedNode(height=9, final=None))
    of_second = [one.detail for one in found if one.what.startswith("endpoint 1 ")]

    for said in ("chain 1", "block 9", "on this machine", "0 blocks behind", "batches"):
        assert any(said in one for one in of_second), (said, of_second)
    assert "finalized does not work (chain)" in of_second
    assert not any("secret-path" in one.what + one.detail + one.fix for one in found)


async def test_a_late_a_forked_and_a_foreign_endpoint_are_told_apart():
    """Late is a warning; another block or other code means that one of them is wrong."""
    late = bad(await findings(ScriptedNode(height=30), ScriptedNode(height=9)))
    forked = ScriptedNode(height=9)
    forked.fork(8, "b")
    apart = bad(await findings(ScriptedNode(height=9), forked))
    foreign = bad(await findings(ScriptedNode(), ScriptedNode(code="0x61")))

    assert ("warn", "21 blocks behind the newest") in late
    assert any(level == "fail" and "has another block 9" in said for level, said in apart)
    assert any(level == "fail" and "has other code" in said for level, said in foreign)


async def test_a_node_with_a_limit_on_batches_is_not_called_ok():
    """Two requests pass where a hundred do not; the keeper sends a hundred."""

    def batch(requests):
        return refused_whole("batch too large") if len(requests) > 10 else None

    found = await findings(ScriptedNode(height=9, batch=batch))
    said = [one for one in found if "batches" in one.detail]

    assert [one.level for one in said] == [Level.WARN]
    assert "at most" in said[0].detail
    assert "smaller messages" in said[0].fix


async def test_a_chain_without_multicall_is_a_warning_with_what_is_done_instead():
    """It ended the start before; now it costs next to nothing, and says so."""

    def call(params):
        if params[0].get("to") != LENS:  # Multicall3, or a look at its code by a deployment
            return "0x00" if "to" not in params[0] else "0x"
        count = word(bytes.fromhex(params[2][LENS]["code"][2:])[len(aggregator_code()) :], 1)
        return "0x" + encoded(("(bool,bytes)[]",), [[(True, b"")] * count]).hex()

    found = await findings(ScriptedNode(height=9, code="0x", handlers={"eth_call": call}))
    said = [one for one in found if "Multicall3" in one.detail]

    assert [one.level for one in said] == [Level.WARN]
    assert "aggregated by code that is not deployed" in said[0].fix
