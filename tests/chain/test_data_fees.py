"""A rollup's fee for publishing data, asked of contracts that answer as its predeploys do."""

import pytest

from keeper.chain.reader import connect
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.node import Node
from keeper.devnet.toolchain import compile_solidity
from keeper.domain.errors import ChainError
from keeper.execution.data_fees import (
    GAS_PRICE_ORACLE,
    NODE_INTERFACE,
    DataFeeKind,
    DataFees,
    kind_of,
)
from tests.chain.executor_world import HOSTILE, ROOT
from tests.support.scripted_submission import batch

PRICE = 5_227 * 16 * 20 * 10**9 + 1_014_213 * 3 * 10**9


def bound(size):
    """Return Fjord's upper bound of an unsigned transaction's fee."""
    size += 68
    return (836_500 * (size + size // 255 + 16) - 42_585_600) * PRICE // 10**12


def runtime(name):
    """Return a contract's code as it lies on the chain."""
    source = ROOT / "tests" / "contracts" / "RollupFees.sol"
    settings = {**HOSTILE, "outputSelection": {"*": {"*": ["evm.deployedBytecode.object"]}}}
    built = compile_solidity({source.name: source}, settings=settings)[source.name]
    return "0x" + built[name]["evm"]["deployedBytecode"]["object"]


@pytest.fixture
async def chain():
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as anvil:
        node = Node(anvil.port)
        async with connect([f"http://127.0.0.1:{anvil.port}"], multicall=None) as reader:
            yield node, reader
        node.close()


async def test_an_op_stack_chain_is_known_by_its_predeploy_and_asked_for_the_fee(chain):
    """A quarter above what it asks now, or its own upper bound where that is less."""
    node, reader = chain
    before = await kind_of(reader, 31337, await reader.head())
    node.rpc("anvil_setCode", [GAS_PRICE_ORACLE, runtime("RollupGasPriceOracle")])
    head = await reader.head()
    kind = await kind_of(reader, 31337, head)
    small, large = batch(calldata=b"\xab" * 100), batch(calldata=b"\xab" * 5_000)
    fees = await DataFees(reader=reader, chain_id=10, kind=kind).of([small, large], head)

    assert (before, kind) == (DataFeeKind.NONE, DataFeeKind.OP_STACK)
    assert all(one.gas == 0 for one in fees)
    least = (68 + 5_000) * 16 * PRICE // (16 * 10**6)
    assert least // 2 < bound(5_000) <= fees[1].fee <= bound(5_060) < least
    assert least // 50 < fees[0].fee < least // 15


async def test_arbitrum_sells_gas_for_the_data_within_the_limit(chain):
    """What is paid as gas must be in the gas limit, too."""
    node, reader = chain
    node.rpc("anvil_setCode", [NODE_INTERFACE, runtime("RollupNodeInterface")])
    head = await reader.head()
    kind = await kind_of(reader, 42_161, head)
    (fee,) = await DataFees(reader=reader, chain_id=42_161, kind=kind).of(
        [batch(calldata=b"\xab" * 1_000)], head
    )

    assert kind is DataFeeKind.ARBITRUM
    assert (fee.gas, fee.fee) == (20_000, 20_000 * 10**7)


async def test_a_predeploy_that_does_not_answer_is_an_error_and_no_free_lunch(chain):
    """Profit that is not net of the fee is none."""
    node, reader = chain
    node.rpc("anvil_setCode", [GAS_PRICE_ORACLE, "0x5f5ffd"])

    with pytest.raises(ChainError, match="GasPriceOracle"):
        await DataFees(reader=reader, chain_id=10, kind=DataFeeKind.OP_STACK).of(
            [batch()], await reader.head()
        )
