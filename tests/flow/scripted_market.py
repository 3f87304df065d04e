"""Scripted ports around the real strategy: a market, a venue, an executor, fees, prices."""

from dataclasses import dataclass, field

from keeper.domain.account import AccountHealth
from keeper.domain.exits import Exits
from keeper.domain.head import Head
from keeper.domain.plan import Batch, SimulatedBatch, SimulatedPlan
from keeper.domain.restraint import FREE
from keeper.pipeline import Planner, decided
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Policy
from tests.unit.strategy.market import (
    GWEI,
    MARKET,
    PRICES,
    USD,
    USDC,
    VALUATION,
    Lender,
    Pair,
    address,
    exits,
    route,
    weth_pool,
)

HEAD = Head(
    number=7,
    hash="0x" + "7" * 64,
    parent_hash="0x" + "6" * 64,
    timestamp=1_700_000_000,
    base_fee=GWEI,
    gas_limit=30_000_000,
    gas_used=15_000_000,
)
GAS_USED = 500_000
"""What a scripted step uses unless the test says otherwise."""
POOL = weth_pool(10**9)
DEEP = exits(route(POOL), pools=(POOL,))


def account(number):
    return address(0x1000 + number)


def pair(number, usd=10_000, **changes):
    return Pair(account(number), usd * USD, **changes)


@dataclass
class ScriptedSnapshot:
    """A market whose unhealthy accounts are those of ``pairs``; one more is healthy."""

    pairs: tuple = ()
    market: str = MARKET
    lends: tuple = (Lender(),)
    liquidity: dict = field(default_factory=dict)
    head: Head = HEAD
    prices: object = field(default_factory=lambda: PRICES)
    base_unit: int = 10**8
    warnings: tuple = ()
    asked: list = field(default_factory=list)

    def accounts(self):
        unhealthy = sorted({one.account for one in self.pairs})
        return [
            *(self._health(one, 9 * 10**17) for one in unhealthy),
            self._health(account(9_999), 2 * 10**18),
        ]

    def _health(self, whose, health_factor):
        return AccountHealth(
            market=self.market,
            account=whose,
            health_factor=health_factor,
            collateral_base=1,
            debt_base=1,
            liquidatable=health_factor < 10**18,
        )

    def opportunities(self, whose, window):
        self.asked.append(window)
        return [one for one in self.pairs if one.account == whose], []

    def flash_lenders(self, token):
        return [one for one in self.lends if one.token == token], []


@dataclass
class ScriptedVenue:
    answer: Exits | Exception = DEEP
    kind: str = "uniswap_v3"
    asked: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    """What is raised at first, once each."""

    async def exits(self, pairs, basis):
        self.asked.append((set(pairs), basis))
        if self.failures:
            raise self.failures.pop(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class ScriptedExecutor:
    """
    Runs a batch as told: ``fails`` says why a plan fails, ``breaks`` why a whole batch does.

    The rest earns what it was planned to; each takes ``GAS_USED``, or what ``gas`` says of its
    account, whoever shares the transaction. With ``reports`` it says what each step took.
    """

    name: str = address(0xE)
    fails: object = lambda plan: ""
    breaks: object = lambda batch: ""
    gas: dict = field(default_factory=dict)
    reports: bool = False
    rounds: list = field(default_factory=list)

    def batch(self, plans, *, net_profit, gas_limit):
        return Batch(
            plans=tuple(plans),
            executor=self.name,
            calldata=repr([(one.account, one.min_profit) for one in plans]).encode(),
            gas_limit=gas_limit,
            deadline=min(one.deadline for one in plans),
            net_profit=net_profit,
        )

    async def simulated(self, batches, head):
        assert head == HEAD
        self.rounds.append([[plan.account for plan in batch.plans] for batch in batches])
        return [self._answer(batch) for batch in batches]

    def _answer(self, batch):
        failure = self.breaks(batch)
        failures = [self.fails(plan) for plan in batch.plans]
        if failure or all(failures):
            reason = failure or "nothing worked: " + "; ".join(failures)
            return SimulatedBatch(plans=(), gas_used=21_000, failure=reason)
        outcomes = tuple(
            SimulatedPlan(
                profit=0 if why else plan.gross_profit,
                failure=why,
                gas_used=self.gas.get(plan.account, GAS_USED) if self.reports else 0,
            )
            for plan, why in zip(batch.plans, failures, strict=True)
        )
        used = sum(self.gas.get(plan.account, GAS_USED) for plan in batch.plans)
        return SimulatedBatch(plans=outcomes, gas_used=used)


@dataclass
class ScriptedFees:
    price: int = 2 * GWEI
    asked: int = 0

    def floor(self, head):
        return self.price // 2

    def unasked(self, head):
        return self.floor(head)

    async def gas_price(self, head):
        self.asked += 1
        return self.price


@dataclass
class ScriptedValuer:
    answer: object = VALUATION

    async def valuation(self, snapshot):
        return self.answer


@dataclass
class Desk:
    """A planner over the scripted ports, each within reach of the test."""

    venues: list = field(default_factory=lambda: [ScriptedVenue()])
    executors: dict = field(default_factory=lambda: {MARKET: ScriptedExecutor()})
    fees: ScriptedFees = field(default_factory=ScriptedFees)
    valuer: ScriptedValuer = field(default_factory=ScriptedValuer)
    policy: Policy = field(default_factory=Policy)
    guess: int = 12
    """After how many seconds the next block is expected; it comes after twelve."""

    def planner(self, **changes):
        """The planner; ``changes`` are parts that it has by default."""

        async def next_timestamp(head):
            return head.timestamp + 12

        return Planner(
            venues=self.venues,
            simulators=self.executors,
            fees=self.fees,
            valuer=self.valuer,
            policy=self.policy,
            gas_model=GasModel(),
            deadline_seconds=120,
            next_timestamp=next_timestamp,
            **changes,
        )

    async def decide(self, *snapshots, in_flight=frozenset(), only=None, restraint=FREE):
        planner = self.planner(expected_timestamp=lambda head: head.timestamp + self.guess)
        return await decided(planner, HEAD, snapshots, in_flight, only=only, restraint=restraint)

    @property
    def venue(self):
        return self.venues[0]

    @property
    def executor(self):
        return self.executors[MARKET]

    @property
    def quiet(self):
        """Whether nothing was asked of anybody."""
        rounds = [one.rounds for one in self.executors.values()]
        return not self.fees.asked and not any(rounds) and not any(v.asked for v in self.venues)


__all__ = [
    "DEEP",
    "GAS_USED",
    "HEAD",
    "MARKET",
    "POOL",
    "USDC",
    "Desk",
    "Lender",
    "account",
    "pair",
]
