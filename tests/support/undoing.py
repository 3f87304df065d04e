"""Going back on a local chain, so that nothing of what a test did is left in the node."""

import time

from keeper.devnet.node import Node
from keeper.domain.units import Gas, Wei
from keeper.execution.fees import next_base_fee

PATIENCE = 60.0


def undo(node: Node, snapshot: str) -> None:
    """Go back to an ``evm_snapshot``; from then on each transaction is mined at once."""
    node.rpc("evm_setAutomine", [False])
    _wait_for_the_pool(node)
    assert node.rpc("evm_revert", [snapshot])
    # What was mined since comes back to the pool, and must not be mined from there.
    node.rpc("anvil_dropAllTransactions")
    # Nor does Anvil take back the base fee of the block after the newest.
    newest = node.rpc("eth_getBlockByNumber", ["latest", False])
    base_fee, used, limit = (
        int(newest[name], 16) for name in ("baseFeePerGas", "gasUsed", "gasLimit")
    )
    fee = next_base_fee(base_fee=Wei(base_fee), gas_used=Gas(used), gas_limit=Gas(limit))
    node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(fee)])
    node.rpc("evm_setAutomine", [True])


def _wait_for_the_pool(node: Node) -> None:
    """
    Wait until the pool has let go of what was mined.

    Anvil's pool does so a moment after the block. Later than the revert, it would let go of
    the next transaction of the same sender and nonce, which nobody would ever mine.
    """
    deadline = time.monotonic() + PATIENCE
    while _mined_and_pooled(node):
        assert time.monotonic() < deadline, "the pool keeps what was mined"
        time.sleep(0.001)


def _mined_and_pooled(node: Node) -> bool:
    pooled = node.rpc("txpool_content")["pending"]
    hashes = [one["hash"] for by_nonce in pooled.values() for one in by_nonce.values()]
    receipts = node.batch([("eth_getTransactionReceipt", [one]) for one in hashes])
    return any(one is not None for one in receipts)
