"""A node without ``eth_simulateV1`` or ``eth_estimateGas``, in every way of not having them."""

import asyncio
import contextlib
import logging

import pytest

from keeper.chain import simulation
from keeper.chain.abi import encoded, selector
from keeper.chain.awaiting import FIRST_PAUSES
from keeper.chain.capabilities import Capability
from keeper.chain.pinning import PinMode
from keeper.chain.reader import connect
from keeper.chain.simulation import UNKNOWN_BLOCKS
from keeper.chain.transport import Timeouts
from keeper.domain.errors import RpcUnavailable
from keeper.domain.head import Basis
from keeper.domain.reads import Call
from keeper.execution.simulator import ExecutorSimulator
from keeper.execution.vault_simulator import MOST_GAS, VaultSimulator
from tests.support.scripted_node import Refusal, ScriptedNode, Silence, nodes, until
from tests.support.scripted_submission import EXECUTOR, plan

SIMULATE, ESTIMATE, CALL = "eth_simulateV1", "eth_estimateGas", "eth_call"
VAULT = "0x0000000000000000000000000000000000000009"
WORKED = "0x" + encoded(("(bool,uint256,bytes)[]",), ([(True, 77, b"")],)).hex()
REVERTED = "0x4e487b71" + f"{0x11:064x}"


def refuse(code, text="not for you", data=None):
    def handler(_):
        raise Refusal(text, code, data)

    return handler


def silent(_):
    raise Silence


def simulating(params):
    """Answer as a node that has the method: every call works."""
    (block,) = params[0]["blockStateCalls"]
    call = {"status": "0x1", "gasUsed": "0x186a0", "returnData": WORKED, "logs": []}
    return [{"number": "0x2", "calls": [call for _ in block["calls"]]}]


def changed(**fields):
    def handler(params):
        blocks = simulating(params)
        for call in blocks[0]["calls"]:
            for name, value in fields.items():
                call.pop(name) if value is None else call.update({name: value})
        return blocks

    return handler


def with_one_call_more(params):
    blocks = simulating(params)
    blocks[0]["calls"] *= 2
    return blocks


LACKS = {
    "-32600": refuse(-32600, "Unsupported method: eth_simulateV1"),
    "35": refuse(35, "Method is not available on your plan"),
    "-32603": refuse(-32603, "Internal error"),
    "-32601": refuse(-32601, "the method eth_simulateV1 does not exist/is not available"),
    "-32602": refuse(-32602, "invalid argument 0"),
    "-32000": refuse(-32000, "not available"),
    "-32004": refuse(-32004, "method not supported"),
    "0": refuse(0, "we can't execute this request"),
    "4200": refuse(4200, "unsupported method"),
    "-32001": refuse(-32001, "resource not found"),
    "null": lambda _: None,
    "an empty list": lambda _: [],
    "a text": lambda _: "0x",
    "an object": lambda _: {"calls": []},
    "a block without calls": lambda _: [{"number": "0x2"}],
    "a block of null": lambda _: [None],
    "calls of null": lambda _: [{"calls": [None]}],
    "no calls": lambda _: [{"calls": []}],
    "a call too many": with_one_call_more,
    "two blocks": lambda params: simulating(params) * 2,
    "no status": changed(status=None),
    "no gas": changed(gasUsed=None),
    "no result": changed(returnData=None),
    "a decimal status": changed(status=1),
    "an empty result": changed(returnData="0x"),
    "another contract's result": changed(returnData="0x" + "00" * 64),
}
"""Ways of not having the method: whatever is answered, it is no revert of ours."""

OF_THE_QUESTION = {
    "gas limit reached": refuse(-38015, "block gas limit reached"),
    "client limit": refuse(-38026, "too many blocks"),
    "a revert": refuse(3, "execution reverted", REVERTED),
    "no money": refuse(-32000, "insufficient funds for gas * price + value"),
}
"""Refusals of one question, which a later one need not meet."""


def node(**handlers):
    made = ScriptedNode()
    made.handlers |= {CALL: lambda _: WORKED, ESTIMATE: lambda _: hex(123_456), **handlers}
    return made


@contextlib.asynccontextmanager
async def over(*made):
    times = Timeouts(connect=5.0, request=20.0, reads=5.0)
    async with (
        nodes(*made),
        connect([one.http for one in made], chain_id=1, timeouts=times) as reader,
    ):
        await until(lambda: all(one.asked["eth_chainId"] for one in made))
        yield reader


def simulator(reader):
    return ExecutorSimulator(
        reader, executor=EXECUTOR, operator=EXECUTOR, step_gas=lambda one: one.step_gas
    )


async def outcome(reader, plans=1):
    made = simulator(reader)
    batch = made.batch([plan(at, step_gas=600_000) for at in range(plans)], net_profit=1,
                       gas_limit=1_000_000)  # fmt: skip
    (answer,) = await made.simulated([batch], await reader.head())
    return answer


@pytest.mark.parametrize("how", [*LACKS, *OF_THE_QUESTION])
async def test_whatever_refuses_the_simulation_it_is_run_alone(how):
    """A block with a plan in it is worth more than the order of its transactions."""
    poor = node(**{SIMULATE: (LACKS | OF_THE_QUESTION)[how]})
    async with over(poor) as reader:
        answer = await outcome(reader)

    assert [(one.profit, one.failure) for one in answer.plans] == [(77, "")]
    assert answer.gas_used == 600_000


@pytest.mark.parametrize("how", [one for one in LACKS if "result" not in one or one == "no result"])
async def test_a_lacking_simulation_is_learnt_said_once_and_asked_for_again(how, caplog):
    """In every block it would cost a request and a line; never again would cost the method."""
    poor = node(**{SIMULATE: LACKS[how]})
    async with over(poor) as reader:
        basis = Basis(block_hash=(await reader.head()).hash)
        await reader.call(Call(target=VAULT, data=b""), basis)  # blocks can be named by hash
        with caplog.at_level(logging.WARNING):
            for _ in range(5):
                await outcome(reader)
        asked = poor.asked[SIMULATE]
        reader.rpc.capabilities.clock = lambda: 1e12
        poor.handlers[SIMULATE] = simulating
        again = await outcome(reader)

    unknown = UNKNOWN_BLOCKS * (1 + len(FIRST_PAUSES))  # the block might only be late
    assert asked == (unknown if how == "-32001" else 1)
    assert caplog.text.count("endpoint_lacks") == 1
    assert again.gas_used == 100_000
    assert reader.rpc.capabilities.lacks() == []


@pytest.mark.parametrize("how", OF_THE_QUESTION)
async def test_a_refusal_of_one_question_is_not_held_against_the_method(how):
    """The next block's transactions may be fewer, or paid for."""
    picky = node(**{SIMULATE: OF_THE_QUESTION[how]})
    async with over(picky) as reader:
        await outcome(reader)
        picky.handlers[SIMULATE] = simulating

        assert (await outcome(reader)).gas_used == 100_000


async def test_a_simulation_that_disappears_in_mid_run_costs_no_block():
    """A balancer puts another node behind the name."""
    fickle = node(**{SIMULATE: simulating})
    async with over(fickle) as reader:
        before = await outcome(reader)
        fickle.handlers[SIMULATE] = LACKS["-32600"]
        after = await outcome(reader)

    assert (before.gas_used, after.gas_used) == (100_000, 600_000)


async def test_a_simulation_without_an_answer_is_not_waited_for_twice(monkeypatch):
    """The method hangs: one time-out, then the block's transactions are run alone."""
    monkeypatch.setattr(simulation, "SIMULATION_SECONDS", 0.05)
    hanging = node(**{SIMULATE: silent})
    async with over(hanging) as reader:
        first, second = await outcome(reader), await outcome(reader)

    assert len(first.plans) == len(second.plans) == 1
    assert hanging.asked[SIMULATE] == 1


async def test_a_second_endpoint_that_has_the_method_is_asked_instead():
    """The transactions are seen in their order as long as anybody can run them so."""
    poor, good = node(**{SIMULATE: LACKS["35"]}), node(**{SIMULATE: simulating})
    async with over(poor, good) as reader:
        answers = [await outcome(reader) for _ in range(2)]

    assert [one.gas_used for one in answers] == [100_000, 100_000]
    assert (poor.asked[SIMULATE], good.asked[SIMULATE]) == (1, 2)


async def test_a_refused_simulation_does_not_change_how_blocks_are_named():
    """By number two more requests would go with every read of the block."""
    poor = node(**{SIMULATE: LACKS["-32600"]})
    async with over(poor) as reader:
        await outcome(reader)

        assert reader.pinning.mode is PinMode.CANONICAL
    assert [one.capability for one in reader.rpc.capabilities.lacks()] == [Capability.SIMULATION]


@pytest.mark.parametrize("code", [-32600, -32601, -32603, 35, -32000, -32602])
async def test_without_an_estimate_the_plans_own_limits_count(code):
    """The run says whether it works; what it may use at most is in the plans."""
    poor = node(**{SIMULATE: LACKS["-32601"], ESTIMATE: refuse(code, "not available")})
    async with over(poor) as reader:
        answers = [await outcome(reader) for _ in range(3)]

    assert {(one.gas_used, one.failure) for one in answers} == {(600_000, "")}
    assert poor.asked[ESTIMATE] <= 4  # each form with the gas field and without it, once


@pytest.mark.parametrize("said", [None, "123456", 123456, {}])
async def test_an_estimate_that_is_none_costs_no_plan(said):
    """Null where a number should be."""
    poor = node(**{SIMULATE: LACKS["-32601"], ESTIMATE: lambda _: said})
    async with over(poor) as reader:
        assert (await outcome(reader)).gas_used == 600_000


async def test_an_estimate_that_takes_no_block_is_asked_at_the_newest():
    """Some nodes have the method's older form only; it is learnt."""

    def older(params):
        if len(params) > 1:
            raise Refusal("too many arguments, want at most 1", -32602)
        return hex(900_000)

    poor = node(**{SIMULATE: LACKS["-32601"], ESTIMATE: older})
    async with over(poor) as reader:
        answers = [await outcome(reader) for _ in range(2)]

    assert [one.gas_used for one in answers] == [900_000, 900_000]
    assert poor.asked[ESTIMATE] <= 4


async def test_a_revert_is_still_the_plans_own():
    """What the contract says of the plan is no lack of the node's."""
    honest = node(**{SIMULATE: LACKS["-32601"], CALL: refuse(3, "execution reverted", REVERTED)})
    async with over(honest) as reader:
        answer = await outcome(reader)

    assert (answer.plans, answer.failure) == ((), "Panic(17)")


async def test_a_failed_call_is_told_by_its_data_wherever_that_is():
    """Geth leaves the revert data in the error object, others in the result."""
    told = {"status": "0x0", "returnData": "0x", "error": {"code": 3, "data": REVERTED}}
    async with over(node(**{SIMULATE: changed(**told)})) as reader:
        assert (await outcome(reader)).failure == "Panic(17)"
    told = {"status": "0x0", "returnData": None, "error": {"code": -32015, "message": "no gas"}}
    async with over(node(**{SIMULATE: changed(**told)})) as reader:
        assert (await outcome(reader)).failure == "no gas"


async def test_a_call_that_the_node_does_not_run_leaves_the_plan_and_not_the_block():
    """The plan says why; calls are made and the other accounts are decided about."""
    poor = node(**{SIMULATE: LACKS["-32601"], CALL: refuse(-32602, "unknown field from")})
    async with over(poor) as reader:
        answer = await outcome(reader)

    assert answer.plans == ()
    assert answer.failure == "the node does not run it: unknown field from"


async def test_a_node_that_answers_nothing_is_unavailable():
    """There is no second way without a node."""
    poor = node(**{SIMULATE: LACKS["-32601"]})
    async with over(poor) as reader:
        head = await reader.head()
        made = simulator(reader)
        batch = made.batch([plan()], net_profit=1, gas_limit=1)
        await poor.stop()
        with pytest.raises(RpcUnavailable):
            await made.simulated([batch], head)


async def test_many_transactions_are_run_alone_at_once():
    """One after the other would take the block's time."""
    together = []

    class Counting:
        running = 0

        async def simulate_v1(self, payload, basis):
            raise RpcUnavailable("not now")

        async def call(self, call, basis, *, sender=None, fees=None):
            self.running += 1
            await asyncio.sleep(0)
            together.append(self.running)
            self.running -= 1
            return bytes.fromhex(WORKED[2:])

        async def estimate_gas(self, transaction, basis):
            return 1

    made = simulator(Counting())
    batches = [made.batch([plan(at)], net_profit=1, gas_limit=1) for at in range(5)]
    async with over(node()) as reader:
        await made.simulated(batches, await reader.head())

    assert max(together) == 5


VAULT_GAS = {
    "by the estimate": ({}, 123_456),
    "by the simulation": ({ESTIMATE: refuse(-32601)} | {SIMULATE: simulating}, 125_000),
    "by nobody": ({ESTIMATE: refuse(-32601)} | {SIMULATE: LACKS["-32600"]}, MOST_GAS),
}


@pytest.mark.parametrize("how", VAULT_GAS)
async def test_a_cure_needs_no_particular_method_for_its_gas(how):
    """It is run, and its gas is known in one of three ways."""
    handlers, gas = VAULT_GAS[how]
    async with over(node(**handlers)) as reader:
        vault = VaultSimulator(chain=reader, vault=VAULT, operator=VAULT)

        assert await vault.tried(b"\x01", await reader.head()) == gas


async def test_plans_that_a_capped_call_has_no_gas_for_are_run_apart():
    """Nodes cap the gas of calls below a batch's limit: its last plans would fail in each block."""
    starved = selector("NotEnoughGas(uint256,uint256)") + encoded(("uint256", "uint256"), (9, 3))
    runs = []

    def call(_):
        runs.append([(True, 77, b""), (True, 77, b""), (False, 0, starved)] if not runs else [])
        results = runs[-1] or [(True, 77, b"")]
        return "0x" + encoded(("(bool,uint256,bytes)[]",), (results,)).hex()

    async with over(node(**{CALL: call})) as reader:
        answer = await outcome(reader, plans=3)

    assert [one.failure for one in answer.plans] == ["", "", ""]
    assert len(runs) == 2


async def test_a_sequence_that_ran_short_of_gas_is_run_one_by_one():
    """Nodes bound the gas of a whole simulation: the last transactions get what is left of it."""
    starved = selector("NotEnoughGas(uint256,uint256)") + encoded(("uint256", "uint256"), (9, 3))
    results = encoded(("(bool,uint256,bytes)[]",), ([(False, 0, starved)],))
    short = node(**{SIMULATE: changed(returnData="0x" + results.hex())})
    async with over(short) as reader:
        answer = await outcome(reader)

    assert [(one.profit, one.failure) for one in answer.plans] == [(77, "")]
    assert short.asked[SIMULATE] == 1


@pytest.mark.parametrize(("takes_unvalidated", "again"), [(False, True), (True, False)])
async def test_validation_is_left_out_only_where_a_block_is_taken_without_it(
    takes_unvalidated, again
):
    """Without it contracts see a base fee of nought; one block that was too large is no reason."""
    asked = []

    def picky(params):
        asked.append(params[0]["validation"])
        if params[0]["validation"] or not takes_unvalidated:
            raise Refusal("block gas limit reached", -38015)
        return simulating(params)

    async with over(node(**{SIMULATE: picky})) as reader:
        made = simulator(reader)
        batch = made.batch([plan(step_gas=600_000)], net_profit=1, gas_limit=1_000_000)
        await made.simulated([batch], await reader.head())
        first = len(asked)
        await made.simulated([batch], await reader.head())

    assert asked[0] is True
    assert asked[first] is again
