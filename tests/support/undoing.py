"""Going back on a local chain, so that nothing of what a test did is left in the node."""

from keeper.devnet.node import Node
from keeper.domain.units import Gas, Wei
from keeper.execution.fees import next_base_fee


def undo(node: Node, snapshot: str) -> None:
    """Go back to an ``evm_snapshot``; from then on each transaction is mined at once."""
    node.rpc("evm_setAutomine", [False])
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
