"""A market's advice, and what the contracts make of it when somebody follows it."""

from keeper.domain.advice import CureKind
from keeper.domain.head import Basis
from keeper.protocols.aave_v3.adapter import Options, build
from tests.support.history import history_of
from tests.support.undoing import undo

DAY = 86_400
VARIABLE, STABLE = 2, 1


async def aave_snapshot(devnet, reader):
    made = build(
        Options(addresses_provider=devnet.aave.provider.address), from_block=0, reader=reader
    )
    head = await reader.head()
    await made.discover(head)
    logs = await history_of(reader, made.history_filter, 0, head.number)
    await made.load(head, made.borrowers(logs))
    results = await reader.aggregate(made.calls(head), Basis(block_hash=head.hash))
    return made.apply(head, results)[0]


def health_after(devnet, account, cure, amount, moment):
    """
    Return the pool's health factor after so much of a cure in a block of that time.

    Raises:
        RpcRefused: the pool does not take it.
    """
    node, pool, token = devnet.node, devnet.aave.pool, cure.token
    kept = node.rpc("evm_snapshot")
    node.rpc("evm_setNextBlockTimestamp", [moment])
    try:
        if not amount:
            node.rpc("evm_mine")
        elif cure.kind is CureKind.ADD_COLLATERAL:
            node.send_all([pool.transaction("supply", token, amount, account, 0)])
        else:
            mode = STABLE if cure.stable_rate else VARIABLE
            node.send_all([pool.transaction("repay", token, amount, mode, account)])
        assert int(node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16) == moment
        return pool.call("getUserAccountData", account)[5]
    finally:
        undo(node, kept)
