"""Wraps the planner's ports to record every external input."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from keeper.audit.inputs import Inputs, LaterAnswers, Native, Simulation, VenueAnswer
from keeper.domain.errors import BlockUnknown, RpcMalformed, RpcRefused
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis, Head
from keeper.domain.opportunity import Window
from keeper.domain.pending import PendingSale
from keeper.domain.plan import Batch, DataFee, Plan, SimulatedBatch
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import Gas, MarketKey, Timestamp, Wei
from keeper.domain.value import Valuation
from keeper.pipeline import Decided, InFlight, Planner, decided
from keeper.ports import (
    ChargesForData,
    FeeSource,
    MarketSnapshot,
    Simulator,
    Valuer,
)
from keeper.stages.choosing import Chooser
from keeper.stages.considering import Unplanned
from keeper.stages.venue_layer import VenueLayer
from keeper.stages.waiting import Waiting
from keeper.strategy.portions import Portion


async def witnessed(
    planner: Planner,
    head: Head,
    snapshots: Sequence[MarketSnapshot],
    in_flight: InFlight = frozenset(),
    *,
    restraint: Restraint = FREE,
) -> Decided:
    """Plan a block and attach its recorded inputs to the result."""
    if planner.room is not None:
        policy = replace(planner.policy, transactions=max(1, planner.room()))
        planner = replace(planner, policy=policy)
    inputs = Inputs(
        policy=planner.policy,
        gas_model=planner.gas_model,
        deadline_seconds=planner.deadline_seconds,
        in_flight=in_flight,
        restraint=restraint,
    )
    result = await decided(
        _build_recording_context(planner, inputs), head, snapshots, in_flight, restraint=restraint
    )
    result.inputs = inputs
    return result


def _build_recording_context(planner: Planner, inputs: Inputs) -> Planner:
    """Wrap every port of the planner to record into ``inputs``, one object per executor."""
    made: dict[int, _RecordingSimulator] = {}
    simulators: dict[MarketKey, Simulator] = {}
    for deployment, one in planner.simulators.items():
        if id(one) not in made:
            made[id(one)] = _RecordingSimulator(one, len(made), inputs)
        simulators[deployment] = made[id(one)]
        inputs.executors = {**inputs.executors, deployment: made[id(one)].number}

    async def next_timestamp(head: Head) -> Timestamp:
        inputs.next_timestamp = await planner.next_timestamp(head)
        return inputs.next_timestamp

    return replace(
        planner,
        venues=[_RecordingVenue(one, at, inputs) for at, one in enumerate(planner.venues)],
        simulators=simulators,
        fees=_wrap_fees(planner.fees, inputs),
        valuer=_RecordingValuer(planner.valuer, inputs),
        next_timestamp=next_timestamp,
        waiting=_RecordingPendingSales(planner.waiting, inputs),
        chooser=_RecordingChooser(planner.chooser, inputs),
    )


@dataclass(frozen=True, slots=True)
class _RecordingChooser:
    chooser: Chooser
    inputs: Inputs
    marks: list[tuple[int, int, int]] = field(default_factory=list)

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:
        portion = self.chooser.choose(number, waiting, window, size)
        if portion is not None:
            self.inputs.portions[number:] = [portion]
            self.marks[number:] = [self._count_recorded()]
        return portion

    def undo(self, number: int) -> None:
        self.chooser.undo(number)
        inputs, (simulations, fees, later) = self.inputs, self.marks[number]
        del inputs.portions[number:], inputs.simulations[simulations:], inputs.later[later:]
        if inputs.data_fees is not None:
            del inputs.data_fees[fees:]

    def _count_recorded(self) -> tuple[int, int, int]:
        """Return the numbers of inputs recorded before a portion."""
        inputs = self.inputs
        return len(inputs.simulations), len(inputs.data_fees or ()), len(inputs.later)


@dataclass(frozen=True)
class _RecordingFees:
    fees: FeeSource
    inputs: Inputs

    def floor(self, head: Head) -> Wei:
        self.inputs.gas_floor = self.fees.floor(head)
        return self.inputs.gas_floor

    def unasked(self, head: Head) -> Wei:
        return self.fees.unasked(head)

    async def gas_price(self, head: Head) -> Wei:
        self.inputs.gas_price = await self.fees.gas_price(head)
        return self.inputs.gas_price


class _RecordingChargingFees(_RecordingFees):
    """Recording fee source with data fees."""

    async def data_fees(self, batches: Sequence[Batch], head: Head) -> Sequence[DataFee]:
        found = await self._get_charges().data_fees(batches, head)
        self.inputs.data_fees = [*(self.inputs.data_fees or ()), tuple(found)]
        return found

    def _get_charges(self) -> ChargesForData:
        if not isinstance(self.fees, ChargesForData):
            raise TypeError(type(self.fees).__name__)
        return self.fees


def _wrap_fees(fees: FeeSource, inputs: Inputs) -> FeeSource:
    """Wrap the fee source for recording, keeping its capabilities."""
    return (_RecordingChargingFees if isinstance(fees, ChargesForData) else _RecordingFees)(
        fees, inputs
    )


@dataclass(frozen=True, slots=True)
class _RecordingValuer:
    valuer: Valuer
    inputs: Inputs

    async def valuation(self, snapshot: MarketSnapshot) -> Valuation | None:
        found = await self.valuer.valuation(snapshot)
        self.inputs.native[snapshot.market] = None if found is None else Native.of(found)
        return found


@dataclass(frozen=True, slots=True)
class _RecordingPendingSales:
    waiting: Waiting
    inputs: Inputs

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:
        self.inputs.pending = tuple(self.waiting.sales(snapshots, window))
        return self.inputs.pending


@dataclass(frozen=True, slots=True)
class _RecordingVenue(VenueLayer):
    number: int
    inputs: Inputs

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:
        answers = self._get_answers()
        try:
            found = await self.venue.exits(pairs, basis)
        except (BlockUnknown, RpcRefused, RpcMalformed):
            answers[self.number] = VenueAnswer(kind=self.kind, exits=None)
            raise
        answers[self.number] = VenueAnswer(kind=self.kind, exits=found)
        return found

    def _get_answers(self) -> dict[int, VenueAnswer]:
        """Return the recorded answers of the first portions or of a later one."""
        inputs, portion = self.inputs, len(self.inputs.portions) - 1
        if portion <= 0 or not inputs.venues:
            return inputs.venues
        if not inputs.later or inputs.later[-1].portion != portion:
            inputs.later.append(LaterAnswers(portion=portion, venues={}))
        return inputs.later[-1].venues


@dataclass(frozen=True, slots=True)
class _RecordingSimulator:
    simulator: Simulator
    number: int
    inputs: Inputs

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        return self.simulator.batch(plans, net_profit=net_profit, gas_limit=gas_limit)

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        answers = await self.simulator.simulated(batches, head)
        self.inputs.simulations.append(
            Simulation(executor=self.number, batches=tuple(batches), answers=tuple(answers))
        )
        return answers
