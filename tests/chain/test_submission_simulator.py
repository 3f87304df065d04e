from dataclasses import replace

import pytest

from keeper.chain.abi import encoded
from keeper.chain.reader import connect
from keeper.domain.errors import RpcRefused
from keeper.execution.simulator import ExecutorSimulator
from tests.support.scripted_submission import plan


@pytest.fixture
async def reader(aave36):
    async with connect([f"http://127.0.0.1:{aave36.node.port}"], chain_id=31337) as made:
        yield made


class WithoutSimulation:
    """A node that has no eth_simulateV1."""

    def __init__(self, reader):
        self.reader = reader

    async def call(self, call, basis, *, sender=None, fees=None):
        return await self.reader.call(call, basis, sender=sender)

    async def estimate_gas(self, transaction, basis):
        return await self.reader.estimate_gas(transaction, basis)

    async def simulate_v1(self, payload, basis):
        raise RpcRefused("no such method", number=-32601, text="Method not found")


def simulator(chain, devnet, operator=None):
    return ExecutorSimulator(
        chain,
        executor=devnet.executor,
        operator=operator or devnet.accounts.hot,
        step_gas=lambda one: one.gas,
    )


async def test_both_ways_of_simulating_tell_why_nothing_would_work(aave36, reader):
    """A batch of plans for a module that does not exist is refused with the reason of each."""
    head = await reader.head()
    impossible = replace(plan(), module=99, deadline=2**40)
    for chain in (reader, WithoutSimulation(reader)):
        made = simulator(chain, aave36)
        batch = made.batch([impossible, impossible], net_profit=1, gas_limit=3_000_000)
        answers = await made.simulated([batch, batch], head)

        assert [one.plans for one in answers] == [(), ()]
        assert [one.failure.count("UnknownModule(99)") for one in answers] == [2, 2]


async def test_without_simulation_the_gas_of_a_batch_is_not_taken_too_low(reader, aave36):
    """The least gas that a transaction needs is that of its first plan: the others would starve."""

    class Estimating(WithoutSimulation):
        async def call(self, call, basis, *, sender=None, fees=None):
            return encoded(("(bool,uint256,bytes)[]",), ([(True, 1, b"")] * 2,))

        async def estimate_gas(self, transaction, basis):
            return 400_000

    made = simulator(Estimating(reader), aave36)
    batch = made.batch([plan(0), plan(1)], net_profit=1, gas_limit=3_000_000)

    (answer,) = await made.simulated([batch], await reader.head())

    assert answer.gas_used == plan().gas * 2


async def test_a_stranger_may_not_even_try(aave36, reader):
    """The whole transaction fails, and the reason is the executor's own."""
    head = await reader.head()
    for chain in (reader, WithoutSimulation(reader)):
        made = simulator(chain, aave36, operator=aave36.accounts.receiver)
        batch = made.batch([replace(plan(), deadline=2**40)], net_profit=1, gas_limit=3_000_000)
        (answer,) = await made.simulated([batch], head)

        assert answer.plans == ()
        assert "perator" in answer.failure
