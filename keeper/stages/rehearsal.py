"""Simulates plans as transactions on the pinned block and evaluates their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from keeper.domain.decision import Skip
from keeper.domain.errors import RpcUnavailable
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.plan import Batch, DataFee, Plan, SimulatedBatch
from keeper.domain.units import MAX_TRANSACTION_GAS, Address, Gas, MarketKey, Wei, deployment
from keeper.ports import ChargesForData, Simulator
from keeper.stages.fitting import BlockRoom
from keeper.strategy.batches import ANY_LIMIT, Queue, batch_net_profit
from keeper.strategy.gas import GasModel, limits_of
from keeper.strategy.policy import Costs, Policy
from keeper.strategy.rounds import pack_rounds, round_numbers, subject_of
from keeper.strategy.settled import loss, settled


@dataclass(slots=True, kw_only=True)
class Rehearsed:
    """Verdict on a simulated sequence of plans.

    ``batches`` can be sent as they are, per executor all before its first problem. ``failed`` has
    the failing plans with reasons, ``refused`` the unprofitable ones. ``apart`` states that plans
    succeed one by one but not together, ``is_full`` that the next block did not have room for all.
    """

    batches: list[Batch] = field(default_factory=list)
    failed: list[tuple[Plan, str]] = field(default_factory=list)
    refused: list[Skip] = field(default_factory=list)
    cut: list[tuple[Plan, int]] = field(default_factory=list)
    apart: bool = False
    is_full: bool = False

    @property
    def clean(self) -> bool:
        """Whether all plans can be sent."""
        return not (self.failed or self.refused or self.cut or self.apart)

    def blame(self, plans: Sequence[Plan], failures: Sequence[str]) -> bool:
        """Add the failing plans, each account once. Returns whether any fails.

        If an account's round fails, its later rounds are not judged, since they depend on it.
        """
        blamed = set[Subject]()
        for plan, number, failure in zip(plans, round_numbers(plans), failures, strict=True):
            if not failure or subject_of(plan) in blamed:
                continue
            blamed.add(subject_of(plan))
            if number:
                self.cut.append((plan, number))
            else:
                self.failed.append((plan, failure))
        return bool(blamed)

    def refuse(self, plans: Sequence[Plan], minimums: Mapping[MarketKey, Wei]) -> bool:
        """Add the repriced plans that do not pay. Returns whether there are any."""
        refused = set[Subject]()
        for plan, number in zip(plans, round_numbers(plans), strict=True):
            skip = None if subject_of(plan) in refused else loss(plan, minimums)
            if skip is None:
                continue
            refused.add(subject_of(plan))
            if number:
                self.cut.append((plan, number))
            else:
                self.refused.append(skip)
        return bool(refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Packs plans into transactions and simulates them, each executor's in order.

    ``simulators`` are the executors by deployment, ``minimums`` the least net profit of a plan by
    market. ``charges`` returns data fees on chains that have them.
    """

    simulators: Mapping[MarketKey, Simulator]
    gas_model: GasModel
    minimums: dict[MarketKey, Wei]
    charges: ChargesForData | None = None

    async def of(
        self,
        plans: Sequence[Plan],
        policy: Policy,
        costs: Costs,
        head: Head,
        *,
        queue: Queue | None = None,
        earlier: Sequence[Batch] = (),
    ) -> Rehearsed:
        """Simulate the plans' transactions on ``head`` after the ``earlier`` ones.

        ``queue`` is the other load on the chain, which the packing considers. Plans of different
        executors never share a transaction. If a transaction of several plans fails as a whole, it
        is simulated again plan by plan to find the failing ones.

        Raises:
            ChainError: the node did not simulate.
        """
        result = Rehearsed()
        room = BlockRoom(left=ANY_LIMIT if queue is None else queue.limit_left)
        for executor, own in self._group_by_executor(plans):
            groups = pack_rounds(own, policy, costs, self.gas_model, queue)
            if queue is not None:
                groups = groups[: queue.transactions] if queue.is_bounded else groups
                for group in groups:
                    queue = queue.after(len(group))
            plain = [self._build_batch(executor, group) for group in groups]
            fees = await self._fetch_data_fees(plain, head)
            batches = [with_data_gas(*pair) for pair in zip(plain, fees, strict=True)]
            behind = _AfterEarlier(executor, self._list_earlier(executor, earlier))
            answers = await behind.simulated(batches, head)
            found = list(zip(batches, answers, fees, strict=True))
            self._add_results(result, executor, found, policy, room)
            if any(_is_whole_failure(*pair) for pair in zip(batches, answers, strict=True)):
                blamed = await self._find_culprits(result, behind, batches, answers, head)
                result.apart = result.apart or not blamed
        result.is_full = room.is_full
        return result

    def _add_results(
        self,
        result: Rehearsed,
        executor: Simulator,
        found: Sequence[tuple[Batch, SimulatedBatch, DataFee]],
        policy: Policy,
        room: BlockRoom,
    ) -> None:
        """Add failures, losses and the batches before them to ``result``."""
        trouble = False
        for batch, answer, data in found:
            failed = result.blame(batch.plans, _list_failures(batch, answer))
            spoilt = failed or not answer.plans
            after = () if spoilt else settled(batch, answer, self.minimums, policy, data.fee)
            refused = result.refuse(after, self.minimums)
            trouble = trouble or not after or refused
            used = [outcome.gas_used for outcome in answer.plans]
            fitting = () if trouble else room.fit(after, used, self.gas_model, data.gas)
            if fitting:
                limit = self.gas_model.simulated_limit(fitting, used[: len(fitting)])
                made = replace(self._build_batch(executor, fitting), gas_limit=limit)
                result.batches.append(with_data_gas(made, data))

    async def _find_culprits(
        self,
        result: Rehearsed,
        behind: "_AfterEarlier",
        batches: Sequence[Batch],
        answers: Sequence[SimulatedBatch],
        head: Head,
    ) -> bool:
        """Add the plans that fail alone of batches that failed as a whole. Returns if any."""
        apart: list[Batch] = []
        asked: list[tuple[Batch, int]] = []
        for batch, answer in zip(batches, answers, strict=True):
            if not _is_whole_failure(batch, answer):
                apart.append(batch)
                continue
            asked.append((batch, len(apart)))
            apart.extend(self._build_batch(behind.executor, (plan,)) for plan in batch.plans)
        alone = await behind.simulated(apart, head)
        blamed = False
        for batch, start in asked:
            places = range(start, start + len(batch.plans))
            failures = [_list_failures(apart[place], alone[place])[0] for place in places]
            blamed = result.blame(batch.plans, failures) or blamed
        return blamed

    async def _fetch_data_fees(self, batches: Sequence[Batch], head: Head) -> Sequence[DataFee]:
        if self.charges is None:
            return [DataFee() for _ in batches]
        return await self.charges.data_fees(batches, head)

    def _build_batch(self, executor: Simulator, plans: Sequence[Plan]) -> Batch:
        return executor.batch(
            plans,
            net_profit=batch_net_profit(plans),
            gas_limit=self.gas_model.batch_limit(limits_of(plans)),
        )

    def _list_earlier(self, executor: Simulator, batches: Sequence[Batch]) -> list[Batch]:
        """List an executor's own batches, in order."""
        owners = ((self.simulators[deployment(one.plans[0].market)], one) for one in batches)
        return [batch for owner, batch in owners if owner is executor]

    def _group_by_executor(self, plans: Sequence[Plan]) -> list[tuple[Simulator, list[Plan]]]:
        """Group the plans by executor, both in order of appearance."""
        grouped: list[tuple[Simulator, list[Plan]]] = []
        for plan in plans:
            executor = self.simulators[deployment(plan.market)]
            own = next((group for known, group in grouped if known is executor), None)
            if own is None:
                grouped.append((executor, own := []))
            own.append(plan)
        return grouped


@dataclass(frozen=True, slots=True)
class _AfterEarlier:
    """Simulates an executor's transactions after earlier ones of its own."""

    executor: Simulator
    earlier: Sequence[Batch]

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Simulate the batches after the earlier ones, and return their results."""
        answers = await self.executor.simulated([*self.earlier, *batches], head)
        return answers[len(self.earlier) :]


def with_data_gas(batch: Batch, data: DataFee) -> Batch:
    """Return the batch with gas for its data added, up to a transaction's maximum."""
    limit = Gas(min(batch.gas_limit + data.gas, max(batch.gas_limit, MAX_TRANSACTION_GAS)))
    return replace(batch, gas_limit=limit)


class Runs(Protocol):
    """Simulates transactions without sending them."""

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Simulate the batches one after the other on ``head``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Simulates signed transactions again. ``simulators`` are by called contract."""

    simulators: Mapping[Address, Runs]

    async def __call__(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Simulate each batch now, an executor's batches one after the other.

        Raises:
            ChainError: the node did not simulate.
        """
        found: dict[int, SimulatedBatch] = {}
        for executor in dict.fromkeys(one.executor for one in batches):
            own = [at for at, one in enumerate(batches) if one.executor == executor]
            wanted = [batches[at] for at in own]
            runs = self.simulators.get(executor)
            if runs is None:
                raise RpcUnavailable(f"{executor} is in no [[executor]] any more")
            found.update(zip(own, await runs.simulated(wanted, head), strict=True))
        return [found[at] for at in range(len(batches))]


def _is_whole_failure(batch: Batch, answer: SimulatedBatch) -> bool:
    """Return whether a transaction of several plans failed without naming the failing ones."""
    return not answer.plans and len(batch.plans) > 1


def _list_failures(batch: Batch, answer: SimulatedBatch) -> list[str]:
    """List the plans known to fail, with reasons. A failing single plan is its own."""
    if not answer.plans:
        return [answer.failure or "reverts"] if len(batch.plans) == 1 else [""] * len(batch.plans)
    return [outcome.failure for _, outcome in zip(batch.plans, answer.plans, strict=True)]
