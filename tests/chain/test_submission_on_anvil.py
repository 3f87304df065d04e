import pytest

from keeper.chain.reader import connect
from keeper.chain.sender import Sender
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.node import Node
from keeper.domain.submission import AttemptKind
from keeper.execution.fees import FeeOracle, FeePolicy
from keeper.execution.results import plan_outcomes
from keeper.execution.signer import LocalSigner
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.tracker import Tracker
from keeper.storage.journal import Journal
from tests.support import proxy as proxies
from tests.support.scripted_submission import batch, plan

CHAIN_ID = 31337


@pytest.fixture
def node():
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as anvil:
        made = Node(anvil.port)
        made.rpc("anvil_setBlockTimestampInterval", [12])
        made.rpc("evm_setAutomine", [False])
        yield made
        made.close()


@pytest.fixture
async def world(node, tmp_path):
    """A real journal, signer and reader; the proxy wants ten per cent for a replacement."""
    signer = LocalSigner(b"\x07" * 32, CHAIN_ID)
    node.rpc("anvil_setBalance", [signer.address, hex(10**18)])
    journal = Journal.open(tmp_path / "j.sqlite", chain_id=CHAIN_ID, sender=signer.address)
    async with (
        proxies.running(f"http://127.0.0.1:{node.port}") as proxy,
        connect([proxy.url], chain_id=CHAIN_ID) as reader,
    ):
        events = []
        tracker = Tracker(
            chain=reader,
            journal=journal,
            sender=signer.address,
            outcomes=plan_outcomes,
            emit=events.append,
            confirmations=2,
        )
        fees = FeeOracle(reader, CHAIN_ID, FeePolicy())
        yield (
            NodeSubmitter(signer=signer, node=Sender(reader.rpc), tracker=tracker, fees=fees),
            reader,
            events,
            proxy,
        )
    journal.close()


def far(index=0):
    return batch(plan(index, deadline=2**40))


async def test_two_nonces_are_sent_replaced_mined_and_final(node, world):
    """The node with the mempools' own replacement rule takes every step of ours."""
    submitter, reader, events, _proxy = world
    await submitter.submit([far(0), far(1)], await reader.head())
    await submitter.bump(0)
    node.rpc("evm_mine")
    await submitter.follow(await reader.head(), lambda *_: True)
    landed = [one for one in events if one["event"] == "included"]
    for _ in range(2):
        node.rpc("evm_mine")
        await submitter.follow(await reader.head(), lambda *_: True)

    assert [one["result"] for one in events if one["event"] == "attempt"] == ["accepted"] * 3
    assert [(one["nonce"], one["kind"]) for one in landed] == [(0, "bump"), (1, "send")]
    assert [one["nonce"] for one in events if one["event"] == "final"] == [0, 1]
    assert await reader.transaction_count(submitter.signer.address) == 2
    assert submitter.tracker.book == {}


async def test_a_cured_account_costs_a_transfer_of_nothing(node, world):
    """21,000 gas instead of a liquidation that the executor would undo."""
    submitter, reader, events, _proxy = world
    await submitter.submit([far()], await reader.head())
    await submitter.follow(await reader.head(), lambda *_: False)
    node.rpc("evm_mine")
    await submitter.follow(await reader.head(), lambda *_: False)

    (included,) = [one for one in events if one["event"] == "included"]
    assert (included["kind"], included["gas_used"]) == (str(AttemptKind.CANCEL), "21000")
    assert submitter.in_flight() == frozenset()


async def test_a_reorg_takes_an_inclusion_back_and_the_bytes_go_out_again(node, world):
    """The orphaned transaction is not in the pool any more: only the keeper has it."""
    submitter, reader, events, _proxy = world
    await submitter.submit([far()], await reader.head())
    node.rpc("evm_mine")
    await submitter.follow(await reader.head(), lambda *_: True)
    node.rpc("anvil_reorg", [1, []])
    await submitter.follow(await reader.head(), lambda *_: True)
    node.rpc("evm_mine")
    await submitter.follow(await reader.head(), lambda *_: True)

    told = [one["event"] for one in events if one["event"] in {"included", "reopened"}]
    assert told == ["included", "reopened", "included"]
    assert await reader.transaction_count(submitter.signer.address) == 1
