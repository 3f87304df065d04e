"""What the other chain tests rely on: nothing that was undone is met by the next test."""

import pytest

from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.node import Node, Transaction
from tests.support.undoing import undo

DEAR = 10**13


@pytest.fixture
def node():
    with start_anvil(AnvilOptions()) as anvil:
        made = Node(anvil.port)
        yield made
        made.close()


def mined(node):
    """Mine a block and return its base fee and how many transactions it has."""
    node.rpc("evm_mine")
    block = node.rpc("eth_getBlockByNumber", ["latest", False])
    return int(block["baseFeePerGas"], 16), len(block["transactions"])


def test_the_next_block_is_as_if_nothing_had_happened(node):
    """Neither its base fee nor its transactions are those of the blocks that were undone."""
    rich = node.rpc("eth_accounts")[0]
    mined(node)  # Anvil's first block has the base fee of the genesis
    kept = node.rpc("evm_snapshot")
    before = mined(node)
    undo(node, kept)
    kept = node.rpc("evm_snapshot")
    node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(DEAR)])
    node.send(Transaction(sender=rich, to=rich))
    node.rpc("evm_setAutomine", [False])
    node.rpc("eth_sendTransaction", [Transaction(sender=rich, to=rich).as_json()])

    undo(node, kept)

    assert mined(node) == before
    assert node.send(Transaction(sender=rich, to=rich))["status"] == "0x1"
