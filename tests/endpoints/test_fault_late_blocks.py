"""Blocks that were announced and are not served yet, over real sockets: no reorganisation."""

import asyncio
import contextlib

import pytest

from keeper.chain.capabilities import Capability
from keeper.chain.fields import head_of
from keeper.chain.heads import Heads, Pace
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.chain.transport import Timeouts
from keeper.domain.errors import (
    BlockUnknown,
    HistoryPruned,
    RpcMalformed,
    SnapshotReorged,
)
from keeper.domain.head import Basis
from keeper.domain.reads import Call, LogFilter
from tests.support.lateness import STATE, Lateness
from tests.support.scripted_node import Refusal, ScriptedNode, block, nodes, until

ME = "0x" + "11" * 20
HASH = "0x" + "ab" * 32
EVERYTHING = LogFilter(addresses=())
TIMES = Timeouts(connect=5.0, request=5.0, reads=5.0)
LONG = 60.0
ONE_CALL = {"blockStateCalls": [{"calls": [{"to": ME}]}]}

READS = {
    "eth_call": lambda reader, basis: reader.call(Call(target=ME, data=b""), basis),
    "eth_getBalance": lambda reader, basis: reader.balance(ME, basis),
    "eth_getCode": lambda reader, basis: reader.code(ME, basis),
    "eth_estimateGas": lambda reader, basis: reader.estimate_gas({"to": ME}, basis),
    "eth_simulateV1": lambda reader, basis: reader.simulate_v1(ONE_CALL, basis),
    "eth_getLogs": lambda reader, basis: reader.block_logs(EVERYTHING, basis.block_hash),
    "eth_getBlockByHash": lambda reader, basis: reader.head(basis.block_hash),
}
WORDS = {
    "geth": Refusal("header not found"),
    "resource": Refusal("whatever it says", -32001),
    "null": None,
    "trie": Refusal("missing trie node 12ab (path ) state 0x34 is not available"),
    "besu": Refusal("World state unavailable"),
    "reexec": Refusal("required historical state unavailable (reexec=128)"),
    "canonical": Refusal("hash 0xab is not currently canonical"),
}


@contextlib.asynccontextmanager
async def over(*made, scheme="http", block_seconds=LONG):
    """Run the nodes and connect to them; block 5 was announced by all of them."""
    async with (
        nodes(*made),
        connect(
            [getattr(one, scheme) for one in made],
            chain_id=1,
            timeouts=TIMES,
            block_seconds=block_seconds,
        ) as reader,
    ):
        await until(lambda: len(reader.rpc.pool.alive()) == len(made))
        head = await reader.head()
        for place in range(len(made)):
            reader.rpc.pool.heard(place, head)
        reader.rpc.pool.hand_on(head)
        for one in made:
            one.asked.clear()
        yield reader


@contextlib.asynccontextmanager
async def over_quiet(*made, scheme="http"):
    """Run the nodes and connect, and ask nothing yet."""
    async with nodes(*made):
        places = [getattr(one, scheme) for one in made]
        async with connect(places, chain_id=1, timeouts=TIMES) as reader:
            yield reader


@contextlib.asynccontextmanager
async def following(reader):
    pace = Pace(poll=0.01, silence=60.0, pause=0.01, longest_pause=0.02)
    heads = Heads(reader, pace=pace).heads()
    async with contextlib.aclosing(heads), asyncio.timeout(60):
        yield heads


def late(**options):
    lateness = Lateness(**options)
    return lateness, lateness.put_before(ScriptedNode(height=5))


def a_head(number, branch="a", parent=None):
    return head_of(block(number, branch, parent))


PINNED = Basis(block_hash=a_head(5).hash)


@pytest.mark.parametrize("method", READS)
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_late_block_is_asked_for_again_where_there_is_one_endpoint(method, scheme):
    """Fifty milliseconds late, for each of the ways in which a block is read."""
    lateness, node = late(seconds=0.05, methods=(method, "eth_call"))
    async with over(node, scheme=scheme) as reader:
        await READS[method](reader, PINNED)

    assert 1 <= lateness.lacked[method] <= 3
    assert node.asked[method] == lateness.lacked[method] + 1


@pytest.mark.parametrize("words", WORDS)
async def test_a_late_block_may_be_refused_in_any_words(words):
    """Three asks in vain, the fourth is answered."""
    lateness, node = late(asks=3, methods=("eth_call",), refusal=WORDS[words])
    async with over(node) as reader:
        await READS["eth_call"](reader, PINNED)

    assert lateness.lacked["eth_call"] == 3


@pytest.mark.parametrize("late_one", [0, 1])
async def test_of_two_endpoints_the_perfect_one_is_asked_at_once_and_the_late_one_is_learnt(
    late_one,
):
    """In both orders of the settings: no second question to the late one, no further one."""
    lateness, node = late(seconds=LONG)
    perfect = Lateness().put_before(ScriptedNode(height=5))
    made = [node, perfect] if late_one == 0 else [perfect, node]
    async with over(*made) as reader:
        for read in READS.values():
            await read(reader, PINNED)
        if late_one == 1:  # it is asked where the perfect one is out of order
            reader.rpc.pool.pass_over(0, "")
            await READS["eth_call"](reader, PINNED)
        for read in READS.values():
            await read(reader, PINNED)

    assert lateness.lacked.total() == 1
    assert reader.rpc.pool.standings[late_one].late_seconds == 10


async def test_two_late_endpoints_are_asked_in_turn():
    """The quicker of the two decides how long it takes."""
    _, slow = late(seconds=LONG)
    _, quick = late(seconds=0.1)
    async with over(slow, quick) as reader:
        await READS["eth_call"](reader, PINNED)

    assert slow.asked["eth_call"] == quick.asked["eth_call"]


async def test_a_newer_head_ends_the_waiting():
    """What never comes holds nobody up: the next head is there to be worked on."""
    lateness, node = late(seconds=LONG)
    async with over(node) as reader:
        reading = asyncio.create_task(READS["eth_call"](reader, PINNED))
        await until(lambda: lateness.lacked["eth_call"] > 4)
        assert not reading.done()
        reader.rpc.pool.hand_on(a_head(6))
        with pytest.raises(BlockUnknown):
            await reading


@pytest.mark.parametrize("newer", [a_head(5, "b", "a"), a_head(6, "b")])
async def test_a_changed_chain_is_a_reorganisation_at_once(newer):
    """Another block of that height, or one that stands on another."""
    lateness, node = late(seconds=LONG)
    async with over(node) as reader:
        reading = asyncio.create_task(READS["eth_call"](reader, PINNED))
        await until(lambda: lateness.lacked["eth_call"] > 4)
        reader.rpc.pool.hand_on(newer)
        with pytest.raises(SnapshotReorged):
            await reading


@pytest.mark.parametrize("method", [one for one in READS if one != "eth_simulateV1"])
async def test_a_replaced_block_is_noticed_where_nobody_follows_heads(method):
    """A one-off command hears of no new head: it compares the hash itself. (What is not simulated
    in sequence is run alone, by ``eth_call``.)"""
    lateness, node = late(seconds=LONG)
    async with over(node) as reader:
        node.fork(5, "b")
        with pytest.raises(SnapshotReorged):
            await READS[method](reader, PINNED)

    assert lateness.lacked[method] <= 4


async def test_that_a_block_is_not_canonical_is_believed_only_of_another_one_in_its_place():
    """The hint of one server of many against the header of another."""
    lateness, node = late(asks=2, methods=("eth_call",), refusal=WORDS["canonical"])
    async with over(node) as reader:
        await READS["eth_call"](reader, PINNED)
        assert lateness.lacked["eth_call"] == 2
        lateness.asks = 1000
        node.fork(5, "b")
        before = node.asked["eth_call"]
        with pytest.raises(SnapshotReorged):
            await READS["eth_call"](reader, PINNED)

    assert node.asked["eth_call"] == before + 1


async def test_one_endpoint_on_another_branch_does_not_make_a_reorganisation_of_two():
    """The other one still stands on the block."""
    lateness, node = late(asks=1000, methods=("eth_call",), refusal=WORDS["canonical"])
    perfect = Lateness().put_before(ScriptedNode(height=5))
    async with over(node, perfect) as reader:
        node.fork(5, "b")
        await READS["eth_call"](reader, PINNED)

    assert lateness.lacked["eth_call"] == 1


async def test_a_head_that_goes_back_one_block_and_forward_again_costs_time_only():
    """One server of a pool is a block behind: its head is the parent for a moment."""
    _, node = late(asks=3)
    async with over(node) as reader:
        node.height = 4
        reading = asyncio.create_task(READS["eth_getBlockByHash"](reader, PINNED))
        await until(lambda: node.asked["eth_getBlockByHash"] > 2)
        node.height = 5
        assert (await reading).number == 5


@pytest.mark.parametrize("words", ["trie", "reexec"])
async def test_old_state_that_was_thrown_away_is_not_waited_for(words):
    """Four questions, and a word of what to do."""
    lateness, node = late(seconds=LONG, methods=("eth_call",), refusal=WORDS[words])
    node.height = 500
    async with over(node) as reader:
        old = await reader.head(5)
        with pytest.raises(HistoryPruned) as caught:
            await READS["eth_call"](reader, Basis(block_hash=old.hash))

    assert lateness.lacked["eth_call"] == 4
    assert "keeps old states" in caught.value.hint


async def test_a_block_beyond_the_newest_is_not_waited_for():
    """Somebody asked for a block that does not exist."""
    node = ScriptedNode(height=5)
    async with over(node) as reader:
        with pytest.raises(BlockUnknown, match="block 900"):
            await reader.head(900)

    assert node.asked["eth_getBlockByNumber"] == 4


async def test_of_a_batch_only_what_was_not_answered_is_asked_again():
    """One of a hundred answers in twenty lacks the block: the whole batch never would come."""
    asked = []

    def call(params):
        asked.append(params[0]["data"])
        if len(asked) % 3 == 0:
            raise Refusal("header not found")
        return STATE["eth_call"]

    node = ScriptedNode(height=5, handlers={"eth_call": call})
    async with over(node) as reader:
        calls = [Call(target=ME, data=bytes([number])) for number in range(30)]
        single = reader.reads.single_calls(calls, PINNED)
        results = await reader.reads.read_at(PINNED, single.ask)

    assert [result.success for result in results] == [True] * 30
    assert len(asked) < 60


async def test_headers_that_are_null_for_a_moment_are_asked_for_again():
    """Of a range, each for itself."""
    calls = iter(range(1000))
    node = ScriptedNode(height=5)
    node.handlers["eth_getBlockByNumber"] = lambda params: (
        None if next(calls) % 2 else node.at(int(params[0], 16))
    )
    async with over_quiet(node) as reader:
        heads = await reader.heads(1, 5)

    assert [head.number for head in heads] == [1, 2, 3, 4, 5]


async def test_a_newest_block_that_is_null_is_read_by_its_number():
    """The number is known, and the tag is not served."""
    node = ScriptedNode(height=5)
    node.handlers["eth_getBlockByNumber"] = lambda params: (
        None if params[0] == "latest" else node.at(int(params[0], 16))
    )
    async with over_quiet(node) as reader:
        assert (await reader.head()).number == 5


async def test_a_number_ahead_of_what_is_served_is_waited_for():
    """``eth_blockNumber`` counts a block that the next question does not find."""
    asked = []
    node = ScriptedNode(height=5)

    def by_number(params):
        asked.append(params[0])
        ready = len(asked) > 4 and params[0] != "latest"
        return node.at(int(params[0], 16)) if ready else None

    node.handlers["eth_getBlockByNumber"] = by_number
    async with over_quiet(node) as reader:
        assert (await reader.head()).number == 5


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_null_for_the_newest_block_does_not_end_the_following(scheme):
    """One answer in two; the subscription stays the same."""
    answers = iter(range(10_000))
    node = ScriptedNode(height=5)
    node.handlers["eth_getBlockByNumber"] = lambda params: (
        None if next(answers) % 2 == 0 else node.tagged(params[0])
    )
    node.handlers["eth_blockNumber"] = lambda _: None
    async with over_quiet(node, scheme=scheme) as reader, following(reader) as heads:
        for number in range(5, 9):
            assert (await anext(heads)).number == number
            if scheme == "ws":
                await until(lambda: node.sockets)
            await node.mine()

    assert node.asked["eth_subscribe"] == (scheme == "ws")


async def test_an_announced_block_without_its_fields_may_be_late_by_its_hash():
    """The announcement has a hash only, and the block is served a moment later."""
    lateness, node = late(asks=2, methods=("eth_getBlockByHash",))
    node.handlers["eth_getBlockByNumber"] = lambda _: block(5)
    async with over_quiet(node, scheme="ws") as reader, following(reader) as heads:
        await anext(heads)
        await until(lambda: node.sockets)
        node.height = 6
        await node.announce({"hash": block(6)["hash"], "number": "0x6"})
        assert (await anext(heads)).number == 6

    assert lateness.lacked["eth_getBlockByHash"] == 2
    assert node.asked["eth_subscribe"] == 1


def log_of(number, branch="a"):
    return {
        "address": ME,
        "topics": [HASH],
        "data": "0x",
        "blockNumber": hex(number),
        "blockHash": block(number, branch)["hash"],
        "transactionHash": HASH,
        "logIndex": "0x0",
        "removed": False,
    }


BY_HASH_REFUSED = {
    "form": Refusal("invalid argument 0: unknown field blockHash", -32602),
    "words": Refusal("eth_getLogs by blockHash is not supported"),
    "silent": Refusal("internal error", -32603),
}


def without_hashes(refusal):
    """A node that takes logs by number only; ``refusal`` of None: it overlooks the hash."""
    node = ScriptedNode(height=5)

    def logs(params):
        if "blockHash" in params[0]:
            if refusal is not None:
                raise refusal
            return [log_of(node.height - 1)]
        return [log_of(int(params[0]["fromBlock"], 16), node.branch)]

    node.handlers["eth_getLogs"] = logs
    return node


@pytest.mark.parametrize("words", [*BY_HASH_REFUSED, "overlooked"])
async def test_logs_by_hash_are_read_by_number_where_a_node_does_not_know_them(words):
    """Between two looks at the hash; learnt, so that it is refused once only, or twice."""
    node = without_hashes(BY_HASH_REFUSED.get(words))
    async with over(node) as reader:
        for _ in range(5):
            logs = await reader.block_logs(EVERYTHING, PINNED.block_hash)
            assert [log.block_number for log in logs] == [5]
        lacks = reader.rpc.capabilities.lacks()

    assert [lack.capability for lack in lacks] == [Capability.LOGS_BY_HASH]
    refused = 2 if words in ("silent", "overlooked") else 1
    assert node.asked["eth_getLogs"] == 5 + refused


async def test_logs_by_hash_are_tried_again_after_a_while():
    """The provider has another node now."""
    node = without_hashes(BY_HASH_REFUSED["form"])
    async with over(node) as reader:
        await reader.block_logs(EVERYTHING, PINNED.block_hash)
        node.handlers["eth_getLogs"] = lambda _: [log_of(5)]
        reader.rpc.capabilities.clock = lambda: 1e9
        await reader.block_logs(EVERYTHING, PINNED.block_hash)

        assert not reader.rpc.capabilities.lacks()


async def test_logs_by_number_of_a_block_that_was_replaced_are_not_taken():
    """The block of that number is another one by then."""
    node = without_hashes(BY_HASH_REFUSED["form"])
    async with over(node) as reader:
        await reader.block_logs(EVERYTHING, PINNED.block_hash)
        node.fork(5, "b")
        with pytest.raises(SnapshotReorged):
            await reader.block_logs(EVERYTHING, PINNED.block_hash)


async def test_a_refusal_of_both_forms_is_passed_on():
    """Then it was not the form; and nothing is learnt from it."""
    node = ScriptedNode(height=5)

    def refused(_):
        raise Refusal("query returned more than 10000 results", -32005)

    node.handlers["eth_getLogs"] = refused
    async with over(node) as reader:
        with pytest.raises(Exception, match="more than 10000"):
            await reader.block_logs(EVERYTHING, PINNED.block_hash)

        assert not reader.rpc.capabilities.lacks()


async def test_logs_of_another_block_are_never_taken():
    """Not by its hash, and not by its number."""
    node = ScriptedNode(height=5, handlers={"eth_getLogs": lambda _: [log_of(4)]})
    async with over(node) as reader:
        with pytest.raises(RpcMalformed):
            await reader.block_logs(EVERYTHING, PINNED.block_hash)


async def test_a_range_is_read_where_its_last_block_is_served():
    """A node that lacks the newest block answers the range without its logs, and says nothing."""
    late_node, perfect = ScriptedNode(height=5), ScriptedNode(height=5)
    for one in (late_node, perfect):
        one.handlers["eth_getLogs"] = lambda params, node=one: [
            log_of(number)
            for number in range(int(params[0]["fromBlock"], 16), node.height + 1)
            if number <= int(params[0]["toBlock"], 16)
        ]
    async with over(late_node, perfect) as reader:
        late_node.height = 4
        logs = await reader.logs_between(EVERYTHING, 3, 5)

    assert [log.block_number for log in logs] == [3, 4, 5]


async def test_null_logs_of_a_range_are_asked_for_again():
    """``null`` is not the same as no logs."""
    answers = iter([None, None])
    node = ScriptedNode(height=5)
    node.handlers["eth_getLogs"] = lambda _: next(answers, [log_of(4)])
    async with over(node) as reader:
        logs = await reader.logs_between(EVERYTHING, 4, 4)

    assert [log.block_number for log in logs] == [4]


async def test_old_blocks_that_are_null_for_a_moment_are_not_taken_for_pruned():
    """One answer in twenty at the start, and the market would be left out."""
    answers = iter([None, None])
    node = ScriptedNode(height=500)
    node.handlers["eth_getBlockByNumber"] = lambda params: (
        next(answers, node.tagged(params[0])) if params[0] == "0x1" else node.tagged(params[0])
    )
    node.handlers["eth_getLogs"] = lambda _: []
    async with over(node) as reader:
        taken = []
        await reader.scan_logs(EVERYTHING, 1, 500, lambda _, covered: taken.append(covered))

    assert taken[-1] == 500


def receipt(number=5):
    return {
        "transactionHash": HASH,
        "blockHash": block(number)["hash"],
        "blockNumber": hex(number),
        "status": "0x1",
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x7",
        "contractAddress": None,
        "logs": [],
        "from": ME,
        "to": ME,
    }


async def test_a_receipt_that_is_late_at_one_endpoint_is_no_contradiction():
    """The block is there, its receipts are indexed a moment later."""
    first, second = ScriptedNode(height=5), ScriptedNode(height=5)
    first.receipts[HASH] = receipt()
    answers = iter([None, None])
    second.handlers["eth_getTransactionReceipt"] = lambda _: next(answers, receipt())
    async with over(first, second) as reader:
        assert (await Quorum(reader).receipt(HASH)).block_number == 5
        assert not reader.rpc.pool.disagreements.reasons()


async def test_a_receipt_is_late_where_only_the_number_of_its_block_is_known():
    """``eth_blockNumber`` ahead of the blocks is no proof that the block is there."""
    first, second = ScriptedNode(height=5), ScriptedNode(height=4)
    first.receipts[HASH] = receipt()
    second.handlers["eth_blockNumber"] = lambda _: "0x5"
    async with over(first, second) as reader:
        assert await Quorum(reader).receipt(HASH) is None
        assert not reader.rpc.pool.disagreements.reasons()


async def test_nonces_are_compared_where_the_common_block_is_late():
    """The number is announced before the state behind it is served."""
    first, second = ScriptedNode(height=5), ScriptedNode(height=5)
    lateness = Lateness(asks=2, numbers=True, methods=("eth_getTransactionCount",))

    def count(params, nonces):
        if params[1] != "latest" and lateness.lacks("eth_getTransactionCount", params[1:]):
            raise Refusal("header not found")
        return nonces[params[1] == "latest"]

    first.handlers["eth_getTransactionCount"] = lambda params: count(params, ("0x3", "0x4"))
    second.handlers["eth_getTransactionCount"] = lambda params: count(params, ("0x3", "0x3"))
    async with over(first, second) as reader:
        assert await Quorum(reader).transaction_count(ME) == 3
    assert lateness.lacked.total() == 2
