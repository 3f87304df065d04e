"""A quiet block costs the same, whatever the headers say of its logs."""

import pytest

from keeper.book.looks import LOOK_EVERY
from keeper.chain.reader import connect
from tests.chain.conformance.test_missing_logs import started
from tests.support.threaded import proxied

BLOCKS = 3 * LOOK_EVERY
BLOOM_DIGITS = 512
BLOOMS = {
    "as it is": lambda header: header,
    "saturated": lambda header: header | {"logsBloom": "0x" + "f" * BLOOM_DIGITS},
    "zeroed": lambda header: header | {"logsBloom": "0x" + "0" * BLOOM_DIGITS},
    "missing": lambda header: {name: header[name] for name in header if name != "logsBloom"},
    "null": lambda header: header | {"logsBloom": None},
}


def answer_headers(proxy, change):
    """Have a proxy answer every header changed; count how many it was asked for."""
    changed = []

    async def hook(request):
        method = request.get("method", "")
        if not method.startswith("eth_getBlockBy"):
            return None
        changed.append(method)
        header = await proxy.ask(method, *request["params"])
        return {"jsonrpc": "2.0", "id": request["id"], "result": header and change(header)}

    proxy.hooks.append(hook)
    return changed


@pytest.mark.parametrize("bloom", BLOOMS)
async def test_a_quiet_block_costs_two_requests_and_one_more_in_twenty_five(world, bloom):
    """The head that is asked for here is announced to a keeper that runs."""
    with proxied(world.devnet.node.port) as proxy:
        headers = answer_headers(proxy, BLOOMS[bloom])
        async with connect([proxy.url]) as reader:
            watched = await started(world, reader)
            headers.clear()
            proxy.reset()
            await watched.mine(BLOCKS)
            requests = sum(proxy.counts.values()) - len(headers)

            assert len(headers) == BLOCKS
            assert requests <= 2 * BLOCKS + BLOCKS // LOOK_EVERY
            assert proxy.counts["eth_getLogs"] >= BLOCKS
            assert watched.unexplained() == []
            assert watched.uncovered() == []
