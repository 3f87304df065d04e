"""An executor laid over blocks: when it is, when it is done without, and what is asked of nodes."""

import logging

import pytest

from keeper.chain.abi import selector
from keeper.chain.pinned import state_overrides
from keeper.domain.errors import ConfigError, RpcRefused, RpcUnavailable
from keeper.domain.head import CodeOverride
from keeper.execution.executor import ARTIFACT, ARTIFACT_STORAGE
from keeper.execution.made_up import (
    EXECUTOR,
    OPERATOR,
    MadeUpSimulator,
    OverlaidChain,
    Setup,
    overlay_of,
)
from keeper.execution.simulator import ExecutorSimulator
from keeper.ports import ExecutorTargets
from tests.support.scripted_submission import TOKEN, batch, head, plan

SETUP = Setup(targets=ExecutorTargets(lenders=(TOKEN,)), wrapped=TOKEN, builder_share_bps=7)
NOTHING_WORKED = RpcRefused("reverted", data=selector("NothingWorked(bytes[])") + bytes(64))


class Chain:
    """A node that answers the question whether the executor runs as it is told."""

    def __init__(self, *answers):
        self.answers, self.asked, self.payloads = list(answers), [], []

    async def call(self, call, basis, *, sender=None, fees=None):
        self.asked.append((call, basis, sender))
        answer = self.answers.pop(0) if self.answers else NOTHING_WORKED
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def simulate_v1(self, payload, basis):
        self.payloads.append(payload)
        raise RpcRefused("no such method")

    async def estimate_gas(self, transaction, basis):
        raise RpcRefused("no such method")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def made(chain, clock=None, describe=None):
    overlaid = OverlaidChain(chain)

    async def described():
        return SETUP

    return MadeUpSimulator(
        chain=overlaid,
        inner=ExecutorSimulator(
            overlaid, executor=EXECUTOR, operator=OPERATOR, step_gas=lambda one: one.gas
        ),
        describe=describe or described,
        clock=clock or Clock(),
    )


async def run(simulator):
    return await simulator.simulated([batch(plan())], head(1))


async def test_every_simulation_has_the_executor_and_money_laid_over_its_block():
    """In the sequence as in single calls: what is not there yet is not there in either."""
    chain = Chain()

    await run(made(chain))

    assert chain.payloads
    for payload in chain.payloads:
        laid = payload["blockStateCalls"][0]["stateOverrides"]
        assert set(laid) == {EXECUTOR, OPERATOR}
        assert laid[OPERATOR].keys() == {"balance"}
        assert laid[EXECUTOR].keys() == {"code", "stateDiff"}
    assert all(len(basis.overlay) == 2 for _, basis, _ in chain.asked)
    assert {sender for _, _, sender in chain.asked} == {OPERATOR}


@pytest.mark.parametrize(
    "answer", [b"", b"\1", RpcRefused("no"), RpcRefused("x", data=b"\0" * 4)], ids=repr
)
async def test_a_node_that_does_not_run_it_is_done_without(answer, caplog):
    """Plans at their word, said once and tried again later; with the other build first."""
    chain, clock = Chain(answer, answer, answer, answer), Clock()
    simulator = made(chain, clock)
    with caplog.at_level(logging.WARNING):
        first = await run(simulator)
        again = await run(simulator)
        clock.now += 61
        await run(simulator)

    assert [one.plans[0].profit for one in (*first, *again)] == [plan().gross_profit] * 2
    assert len(chain.asked) == 4
    assert caplog.text.count("simulation_left_out") == 1


async def test_a_chain_without_transient_storage_runs_the_other_build():
    """As `keeper executor deploy --storage-build` would deploy it."""
    chain = Chain(b"")
    simulator = made(chain)

    await run(simulator)

    storage = overlay_of(SETUP, ARTIFACT_STORAGE)[0].code
    assert simulator.chain.overlay[0].code == storage != overlay_of(SETUP, ARTIFACT)[0].code
    assert chain.payloads


async def test_a_node_that_does_not_answer_is_no_node_without_overrides():
    """The block is left out as any other block that could not be simulated."""
    with pytest.raises(RpcUnavailable):
        await run(made(Chain(RpcUnavailable("no answer"))))


async def test_where_nobody_says_what_the_coin_is_the_step_is_left_out():
    """A market may have no exchange configured yet."""

    async def unknown():
        raise ConfigError("no venue says what the wrapped coin is")

    (found,) = await run(made(Chain(), describe=unknown))

    assert found.plans[0].profit == plan().gross_profit


def test_an_overlay_leaves_out_what_it_does_not_change():
    """An empty code would remove the account's own."""
    assert state_overrides((CodeOverride(address=TOKEN, code=b"", balance=7),)) == {
        TOKEN: {"balance": "0x7"}
    }
