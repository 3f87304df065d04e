"""Scripted ports: a chain that does what the test says, and a journal that keeps a diary."""

from dataclasses import dataclass, field, replace

from keeper.chain.records import Receipt
from keeper.domain.curve import Route
from keeper.domain.head import Head
from keeper.domain.plan import Batch, Funding, FundingKind, Plan
from keeper.domain.submission import AttemptState, NonceState
from keeper.execution.fees import FeeOracle, FeePolicy
from keeper.execution.signer import LocalSigner
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.tracker import Tracker

GWEI = 10**9
MARKET = "aave_v3:0x0000000000000000000000000000000000000001"
TOKEN = "0x0000000000000000000000000000000000000002"
EXECUTOR = "0x0000000000000000000000000000000000000003"


def block_hash(number, fork=0):
    return f"0x{fork:032x}{number:032x}"


def head(number, fork=0, **changes):
    made = Head(
        number=number,
        hash=block_hash(number, fork),
        parent_hash=block_hash(number - 1, fork),
        timestamp=1_000 + 12 * number,
        base_fee=10 * GWEI,
        gas_limit=30_000_000,
        gas_used=15_000_000,
    )
    return replace(made, **changes)


def account(index):
    return f"0x{index + 0x1000:040x}"


def plan(index=0, **changes):
    made = Plan(
        market=MARKET,
        account=account(index),
        spend_token=TOKEN,
        receive_token=TOKEN,
        amount=10**20 + 1,
        spend=10**20,
        receive=2 * 10**20,
        route=Route(venue="uniswap_v3", factory=EXECUTOR, hops=()),
        funding=Funding(
            kind=FundingKind.FLASH_LOAN, source=1, name="flash", lender=TOKEN, amount=7, fee=1
        ),
        module=1,
        step_data=b"\x01\x02",
        gross_profit=10**17,
        gross_profit_wei=10**17,
        gas=500_000,
        gas_price=12 * GWEI,
        net_profit=10**17 - 500_000 * 12 * GWEI,
        min_profit=97 * 10**15,
        least_net=10**15,
        health_factor=9 * 10**17,
        deadline=100_000,
    )
    return replace(made, **changes)


def batch(*plans, **changes):
    plans = plans or (plan(),)
    made = Batch(
        plans=plans,
        executor=EXECUTOR,
        calldata=b"\xab" * 36,
        gas_limit=1_000_000,
        deadline=min(one.deadline for one in plans),
        net_profit=sum(one.net_profit for one in plans),
    )
    return replace(made, **changes)


@dataclass
class ScriptedChain:
    count: int = 0
    receipts: dict = field(default_factory=dict)
    blocks: dict = field(default_factory=dict)
    revert: Exception | None = None
    final: Head | None = None

    async def head(self, block=None):
        return self.blocks[block] if block in self.blocks else head(block)

    async def finalized(self):
        return self.final

    async def transaction_count(self, address, block="latest"):
        return self.count

    async def receipt(self, transaction):
        return self.receipts.get(transaction)

    async def call(self, call, basis, *, sender=None, fees=None):
        if self.revert is not None:
            raise self.revert
        return b""

    async def fee_history(self, blocks, percentile):
        return [10 * GWEI, 10 * GWEI], [2 * GWEI]

    def mine(self, attempt, number, fork=0, **changes):
        self.count = max(self.count, attempt.nonce + 1)
        mined = Receipt(
            transaction_hash=attempt.hash,
            block_hash=block_hash(number, fork),
            block_number=number,
            success=True,
            gas_used=400_000,
            gas_price=11 * GWEI,
            contract=None,
            logs=(),
        )
        self.receipts[attempt.hash] = replace(mined, **changes)


@dataclass
class ScriptedNode:
    """Takes bytes; ``answers`` are raised in turn, then everything is accepted."""

    diary: list
    answers: list = field(default_factory=list)

    async def send_raw(self, raw):
        self.diary.append(("send", raw))
        if self.answers:
            answer = self.answers.pop(0)
            if answer is not None:
                raise answer
        return "0x"

    @property
    def sent(self):
        return [raw for kind, raw in self.diary if kind == "send"]


@dataclass
class DiaryJournal:
    diary: list
    first_nonce: int = 0
    kept: dict = field(default_factory=dict)
    anchor: tuple | None = None

    async def keep_anchor(self, number, hash_):
        self.anchor = (number, hash_)

    async def probe(self):
        pass

    async def final_above(self, number):
        return [
            one
            for _, one in sorted(self.kept.items())
            if one.state is NonceState.FINAL and one.inclusion.block_number > number
        ]

    async def mined_since(self, number):
        return [
            one
            for _, one in sorted(self.kept.items())
            if one.inclusion and one.inclusion.block_number >= number
        ]

    async def unbound(self, first, last):
        return sorted(set(range(first, last + 1)) - set(self.kept))

    async def open_submissions(self):
        return [one for _, one in sorted(self.kept.items()) if one.state is not NonceState.FINAL]

    async def high_water(self):
        return max(self.kept, default=None)

    async def record(self, bound, news=None):
        for one in bound:
            self.diary.append(("record", one.newest.raw))
            self.kept[one.nonce] = one

    async def add_attempt(self, attempt):
        self.diary.append(("record", attempt.raw))
        kept = self.kept[attempt.nonce]
        self.kept[attempt.nonce] = replace(kept, attempts=(*kept.attempts, attempt))

    async def release(self, cancellation):
        self.diary.append(("record", cancellation.raw))
        kept = self.kept[cancellation.nonce]
        freed = [replace(one, state=AttemptState.RELEASED) for one in kept.attempts]
        self.kept[cancellation.nonce] = replace(kept, attempts=(*freed, cancellation))

    async def mark_sent(self, sent, results):
        self.diary.append(("marked", [str(one.state) for one in sent]))

    async def include(self, nonce, inclusion):
        self.kept[nonce] = replace(self.kept[nonce], state=NonceState.INCLUDED, inclusion=inclusion)

    async def reopen(self, nonce):
        self.kept[nonce] = replace(self.kept[nonce], state=NonceState.BOUND, inclusion=None)

    async def finalise(self, nonce):
        self.kept[nonce] = replace(self.kept[nonce], state=NonceState.FINAL)


class World:
    """A submitter among scripted ports."""

    def __init__(self, policy=None, **changes):
        self.diary = []
        self.events = []
        self.chain = ScriptedChain()
        self.node = ScriptedNode(self.diary)
        self.journal = DiaryJournal(self.diary)
        self.policy = policy or FeePolicy()
        self.submitter = self.restarted(**changes)

    def restarted(self, **changes):
        signer = LocalSigner(b"\x01" * 32, 31337)
        tracker = Tracker(
            chain=self.chain,
            journal=self.journal,
            sender=signer.address,
            outcomes=lambda batch, logs: (),
            emit=self.events.append,
            confirmations=3,
        )
        return NodeSubmitter(
            signer=signer,
            node=self.node,
            tracker=tracker,
            fees=FeeOracle(self.chain, 31337, self.policy),
            **changes,
        )

    @property
    def book(self):
        return self.submitter.tracker.book

    def told(self, name):
        return [one for one in self.events if one["event"] == name]


def unhealthy(*_):
    return True


def healthy(*_):
    return False
