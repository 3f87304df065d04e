"""A market's first block is found on the chain, or it is said that it cannot be."""

from collections.abc import Iterator

import pytest

from keeper.chain.creation import find_creation
from keeper.chain.reader import connect
from keeper.protocols.aave_v3.adapter import AaveMarket
from keeper.protocols.morpho_blue.adapter import MorphoDeployment, Options
from tests.chain.morpho_world import running_world
from tests.chain.worlds import Keeper
from tests.support.proxy import Message, Proxy
from tests.support.threaded import proxied

UNTIL = 100
"""The first block whose state a node without an archive keeps, in these tests."""


@pytest.fixture
def proxy(aave36) -> Iterator[Proxy]:
    with proxied(aave36.node.port) as made:
        yield made


def refusal(request: Message, text: str) -> Message:
    return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": text}}


def block_of(request: Message) -> int | None:
    """Return the block by number that state is asked of."""
    block = request["params"][-1]
    return int(block, 16) if isinstance(block, str) and block.startswith("0x") else None


async def no_archive(request: Message) -> Message | None:
    """Refuse state before a block, as geth does."""
    if request.get("method") == "eth_getCode":
        block = block_of(request)
        if block is not None and block < UNTIL:
            return refusal(request, "missing trie node 01 (path ) state 0x02 is not available")
    return None


async def empty_state(request: Message) -> Message | None:
    """Answer for state that is gone as if there had never been anything."""
    if request.get("method") == "eth_getCode":
        block = block_of(request)
        if block is not None and block < UNTIL:
            return {"jsonrpc": "2.0", "id": request["id"], "result": "0x"}
    return None


def short_logs(most: int):
    async def hook(request: Message) -> Message | None:
        if request.get("method") != "eth_getLogs" or "fromBlock" not in request["params"][0]:
            return None
        first, last = (int(request["params"][0][name], 16) for name in ("fromBlock", "toBlock"))
        if last - first + 1 > most:
            return refusal(request, f"eth_getLogs is limited to a {most} block range")
        return None

    return hook


async def no_old_logs(request: Message) -> Message | None:
    """Refuse logs before a block, as a node that prunes them does."""
    is_by_range = request.get("method") == "eth_getLogs" and "fromBlock" in request["params"][0]
    if is_by_range and int(request["params"][0]["fromBlock"], 16) < UNTIL:
        return refusal(request, "history has been pruned for this block")
    return None


def true_block(node, contract: str) -> int:
    """Return the first block with code, by asking for each."""
    return next(
        number
        for number in range(node.block_number() + 1)
        if node.rpc("eth_getCode", [contract, hex(number)]) != "0x"
    )


async def found(devnet, proxy: Proxy):
    """Return what is found of the pool's creation over a proxy."""
    async with connect([proxy.url]) as reader:
        head = await reader.head()
        market = AaveMarket(devnet.aave.provider.address, 0, reader)
        return await find_creation(reader, await market.origin(head), head)


async def test_an_archive_says_in_which_block_the_pool_was_made(devnet):
    """By bisection: a few questions, and a log of that block as proof."""
    with proxied(devnet.node.port) as proxy:
        creation = await found(devnet, proxy)

    assert creation.source == "state"
    assert creation.block == true_block(devnet.node, devnet.aave.pool.address) > 0
    assert proxy.counts["eth_getCode"] <= 12
    assert proxy.counts["eth_getLogs"] == 1


@pytest.mark.parametrize("node", [no_archive, empty_state])
async def test_without_old_state_the_log_of_its_creation_says_it(aave36, proxy, node):
    """A node that answers emptily for state that it lacks is not believed either."""
    proxy.hooks.append(node)

    creation = await found(aave36, proxy)

    assert creation.source == "logs"
    assert creation.block == true_block(aave36.node, aave36.aave.pool.address) < UNTIL


@pytest.mark.parametrize("most", [1, 7, 50])
async def test_short_ranges_of_logs_are_gone_through(aave36, proxy, most):
    """As hosted nodes give them."""
    proxy.hooks += [no_archive, short_logs(most)]

    creation = await found(aave36, proxy)

    assert creation.block == true_block(aave36.node, aave36.aave.pool.address)


@pytest.mark.parametrize("state", [no_archive, empty_state])
async def test_a_node_with_neither_state_nor_logs_says_so(aave36, proxy, state):
    """No block is made up: one that is too late would lose borrowers."""
    proxy.hooks += [state, no_old_logs]

    creation = await found(aave36, proxy)

    assert creation.block is None
    assert creation.reason


async def test_too_many_queries_are_given_up(aave36, proxy, monkeypatch):
    """Nobody waits for hours for one number."""
    monkeypatch.setattr("keeper.chain.creation.MOST_QUERIES", 5)
    proxy.hooks += [no_archive, short_logs(3)]

    creation = await found(aave36, proxy)

    assert creation.block is None
    assert "3 blocks at a time" in creation.reason
    assert proxy.counts["eth_getLogs"] <= 5


def opened_settings(keeper: Keeper, line: str) -> None:
    """Replace the settings' first block by a line."""
    path = keeper.folder / "keeper.toml"
    text = path.read_text()
    path.write_text(text.replace(f"from_block = {keeper.devnet.from_block}", line))


@pytest.mark.parametrize("line", ["", "from_block = 0"])
def test_a_start_without_a_first_block_finds_it_and_says_it(aave36, proxy, tmp_path, line):
    """Once: it is kept, like the book."""
    keeper = Keeper(tmp_path / "keeper", aave36, endpoint=proxy.ws_url)
    keeper.configure()
    told = keeper.command("scan", "--all", "--json", "--set", "book.keep=false").document
    opened_settings(keeper, line)

    first = keeper.command("scan", "--all", "--json")
    proxy.reset()
    second = keeper.command("scan", "--all", "--json")
    requests = sum(proxy.counts.values())

    block = true_block(aave36.node, aave36.aave.pool.address)
    assert first.document["accounts"] == told["accounts"]
    assert f"block={block}" in first.err
    assert second.document == first.document
    assert "first_block" not in second.err
    assert requests <= 10
    with keeper.running("--observe", "--blocks", "1") as running:
        assert running.until("block")["accounts"] == len(told["accounts"])


def test_a_first_block_that_cannot_be_found_costs_only_time(aave36, proxy, tmp_path):
    """The history is read from the chain's beginning, and that is said."""
    keeper = Keeper(tmp_path / "keeper", aave36, endpoint=proxy.ws_url)
    keeper.configure()
    opened_settings(keeper, "")
    provider = aave36.aave.provider.address

    async def no_logs_of_the_provider(request: Message) -> Message | None:
        if request.get("method") == "eth_getLogs" and provider in str(request["params"]):
            return refusal(request, "not for this contract")
        return None

    proxy.hooks += [no_archive, no_logs_of_the_provider]
    told = keeper.command("scan", "--all", "--json", "--set", "book.keep=false")

    assert told.code == 0
    assert {one.address for one in aave36.borrowers} <= {
        one["account"] for one in told.document["accounts"]
    }
    assert "first_block_not_found" in told.err
    assert "no state before block 100" in told.err


def test_the_second_endpoint_is_asked_where_the_first_cannot_tell(aave36, proxy, tmp_path):
    """The first is near, the second keeps everything."""
    keeper = Keeper(tmp_path / "keeper", aave36, endpoint=proxy.ws_url)
    keeper.configure()
    opened_settings(keeper, "")
    path = keeper.folder / "keeper.toml"
    one = f'endpoints = ["{keeper.endpoint}"]'
    text = path.read_text()
    assert one in text
    other = f"http://127.0.0.1:{aave36.node.port}"
    path.write_text(text.replace(one, f'endpoints = ["{keeper.endpoint}", "{other}"]'))
    proxy.hooks += [no_archive, no_old_logs]

    scan = keeper.command("scan", "--json")

    assert f"block={true_block(aave36.node, aave36.aave.pool.address)} by=state" in scan.err


@pytest.mark.parametrize("node", [None, no_archive, empty_state])
async def test_a_morpho_deployments_first_block_is_its_constructors(node):
    """Its first log names the owner; later ones name others."""
    for world in running_world():
        contract = world.morpho.contract
        with proxied(world.node.port) as proxy:
            proxy.hooks += [node] if node else []
            async with connect([proxy.url]) as reader:
                market = MorphoDeployment(Options(morpho=contract.address, all=True), 0, reader)
                head = await reader.head()
                creation = await find_creation(reader, await market.origin(head), head)

        assert creation.block == true_block(world.node, contract.address) > 0
        assert creation.source == ("logs" if node else "state")
