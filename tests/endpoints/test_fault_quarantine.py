"""F12: an endpoint that sends more than any good one is left alone; the others do not notice."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from keeper.chain.heads import Heads, Pace
from keeper.chain.multicall import AGGREGATE3
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.chain.standing import Rules, State
from keeper.chain.transport import Timeouts
from keeper.domain.errors import ChainError, RpcTooLarge
from keeper.domain.head import Basis
from keeper.domain.reads import Call, LogFilter
from keeper.observe.endpoints import endpoint_check, measure
from keeper.observe.metrics import Metrics
from keeper.observe.vitals import Vitals
from tests.support import bombs
from tests.support.scripted_node import Refusal, ScriptedNode, block, nodes, until

MIB = 2**20
TIMES = Timeouts(connect=5.0, request=30.0, reads=10.0)
ME = "0x" + "11" * 20
HASH = block(1)["hash"]
CALL = Call(target="0x" + "22" * 20, data=b"\x01\x02\x03\x04")
BOMB = bombs.compressed(bombs.lists())


def explosive(node, *methods, every=1):
    """Let an http node answer these methods (all where none are named) with a bomb."""
    asked = 0

    async def raw(request):
        nonlocal asked
        document = json.loads(await request.read())
        requests = document if isinstance(document, list) else [document]
        if methods and not {one["method"] for one in requests} & set(methods):
            return None
        asked += 1
        for one in requests:
            node.asked[one["method"]] += 1
        if asked % every:
            return None
        return web.Response(body=BOMB, headers={"Content-Encoding": "gzip"})

    node.raw = raw


@contextlib.asynccontextmanager
async def over(*made, scheme="http", rules=None):
    async with (
        nodes(*made),
        connect(
            [getattr(one, scheme) for one in made], chain_id=1, timeouts=TIMES, rules=rules
        ) as (reader),
    ):
        reader.rpc.pool.heard(0, await reader.head(1))
        if len(made) > 1:
            reader.rpc.pool.heard(1, await reader.head(1))
        yield reader


def states(reader):
    return [one.state for one in reader.rpc.pool.standings]


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("every", [1, 3])
async def test_f12_a_bad_endpoint_of_two_is_told_once_and_not_asked_again(bad, every, caplog):
    """Whatever its place; every read has its answer from the good one."""
    made = (ScriptedNode(), ScriptedNode())
    async with over(*made) as reader:
        explosive(made[bad], every=every)
        for _ in range(2 * every):
            with reader.rpc.only(bad), contextlib.suppress(ChainError):
                await reader.transaction_count(ME)
            assert await reader.transaction_count(ME) == 0
        before = dict(made[bad].asked)
        for _ in range(10):
            assert (await reader.head()).number == 1
        assert await Quorum(reader).transaction_count(ME) == 0
        assert dict(made[bad].asked) == before

        assert states(reader)[bad] is State.QUARANTINED
        assert states(reader)[1 - bad] is State.ALIVE
    told = [one.message for one in caplog.records if "quarantined" in one.message]
    assert len(told) == 1
    assert f"endpoint={bad}" in told[0]


@pytest.mark.parametrize("bad", [0, 1])
async def test_f12_a_start_is_not_held_up_by_it(bad):
    """It sends nothing but bombs, from the first question on."""
    made = (ScriptedNode(), ScriptedNode())
    explosive(made[bad])
    async with over(*made) as reader:
        assert (await reader.head()).number == 1
        await until(lambda: states(reader)[bad] is State.QUARANTINED)


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_f12_the_only_endpoint_is_used_all_the_same(scheme):
    """One answer in three is too long; the others are good."""
    node = ScriptedNode()
    asked = 0

    def sometimes(_):
        nonlocal asked
        asked += 1
        return "0x0" if asked % 3 else "0x" + "0" * 2 * MIB

    async with over(node, scheme=scheme) as reader:
        node.handlers["eth_getTransactionCount"] = sometimes
        for _ in range(9):
            assert await reader.transaction_count(ME) == 0
        standing = reader.rpc.pool.standings[0]
        assert (standing.state, standing.clings, standing.offences) == (State.ALIVE, True, 1)


async def test_f12_after_its_time_it_has_to_earn_its_place():
    """Then it is asked for its chain, as often as it may fail, and is there again."""
    made = (ScriptedNode(), ScriptedNode())
    rules = Rules(first_quarantine=0.3)
    async with over(*made, rules=rules) as reader:
        explosive(made[0], "eth_getTransactionCount")
        assert await reader.transaction_count(ME) == 0
        assert states(reader)[0] is State.QUARANTINED
        asked = made[0].asked.total()
        pace = Pace(poll=0.01, silence=60.0, pause=0.01, longest_pause=0.02)
        heads = Heads(reader, pace=pace, check_seconds=0.05).heads()
        async with contextlib.aclosing(heads), asyncio.timeout(60):
            await anext(heads)
            following = asyncio.create_task(anext(heads))
            await until(lambda: states(reader)[0] is State.ALIVE)
            following.cancel()
            await asyncio.wait([following])

    assert made[0].asked.total() >= asked + rules.failures


def returning(size):
    """Return a handler that answers a call with so many bytes."""
    return lambda _: "0x" + "00" * size


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_f12_a_call_that_is_too_long_is_compared_with_another_endpoints(scheme):
    """The other one answers with less: so it was not the contract."""
    made = (ScriptedNode(), ScriptedNode())
    async with over(*made, scheme=scheme) as reader:
        made[0].handlers["eth_call"] = returning(6 * MIB)
        made[1].handlers["eth_call"] = returning(32)
        assert await reader.call(CALL, Basis(block_hash=HASH)) == bytes(32)
        assert states(reader) == [State.QUARANTINED, State.ALIVE]


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_f12_a_contract_that_says_too_much_everywhere_is_no_endpoints_fault(scheme):
    """Whoever writes a token must not be able to have both endpoints left alone."""
    made = (ScriptedNode(), ScriptedNode())
    async with over(*made, scheme=scheme) as reader:
        for node in made:
            node.handlers["eth_call"] = returning(6 * MIB)
        with pytest.raises(RpcTooLarge):
            await reader.call(CALL, Basis(block_hash=HASH))
        assert states(reader) == [State.ALIVE, State.ALIVE]
        assert [one.offences for one in reader.rpc.pool.standings] == [0, 0]


async def test_f12_a_contract_that_reverts_elsewhere_is_no_endpoints_fault():
    """One client prints the whole reason, megabytes of it, and the other one does not."""
    made = (ScriptedNode(), ScriptedNode())

    def wordy(_):
        raise Refusal("execution reverted: " + "\N{REPLACEMENT CHARACTER}[{," * 4 * MIB, 3)

    def terse(_):
        raise Refusal("execution reverted", 3)

    async with over(*made) as reader:
        made[0].handlers["eth_call"], made[1].handlers["eth_call"] = wordy, terse
        (result,) = await reader.aggregate([CALL], Basis(block_hash=HASH))
        assert not result.success
        assert states(reader) == [State.ALIVE, State.ALIVE]


@pytest.mark.parametrize("endpoints", [1, 2])
async def test_f12_among_many_calls_the_one_that_says_too_much_fails_alone(endpoints):
    """The aggregate is refused, so they are read one by one; the others have their answers."""
    hostile = Call(target="0x" + "66" * 20, data=b"\x01\x02\x03\x04")
    made = [ScriptedNode() for _ in range(endpoints)]

    def called(params):
        transaction = params[0]
        if transaction["data"].startswith("0x" + AGGREGATE3.hex()):
            raise Refusal("out of gas", -32000)
        return "0x" + "00" * (17 * MIB if transaction.get("to") == hostile.target else 32)

    for node in made:
        node.handlers["eth_call"] = called
    async with over(*made) as reader:
        calls = [CALL, hostile, CALL]
        results = await reader.aggregate(calls, Basis(block_hash=HASH))

        assert [one.success for one in results] == [True, False, True]
        assert set(states(reader)) == {State.ALIVE}


@pytest.mark.parametrize("first", ["too long", "bomb"])
async def test_f12_a_simulation_that_is_too_long_is_compared_with_another_endpoints(first):
    """The next endpoint simulates the same with less to say."""
    made = (ScriptedNode(), ScriptedNode())
    call = {"status": "0x1", "gasUsed": "0x5208", "returnData": "0x", "logs": []}
    async with over(*made) as reader:
        made[0].handlers["eth_simulateV1"] = lambda _: "0x" + "00" * 8 * MIB
        made[1].handlers["eth_simulateV1"] = lambda _: [{"calls": [call]}]
        if first == "bomb":
            explosive(made[0], "eth_simulateV1")
        payload = {"blockStateCalls": [{"calls": [{"gas": hex(1_000_000)}]}]}
        (simulated,) = await reader.simulate_v1(payload, Basis(block_hash=HASH))

        assert simulated["calls"] == [call]
        assert states(reader) == [State.QUARANTINED, State.ALIVE]


@pytest.mark.parametrize("method", ["eth_getLogs", "eth_feeHistory"])
async def test_f12_nothing_is_learnt_from_a_bomb_but_whose_it_is(method):
    """It says nothing of what its node can do: no second way is taken for minutes."""
    made = (ScriptedNode(height=20), ScriptedNode(height=20))
    made[1].handlers["eth_getLogs"] = lambda _: []
    made[1].handlers["eth_feeHistory"] = lambda _: {"baseFeePerGas": ["0x7"] * 3, "reward": []}
    async with over(*made) as reader:
        explosive(made[0], method)
        if method == "eth_getLogs":
            assert await reader.block_logs(LogFilter(addresses=()), block(20)["hash"]) == []
        else:
            assert await reader.fee_history(2, 50)
        assert states(reader) == [State.QUARANTINED, State.ALIVE]
        assert reader.rpc.capabilities.lacks() == []


def logs_of(size):
    """Return a handler that has ``size`` bytes of logs in each block."""

    def answered(params):
        criteria = params[0]
        first, last = (int(criteria[key], 16) for key in ("fromBlock", "toBlock"))
        return "0" * size * (last - first + 1) if size else []

    return answered


async def test_a_window_with_too_many_logs_is_asked_for_in_parts_and_nobody_is_blamed():
    """A good node of a busy market does that all day."""
    node = ScriptedNode(height=20)
    spans = []

    def answered(params):
        span = [int(params[0][key], 16) for key in ("fromBlock", "toBlock")]
        spans.append(span)
        return [] if span[1] - span[0] < 4 else "0" * 9 * MIB

    node.handlers["eth_getLogs"] = answered
    async with over(node) as reader:
        assert await reader.logs_between(LogFilter(addresses=()), 1, 16) == []
        standing = reader.rpc.pool.standings[0]

    assert spans[0] == [1, 16]
    assert (standing.offences, standing.failures, standing.clings) == (0, 0, False)


async def test_headers_that_are_too_long_together_are_asked_for_in_smaller_batches():
    """A chain of large blocks: each header names five thousand transactions."""
    node = ScriptedNode(height=120)
    hashes = ["0x" + "ab" * 32] * 5_000

    def numbered(params):
        return block(int(params[0], 16)) | {"transactions": hashes}

    async with over(node) as reader:
        node.handlers["eth_getBlockByNumber"] = numbered
        assert [one.number for one in await reader.heads(1, 100)] == list(range(1, 101))
        standing = reader.rpc.pool.standings[0]

    assert (standing.offences, standing.failures) == (0, 0)


async def test_f12_one_block_with_more_logs_than_gas_pays_for_is_an_offence():
    """Halved down to a block it is still too long: that is no question's fault."""
    made = (ScriptedNode(height=20), ScriptedNode(height=20))
    made[0].handlers["eth_getLogs"] = logs_of(17 * MIB)
    made[1].handlers["eth_getLogs"] = logs_of(0)
    async with over(*made) as reader:
        assert await reader.logs_between(LogFilter(addresses=()), 1, 4) == []
        assert states(reader) == [State.QUARANTINED, State.ALIVE]


@pytest.mark.parametrize("bad", [0, 1])
async def test_f12_a_flood_of_heads_from_one_of_two_leaves_the_others(bad):
    """What it tells costs a moment, and then it is left alone."""
    made = (ScriptedNode(), ScriptedNode())
    async with over(*made, scheme="ws") as reader:
        pace = Pace(poll=0.01, silence=60.0, pause=0.01, longest_pause=0.02)
        heads = Heads(reader, pace=pace).heads()
        async with contextlib.aclosing(heads), asyncio.timeout(60):
            await anext(heads)
            await until(lambda: all(one.sockets for one in made))

            async def flooding():
                while made[bad].sockets:
                    await made[bad].announce(block(1, "a"))

            flood = asyncio.create_task(flooding())
            await until(lambda: states(reader)[bad] is State.QUARANTINED)
            for number in (2, 3):
                await made[1 - bad].mine(number)
                assert (await anext(heads)).number == number
            await flood
        assert states(reader)[1 - bad] is State.ALIVE


async def test_f12_a_quarantine_is_seen_from_outside():
    """In the metrics, and in readiness where there is no other."""
    made = (ScriptedNode(), ScriptedNode())
    async with over(*made) as reader:
        explosive(made[0])
        await reader.transaction_count(ME)
        metrics = Metrics()
        measure(metrics, reader.rpc.pool)
        text = metrics.text().decode()
        check = endpoint_check(Vitals(metrics=metrics, thresholds=None), reader.rpc.pool)

        assert 'keeper_rpc_endpoint_state{endpoint="0",state="quarantined"} 1.0' in text
        assert check() == ""
