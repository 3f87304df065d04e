"""
What deciding about a block was given from outside, and how that is written down.

Deciding is a function of these, of the markets at the block and of this program. They are stored
once per block, for all accounts whose decision is on record from it, and hold no more than what
can influence these: their markets and those that lend to them, the accounts that had a plan
in any round, the pools of their tokens.
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
"""Of the form of what is stored; another one is another program's to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """The native coin's price in a market; see ``Valuation``, whose prices are the market's own."""

    native_price: BaseCurrency
    usd_per_base: tuple[int, int]

    @classmethod
    def of(cls, valuation: Valuation) -> "Native":
        """Return what a valuation adds to the market's own prices."""
        return cls(native_price=valuation.native_price, usd_per_base=valuation.usd_per_base)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAnswer:
    """What a venue of this kind offered; None where it did not answer as one."""

    kind: str
    exits: Exits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterAnswers:
    """What the venues offered when they were asked again, for the portion of this number."""

    portion: int
    venues: dict[int, VenueAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Transactions that were run one after the other by one executor, and what they did."""

    executor: int
    batches: tuple[Batch, ...]
    answers: tuple[SimulatedBatch, ...]


@dataclass(slots=True, kw_only=True)
class Inputs:
    """
    Everything that deciding about one block was told, as it was told.

    ``basis`` is what the restraint was reckoned from, None where nobody waits by any policy.
    ``executors`` numbers the executor of each deployment, ``venues`` has each one's answer by its
    place in the settings; ``gas_floor`` and ``gas_price`` are None
    where nobody asked; ``data_fees``, in the order of asking, where publishing costs nothing.
    ``pending`` is what waited for a block. ``portions`` are the accounts that were planned
    together, one portion after the other, ``later`` what the venues answered where a later
    portion had them asked again.
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
        """Whoever had a plan in any round: the others' figures rest on what these leave."""
        return frozenset(
            (plan.market, plan.account)
            for simulation in self.simulations
            for batch in simulation.batches
            for plan in batch.plans
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What decided: the chain, the code, the settings' hash, how far the run went."""

    chain_id: int
    code: str
    settings: str
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """A simulated transaction: what it was by hash and limits, and what it did."""

    calldata_sha256: str
    gas_limit: int
    answer: SimulatedBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSimulation:
    """See ``Simulation``; ``address`` is the executor's contract."""

    executor: int
    address: Address
    batches: tuple[StoredBatch, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInputs:
    """
    A block's inputs as they are stored, but for what adapters write: markets, accounts, pools.

    ``waits_besides`` are those of the restraint that no policy made: who failed just now, say.
    ``doubts`` are accounts that differed from the contracts, with what is said of it.
    ``portions`` is None where everybody was planned together.
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
        """The share of the profit that the executors are told to pay."""
        return self.policy.builder_share_bps


def trimmed(exits: Exits, tokens: Sequence[Address]) -> Exits:
    """Return the exits between these tokens only: routes, their pools, lenders of them."""
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
