"""Fees of nodes that lack methods, answer nonsense, or lie: what is bid, and what is said."""

import contextlib
import logging

import pytest

from keeper.chain.capabilities import Capability
from keeper.chain.reader import connect
from keeper.chain.transport import Timeouts
from keeper.domain.units import GWEI
from keeper.execution import fee_quotes
from keeper.execution.fee_quotes import NodeFees
from keeper.execution.fees import PAID_FRESH_BLOCKS, FeeOracle, FeePolicy
from tests.support.scripted_node import Refusal, ScriptedNode, Silence, nodes, until

HISTORY, SUGGESTION, PRICE = "eth_feeHistory", "eth_maxPriorityFeePerGas", "eth_gasPrice"
WHOLE = "eth_getBlockByHash"
BASE = 10 * GWEI


def refuse(code=-32601, text="the method does not exist/is not available"):
    def handler(_):
        raise Refusal(text, code)

    return handler


def silent(_):
    raise Silence


def history(tip=2 * GWEI, **changes):
    """Answer as a node does: five blocks, each with one reward."""

    def handler(params):
        blocks = int(params[0], 16)
        answer = {
            "oldestBlock": "0x1",
            "baseFeePerGas": [hex(BASE)] * (blocks + 1),
            "gasUsedRatio": [0.5] * blocks,
            "reward": [[hex(tip)]] * blocks,
        } | changes
        return {name: value for name, value in answer.items() if value != "absent"}

    return handler


def transaction(tip, gas=100_000, **changes):
    return {
        "type": "0x2",
        "gas": hex(gas),
        "maxFeePerGas": hex(BASE * 2 + tip),
        "maxPriorityFeePerGas": hex(tip),
        "gasPrice": hex(BASE + tip),
    } | changes


class FeeNode(ScriptedNode):
    """A node whose blocks paid ``tips``: all of them the same, or each by its depth."""

    def __init__(self, tips=(2 * GWEI,), **handlers):
        super().__init__()
        self.tips = tips if isinstance(tips, dict) else dict.fromkeys(range(99), tips)
        self.handlers |= {
            HISTORY: history(),
            SUGGESTION: lambda _: hex(3 * GWEI),
            PRICE: lambda _: hex(BASE + 4 * GWEI),
            WHOLE: self.whole,
            **handlers,
        }

    def at(self, number):
        found = super().at(number)
        if found is None:
            return None
        return found | {"baseFeePerGas": hex(BASE), "gasUsed": hex(15_000_000)}

    def whole(self, params):
        known = [self.at(number) for number in range(self.height + 1)]
        found = next((one for one in known if one["hash"] == params[0]), None)
        if found is None or not params[1]:
            return found
        tips = self.tips.get(self.height - int(found["number"], 16), ())
        return found | {
            "transactions": [one if isinstance(one, dict) else transaction(one) for one in tips]
        }


@contextlib.asynccontextmanager
async def over(*made):
    for one in made:
        one.height = 50
    times = Timeouts(connect=5.0, request=20.0, reads=5.0)
    async with (
        nodes(*made),
        connect([one.http for one in made], chain_id=1, timeouts=times) as reader,
    ):
        await until(lambda: all(one.asked["eth_chainId"] for one in made))
        yield reader


def oracle(reader, chain_id=1, **policy):
    return FeeOracle(NodeFees(rpc=reader.rpc), chain_id, FeePolicy(**policy))


async def tip_of(*made, **policy):
    """Return the tip that is bid over these nodes, in gwei."""
    async with over(*made) as reader:
        market = await oracle(reader, **policy).market(await reader.head())
    assert market.base_fee == BASE
    return market.priority_fee / GWEI


LACKS = {
    "refused": refuse(),
    "refused otherwise": refuse(-32600, "Unsupported method: eth_feeHistory"),
    "not on this plan": refuse(35, "not on your plan"),
    "internal error": refuse(-32603, "Internal error"),
    "null": lambda _: None,
    "an empty list": lambda _: [],
    "empty": lambda _: {},
    "no rewards": history(reward="absent"),
    "null rewards": history(reward=None),
    "empty rewards": history(reward=[]),
    "null in the rewards": history(reward=[None] * 5),
    "rewards without a percentile": history(reward=[[]] * 5),
    "two percentiles": history(reward=[["0x1", "0x2"]] * 5),
    "too many rewards": history(reward=[["0x1"]] * 9),
    "decimal rewards": history(reward=[[2_000_000_000]] * 5),
    "rewards of text": history(reward=[["2000000000"]] * 5),
}


@pytest.mark.parametrize("how", LACKS)
async def test_without_a_history_the_suggested_tip_counts(how):
    """A chain's older nodes have one of three methods; each is as good for a bid."""
    assert await tip_of(FeeNode(**{HISTORY: LACKS[how]})) == 3


@pytest.mark.parametrize("base", ["absent", None, [], [10**10], ["0xbad!"], ["0x1"] * 99])
async def test_a_history_without_base_fees_still_tells_the_tips(base):
    """The next base fee is in the header."""
    assert await tip_of(FeeNode(**{HISTORY: history(baseFeePerGas=base)})) == 2


@pytest.mark.parametrize("how", ["refused", "null", "an empty list"])
async def test_without_a_suggestion_the_gas_price_less_the_base_fee_counts(how):
    """Nodes of before EIP-1559 have this one."""
    handlers = {HISTORY: refuse(), SUGGESTION: LACKS[how]}
    assert await tip_of(FeeNode(**handlers)) == 4


@pytest.mark.parametrize("said", [hex(GWEI), None, "10", 10])
async def test_without_any_method_the_policys_least_is_bid(said, caplog):
    """A gas price below the base fee is no tip, and what is no number is none either."""
    handlers = {HISTORY: refuse(), SUGGESTION: refuse(), PRICE: lambda _: said}
    async with over(FeeNode(**handlers)) as reader:
        market = await oracle(reader, min_priority_fee=7).market(await reader.head())

    assert market.priority_fee == 7


async def test_that_no_tip_is_known_is_said_once(caplog):
    """In every block of a crash the same line would hide the others."""
    poor = FeeNode(**{HISTORY: refuse(), SUGGESTION: refuse(), PRICE: refuse()})
    async with over(poor) as reader:
        fees = oracle(reader)
        with caplog.at_level(logging.WARNING):
            for _ in range(4):
                await fees.market(await reader.head())
                poor.height += 1

    assert caplog.text.count("tip_unknown") == 1
    assert caplog.text.count("endpoint_lacks") == 3
    assert (poor.asked[HISTORY], poor.asked[SUGGESTION], poor.asked[PRICE]) == (1, 1, 1)


async def test_a_lacking_history_is_tried_again_after_a_while():
    """A node that is upgraded, or that a balancer changes, has it later."""
    node = FeeNode(**{HISTORY: refuse()})
    async with over(node) as reader:
        fees = oracle(reader)
        await fees.market(await reader.head())
        node.handlers[HISTORY] = history()
        reader.rpc.capabilities.clock = lambda: 1e12
        node.height += 1

        assert (await fees.market(await reader.head())).priority_fee == 2 * GWEI
    assert reader.rpc.capabilities.lacks() == []


async def test_a_method_that_hangs_gives_way_to_the_next(monkeypatch):
    """The block's time is worth more than the better method."""
    monkeypatch.setattr(fee_quotes, "METHOD_SECONDS", 0.05)
    async with over(FeeNode(**{HISTORY: silent})) as reader:
        market = await oracle(reader).market(await reader.head())

    assert market.priority_fee == 3 * GWEI
    assert not reader.rpc.capabilities.has(0, Capability.FEE_HISTORY)


async def test_a_block_that_a_node_lacks_yet_is_not_held_against_its_method():
    """It is late by a moment, and has the history all the same."""
    late = FeeNode(**{HISTORY: refuse(-32000, "header not found")})
    async with over(late) as reader:
        await oracle(reader).market(await reader.head())

        assert reader.rpc.capabilities.has(0, Capability.FEE_HISTORY)


LIARS = {
    "the history": {HISTORY: history(400 * GWEI)},
    "the suggestion": {HISTORY: refuse(), SUGGESTION: lambda _: hex(400 * GWEI)},
    "the gas price": {HISTORY: refuse(), SUGGESTION: refuse(), PRICE: lambda _: hex(500 * GWEI)},
}


@pytest.mark.parametrize("what", LIARS)
async def test_a_claimed_tip_counts_up_to_a_multiple_of_what_blocks_paid(what, caplog):
    """A node's 400 gwei would take the whole profit of a liquidation."""
    assert await tip_of(FeeNode(**LIARS[what])) == 5 * 2
    assert "tip_bounded block=50" in caplog.text
    assert await tip_of(FeeNode(**LIARS[what]), max_multiple=3) == 3 * 2


async def test_what_blocks_paid_is_what_their_gas_paid_at_the_percentile():
    """Few small transactions with an absurd tip are no market, and those without one neither."""
    tips = (0, 2 * GWEI, 2 * GWEI, transaction(900 * GWEI, gas=21_000),
            transaction(500 * GWEI, type="0x7e"), {"gas": "0x1"}, {"gasPrice": "1"})  # fmt: skip
    assert await tip_of(FeeNode(tips, **LIARS["the history"])) == 5 * 2


async def test_legacy_transactions_paid_their_price_less_the_base_fee():
    """Half of some chains' transactions name one price."""
    legacy = {"type": "0x0", "gas": "0x5208", "gasPrice": hex(BASE + 3 * GWEI)}
    assert await tip_of(FeeNode((legacy,), **LIARS["the history"])) == 5 * 3


async def test_where_the_newest_block_is_empty_its_parents_are_looked_at():
    """On a quiet chain the last transaction is a few blocks back."""
    tips = {2: (3 * GWEI,)}
    assert await tip_of(FeeNode(tips, **LIARS["the history"])) == 5 * 3


@pytest.mark.parametrize("how", [lambda _: None, refuse(-32000, "too large"), lambda _: {}])
async def test_where_no_block_can_be_read_the_base_fee_bounds_the_tip(how):
    """There is no proof, and still no blank cheque."""
    assert await tip_of(FeeNode(**(LIARS["the history"] | {WHOLE: how}))) == 5 * 10


async def test_an_honest_tip_is_bid_as_it_is():
    """The bound is against lies: what others really pay is paid."""
    node = FeeNode((GWEI, 2 * GWEI, 40 * GWEI), **{HISTORY: history(9 * GWEI)})
    assert await tip_of(node) == 9


async def test_what_blocks_paid_is_looked_at_now_and_then_only():
    """A whole block is long; it is read once for several blocks of work."""
    node = FeeNode()
    async with over(node) as reader:
        fees = oracle(reader)
        for _ in range(PAID_FRESH_BLOCKS):
            await fees.market(await reader.head())
            node.height += 1
        before = node.asked[WHOLE]
        await fees.market(await reader.head())

    assert (before, node.asked[WHOLE]) == (1, 2)


@pytest.mark.parametrize("liar_first", [True, False])
async def test_of_two_that_contradict_each_other_the_one_that_blocks_prove_counts(liar_first):
    """Told as a disagreement, and nothing is held up: one of the answers is right."""
    liar, honest = FeeNode(**LIARS["the history"]), FeeNode()
    made = (liar, honest) if liar_first else (honest, liar)
    async with over(*made) as reader:
        news = []
        reader.rpc.pool.told = news.append
        fees = oracle(reader)
        market = await fees.market(await reader.head())
        told = [(one.what, one.over) for one in news]
        liar.handlers[HISTORY] = history()
        liar.height += 1
        honest.height += 1
        await fees.market(await reader.head())

    assert market.priority_fee == 2 * GWEI
    assert told == [("fees", False)]
    assert [(one.what, one.over) for one in news] == [("fees", False), ("fees", True)]


async def test_of_two_the_lower_counts_where_no_block_proves_anything():
    """What is not proven is not paid."""
    liar, honest = FeeNode((), **LIARS["the history"]), FeeNode(())
    assert await tip_of(liar, honest) == 2


async def test_a_liar_about_blocks_does_not_outbid_another_endpoint():
    """It shows a block of its own making; the other one's shows less."""
    liar = FeeNode((400 * GWEI,), **LIARS["the history"])
    assert await tip_of(liar, FeeNode()) == 2


async def test_a_dead_endpoint_leaves_the_fees_to_the_other():
    """It is asked, and left out."""
    dead, good = FeeNode(), FeeNode(**{HISTORY: history(5 * GWEI)})
    async with over(dead, good) as reader:
        head = await reader.head()
        await dead.stop()

        assert (await oracle(reader).market(head)).priority_fee == 5 * GWEI


async def test_without_a_base_fee_in_the_header_all_of_the_price_is_the_tip():
    """Some chains have the methods and no base fee in their blocks."""
    node = FeeNode(({"gas": "0x5208", "gasPrice": hex(1_000 * GWEI)},))
    node.handlers[HISTORY] = history(0, baseFeePerGas=[hex(1_000 * GWEI)] * 6)
    bare = FeeNode.at
    node.at = lambda number: {**(bare(node, number) or {}), "baseFeePerGas": "0x0"}
    async with over(node) as reader:
        market = await oracle(reader, chain_id=4689).market(await reader.head())

    assert (market.base_fee, market.priority_fee) == (0, 1_000 * GWEI)
