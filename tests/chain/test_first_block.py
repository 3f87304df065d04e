"""A market's first block is found on the chain, or it is said that it cannot be."""

from collections.abc import Iterator

import pytest

from keeper.chain.abi import topic
from keeper.chain.creation import find_creation
from keeper.chain.reader import connect
from keeper.cli import root
from keeper.composition.wiring import load_market
from keeper.config import SettingsInvalid, load
from keeper.devnet.market import Devnet
from keeper.protocols.aave_v3.adapter import AaveMarket
from keeper.protocols.morpho_blue.adapter import MorphoDeployment, Options
from tests.chain.conftest import running_devnet
from tests.chain.morpho_world import running_world
from tests.chain.worlds import Keeper
from tests.support.proxy import Message, Proxy
from tests.support.threaded import proxied

BORROW = "0x" + topic("Borrow(address,address,address,uint256,uint8,uint256,uint16)").hex()
UNTIL = 100
"""The first block whose state a node without an archive keeps, in these tests."""


@pytest.fixture(scope="module")
def market36() -> Iterator[Devnet]:
    """A chain of this module's own: the shared one forgets old state where others mine much."""
    yield from running_devnet("3.6")


@pytest.fixture(scope="module")
def market30() -> Iterator[Devnet]:
    """The older version, likewise."""
    yield from running_devnet("3.0")


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


def test_init_writes_the_first_block_of_a_market(aave36, proxy, tmp_path):
    """Nobody looks up what the chain knows; what it wrote is read again."""
    provider = aave36.aave.provider.address
    folder = tmp_path / "new"
    code = root.run(["init", str(folder), "--endpoint", proxy.url, "--aave", provider.lower()])

    block = true_block(aave36.node, aave36.aave.pool.address)
    settings = load(folder / "keeper.toml").settings
    assert code == 0
    assert [(one.protocol, one.from_block) for one in settings.market] == [("aave_v3", block)]
    assert settings.market[0].options == {"addresses_provider": provider}
    assert len(settings.venue) == 1


def test_init_says_what_it_could_not_find(aave36, proxy, tmp_path, capsys):
    """The keeper looks for it at its start, where another endpoint may know."""
    proxy.hooks += [no_archive, no_old_logs]
    folder = tmp_path / "new"
    provider = aave36.aave.provider.address
    code = root.run(["init", str(folder), "--endpoint", proxy.url, "--aave", provider])

    assert code == 0
    assert "first block was not found" in capsys.readouterr().out
    assert load(folder / "keeper.toml").settings.market[0].from_block is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--aave", "0x" + "12" * 20], "there is no contract at"),
        (["--aave", "nonsense"], "--aave nonsense"),
        (["--morpho", "0x" + "12" * 20], "there is no Morpho Blue at"),
    ],
)
def test_init_writes_nothing_for_what_is_not_there(proxy, tmp_path, capsys, arguments, said):
    """A mistyped address is noticed before anything is written."""
    code = root.run(["init", str(tmp_path / "new"), "--endpoint", proxy.url, *arguments])

    assert code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_init_needs_a_node_to_look_for_a_market(tmp_path, capsys):
    """There is nobody to ask."""
    assert root.run(["init", str(tmp_path / "new"), "--aave", "0x" + "12" * 20]) == 2
    assert "--endpoint" in capsys.readouterr().err


def test_init_writes_both_protocols(tmp_path):
    """A deployment of Morpho Blue, too: which of its markets is for the operator to say."""
    folder = tmp_path / "new"
    for world in running_world():
        contract = world.morpho.contract.address
        code = root.run(["init", str(folder), "--endpoint", world.url, "--morpho", contract])
        block = true_block(world.node, contract)

    text = (folder / "keeper.toml").read_text()
    assert code == 0
    with pytest.raises(SettingsInvalid, match="say which markets to follow"):
        load_market(load(folder / "keeper.toml").settings.market[0], None)
    (folder / "keeper.toml").write_text(text.replace("# all = true", "all = true"))
    (market,) = load(folder / "keeper.toml").settings.market
    assert (market.protocol, market.from_block) == ("morpho_blue", block)
    assert market.options == {"morpho": contract, "all": True}


def beginnings(keeper: Keeper) -> list[dict[str, str]]:
    """Return what `doctor` says of the market's first block."""
    document = keeper.command("doctor", "--json").document
    return [
        one
        for one in document["checks"]
        if one["what"].startswith("market ")
        and ("from_block" in one["detail"] or "history from" in one["detail"])
    ]


def first_borrow(devnet) -> int:
    """Return the block of the pool's first Borrow log."""
    logs = devnet.node.rpc(
        "eth_getLogs",
        [
            {
                "fromBlock": "0x0",
                "toBlock": "latest",
                "address": devnet.aave.pool.address,
                "topics": [BORROW],
            }
        ],
    )
    return min(int(log["blockNumber"], 16) for log in logs)


def test_the_doctor_warns_of_a_first_block_that_loses_borrowers(aave36, proxy, tmp_path):
    """With the number to set; one between the creation and the first debt is fine."""
    keeper = Keeper(tmp_path / "keeper", aave36, endpoint=proxy.ws_url)
    keeper.configure()
    created = true_block(aave36.node, aave36.aave.pool.address)
    borrowed = first_borrow(aave36)
    told = {}
    for block in (created, borrowed, borrowed + 1):
        text = (keeper.folder / "keeper.toml").read_text()
        line = next(one for one in text.splitlines() if one.startswith("from_block"))
        (keeper.folder / "keeper.toml").write_text(text.replace(line, f"from_block = {block}"))
        (told[block],) = beginnings(keeper)

    assert told[created]["level"] == told[borrowed]["level"] == "ok"
    late = told[borrowed + 1]
    assert late["level"] == "warn"
    assert f"borrowed in block {borrowed}" in late["detail"]
    assert late["fix"] == f"set from_block = {created}"


def test_the_doctor_warns_by_logs_where_there_is_no_old_state(aave36, proxy, tmp_path):
    """The contract's creation is not found, but somebody borrowed before."""
    keeper = Keeper(tmp_path / "keeper", aave36, endpoint=proxy.ws_url)
    keeper.configure()
    opened_settings(keeper, f"from_block = {first_borrow(aave36) + 1}")
    provider = aave36.aave.provider.address

    async def no_logs_of_the_provider(request: Message) -> Message | None:
        if request.get("method") == "eth_getLogs" and provider in str(request["params"]):
            return refusal(request, "not for this contract")
        return None

    proxy.hooks += [no_archive, no_logs_of_the_provider]
    (late,) = beginnings(keeper)

    assert late["level"] == "warn"
    assert late["fix"] == f"set from_block = {first_borrow(aave36)}, or lower"
