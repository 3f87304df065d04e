"""Two real nodes that do not tell the same: what the keeper would sign upon is held."""

import asyncio
import contextlib

import pytest
from eth_account import Account

from keeper.chain.abi import checksum
from keeper.chain.heads import Heads, Pace
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.chain.standing import State
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.domain.errors import EndpointsDisagree, RpcRefused
from keeper.execution.everywhere import SendsEverywhere
from tests.support.scripted_node import until

RICH = Account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
NOBODY = checksum("0x" + "12" * 20)
GENESIS = 1_700_000_000
GWEI = 10**9


@pytest.fixture
def pair(tmp_path):
    """Two nodes of one genesis, over different transports; nothing is mined by itself."""
    options = [
        AnvilOptions(timestamp=GENESIS, extra=("--no-mining",)),
        AnvilOptions(timestamp=GENESIS, extra=("--no-mining",), ipc=tmp_path / "node.ipc"),
    ]
    with start_anvil(options[0]) as first, start_anvil(options[1]) as second:
        yield first, second


@contextlib.asynccontextmanager
async def over(pair):
    places = [pair[0].ws, str(pair[1].ipc)]
    pace = Pace(poll=0.05, silence=60.0, pause=0.05)
    async with connect(places, chain_id=31337) as reader:
        await until(lambda: all(one.state is State.ALIVE for one in reader.rpc.pool.standings))
        heads = Heads(reader, pace=pace).heads()
        async with contextlib.aclosing(heads), asyncio.timeout(120):
            await anext(heads)
            yield reader


async def mine(reader, at, timestamp, transactions=()):
    for raw in transactions:
        with contextlib.suppress(RpcRefused):
            await reader.rpc.ask(at, "eth_sendRawTransaction", "0x" + raw.hex())
    await reader.rpc.ask(at, "evm_setNextBlockTimestamp", hex(timestamp))
    await reader.rpc.ask(at, "evm_mine")


def signed(nonce):
    fields = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "to": NOBODY,
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 100 * GWEI,
        "maxPriorityFeePerGas": GWEI,
    }
    return bytes(RICH.sign_transaction(fields).raw_transaction)


async def test_f10_two_nodes_that_mine_the_same_agree_and_apart_they_hold(pair):
    """Same genesis, same time, same transactions: one chain. Another time: two of them."""
    async with over(pair) as reader:
        chain, pool = Quorum(reader), reader.rpc.pool
        sent = await SendsEverywhere(reader.rpc).send_raw(signed(0))
        for at in (0, 1):
            await until_pooled(reader, at, sent)
            await mine(reader, at, GENESIS + 10)
        await until(lambda: all(one.head.number == 1 for one in pool.sightings))
        head = await chain.head(1)
        receipt = await chain.receipt(sent)
        count = await chain.transaction_count(RICH.address)
        await mine(reader, 0, GENESIS + 20)
        await mine(reader, 1, GENESIS + 30)
        await until(pool.disagreements.reasons)

        with pytest.raises(EndpointsDisagree, match="different blocks 2"):
            await chain.head(2)
        assert head.number == receipt.block_number == count == 1
        assert receipt.success
        assert receipt.sender == RICH.address
        assert pool.disagreements.counts["head"] == 1


async def test_f10_a_transaction_that_one_node_alone_mined_is_not_believed(pair):
    """One says the nonce is used, the other that it is not, at a block of one height."""
    async with over(pair) as reader:
        chain = Quorum(reader)
        await mine(reader, 0, GENESIS + 10, [signed(0)])
        await mine(reader, 1, GENESIS + 10)

        with pytest.raises(EndpointsDisagree, match="nonce"):
            await chain.transaction_count(RICH.address)


async def until_pooled(reader, at, transaction):
    async with asyncio.timeout(60):
        while await reader.rpc.ask(at, "eth_getTransactionByHash", transaction) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
