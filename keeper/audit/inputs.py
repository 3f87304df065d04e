"""External inputs of a block's decisions, and their stored form.

Decisions are a function of these inputs, the markets at the block and the program. The inputs are
stored once per block for all recorded decisions. They contain only data that can influence those,
such as their markets, the markets that lend to them, accounts with a plan in any round, and the
pools of their tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.audit.basis import Basis
from keeper.domain.exits import Exits
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.pending import PendingSale
from keeper.domain.plan import Batch, DataFee, SimulatedBatch
from keeper.domain.restraint import FREE, Restraint, Wait
from keeper.domain.units import Address, BaseCurrency, Bps, MarketKey, Timestamp, Wei
from keeper.domain.value import Valuation
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Policy
from keeper.strategy.portions import Portion

VERSION: Final = "1"
"""Version of the stored form. Other versions need another program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """The native coin's price in a market, the part of a ``Valuation`` that the market lacks."""

    native_price: BaseCurrency
    usd_per_base: tuple[int, int]

    @classmethod
    def of(cls, valuation: Valuation) -> "Native":
        """Return the part of a valuation that the market's own prices lack."""
        return cls(native_price=valuation.native_price, usd_per_base=valuation.usd_per_base)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAnswer:
    """The exits of a venue of this kind, None where it answered otherwise."""

    kind: str
    exits: Exits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterAnswers:
    """The venues' exits when queried again for the portion with this number."""

    portion: int
    venues: dict[int, VenueAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Transactions simulated in order by one executor, with their results."""

    executor: int
    batches: tuple[Batch, ...]
    answers: tuple[SimulatedBatch, ...]


@dataclass(slots=True, kw_only=True)
class Inputs:
    """All external inputs of a block's decisions, as received.

    ``basis`` are the inputs of the policy's restraint, None where the policy never waits.
    ``executors`` numbers the executor of each deployment. ``venues`` has each venue's answer by its
    position in the settings. ``gas_floor`` and ``gas_price`` are None where not requested.
    ``data_fees`` are in the order of the requests, None where publishing is free. ``pending`` are
    sales of transactions in flight. ``portions`` are the accounts planned together, in order.
    ``later`` are the venues' answers for later portions that queried them again.
    """

    policy: Policy
    gas_model: GasModel
    deadline_seconds: int
    in_flight: frozenset[Subject]
    restraint: Restraint = FREE
    basis: Basis | None = None
    executors: Mapping[MarketKey, int] = field(default_factory=dict)
    next_timestamp: Timestamp | None = None
    gas_floor: Wei | None = None
    gas_price: Wei | None = None
    data_fees: list[tuple[DataFee, ...]] | None = None
    native: dict[MarketKey, Native | None] = field(default_factory=dict)
    venues: dict[int, VenueAnswer] = field(default_factory=dict)
    simulations: list[Simulation] = field(default_factory=list)
    pending: tuple[PendingSale, ...] = ()
    portions: list[Portion] = field(default_factory=list)
    later: list[LaterAnswers] = field(default_factory=list)

    @property
    def planned(self) -> frozenset[Subject]:
        """The accounts with a plan in any round. Other accounts' figures depend on them."""
        return frozenset(
            (plan.market, plan.account)
            for simulation in self.simulations
            for batch in simulation.batches
            for plan in batch.plans
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Identity of the deciding program, as chain, code version, settings hash and mode."""

    chain_id: int
    code: str
    settings: str
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A simulated transaction as its calldata hash, gas limit and result."""

    calldata_sha256: str
    gas_limit: int
    answer: SimulatedBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSimulation:
    """A stored ``Simulation``. ``address`` is the executor's contract."""

    executor: int
    address: Address
    batches: tuple[StoredBatch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInputs:
    """A block's inputs as stored, without the markets, accounts and pools that adapters write.

    ``waits_besides`` are the waits without a policy, such as those after a failure. ``doubts`` are
    accounts that differed from the contracts, with the reason. ``portions`` is None where all
    accounts were planned together.
    """

    version: str
    head: Head
    program: Program
    policy: Policy
    gas_model: GasModel
    deadline_seconds: int
    in_flight: tuple[Subject, ...]
    restraint: Restraint
    basis: Basis | None
    waits_besides: Mapping[Subject, Wait]
    doubts: Mapping[Subject, str]
    executors: Mapping[MarketKey, int]
    next_timestamp: Timestamp | None
    gas_floor: Wei | None
    gas_price: Wei | None
    data_fees: tuple[tuple[DataFee, ...], ...] | None
    native: Mapping[MarketKey, Native | None]
    simulations: tuple[StoredSimulation, ...]
    pending: tuple[PendingSale, ...] = ()
    portions: tuple[Portion, ...] | None = None

    @property
    def builder_share(self) -> Bps:
        """The share of the profit that the executors pay to the builder."""
        return self.policy.builder_share_bps


def trimmed(exits: Exits, tokens: Sequence[Address]) -> Exits:
    """Restrict exits to routes between these tokens, with their pools and lenders."""
    wanted = frozenset(tokens)
    routes = {pair: ways for pair, ways in exits.routes.items() if wanted.issuperset(pair)}
    pools = {pool for ways in routes.values() for way in ways for pool in way.pools}
    lenders = {token: each for token, each in exits.lenders.items() if token in wanted}
    vouched = pools | {one.lender for each in lenders.values() for one in each}
    return Exits(
        routes=routes,
        curves={pool: curve for pool, curve in exits.curves.items() if pool in pools},
        lenders=lenders,
        factories={pool: one for pool, one in exits.factories.items() if pool in vouched},
    )
