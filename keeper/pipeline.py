"""Plans one head. Orders the steps and leaves their implementation to the parts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.audit.inputs import Inputs
from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision, Liquidate
from keeper.domain.errors import ChainError
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis, Head
from keeper.domain.opportunity import LiquidityKey, Window
from keeper.domain.parity import Subject
from keeper.domain.pending import PendingSale
from keeper.domain.plan import Batch, News, Plan
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import Address, MarketKey, Timestamp, TokenUnits
from keeper.ports import (
    ChargesForData,
    ExitVenue,
    FeeSource,
    MarketSnapshot,
    ScreensAccounts,
    Simulator,
    Valuer,
)
from keeper.stages.choosing import Chooser, Everybody
from keeper.stages.considering import Known, Unplanned
from keeper.stages.exit_reads import fetch_exits
from keeper.stages.planning import Planning, minimum_of
from keeper.stages.rehearsal import Rehearsal
from keeper.stages.waiting import NothingWaits, Waiting
from keeper.strategy.candidate import Candidate, quotable
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Costs, Policy
from keeper.strategy.portions import Portion

log = logging.getLogger(__name__)

InFlight = frozenset[tuple[MarketKey, Address]]

Leave = Callable[[Head, Sequence[Batch], Mapping[Subject, int]], Awaitable[bool]]
"""Sends transactions; the most that they may lose (1e-8 dollars) is set aside before."""


def soonest(head: Head) -> Timestamp:
    """Return the earliest time that the next block can have."""
    return Timestamp(head.timestamp + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Dependencies of planning (exit venues, fee source, simulators, policy).

    ``expected_timestamp`` predicts the result of ``next_timestamp``, so that other reads need not
    wait for it. A wrong prediction changes nothing. ``before_simulation`` starts the reads for
    sending, ``waiting`` supplies unmined sales. ``chooser`` selects the accounts that are planned
    together. ``leave`` sends a portion's transactions and returns whether others may follow.
    ``room`` is the number of transactions that may be in flight now. Without it the policy's limit
    counts.
    """

    venues: Sequence[ExitVenue]
    simulators: Mapping[MarketKey, Simulator]
    fees: FeeSource
    valuer: Valuer
    policy: Policy
    gas_model: GasModel
    deadline_seconds: int
    next_timestamp: Callable[[Head], Awaitable[Timestamp]]
    expected_timestamp: Callable[[Head], Timestamp] = soonest
    before_simulation: Callable[[Head, Sequence[Plan]], None] = lambda _, __: None
    waiting: Waiting = field(default_factory=NothingWaits)
    chooser: Chooser = field(default_factory=Everybody)
    leave: Leave | None = None
    room: Callable[[], int] | None = None

    def window(self, head: Head, next_timestamp: Timestamp) -> Window:
        """Return the landing window, given the time of the next block."""
        return Window(
            earliest=soonest(head), deadline=Timestamp(next_timestamp + self.deadline_seconds)
        )


@dataclass(slots=True, kw_only=True)
class Decided:
    """All decisions at one head. The batches hold the plans in the order of sending.

    ``inputs`` are the recorded external inputs, if recorded. ``losses`` is the most that
    unprofitable plans may lose, in 1e-8 dollars. ``news`` is stored with their nonces, ``pending``
    are the unmined sales.
    """

    head: Head
    decisions: list[Decision] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    health: dict[tuple[MarketKey, Address], AccountHealth] = field(default_factory=dict)
    inputs: Inputs | None = None
    losses: dict[Subject, int] = field(default_factory=dict)
    news: News | None = None
    pending: Sequence[PendingSale] = ()


async def decided(
    planner: Planner,
    head: Head,
    snapshots: Sequence[MarketSnapshot],
    in_flight: InFlight = frozenset(),
    *,
    only: Address | None = None,
    restraint: Restraint = FREE,
) -> Decided:
    """Plan every liquidatable account (or ``only`` one) at one head.

    Accounts that the ``restraint`` holds back are skipped with its reason. The others are planned
    in its order.

    The plans are sized in sequence on frozen curves, then their transactions are simulated on the
    pinned block, which decides. A plan that fails there is sized again with another option. One
    that does not pay its gas and the minimum is skipped, and the others are sized again without it.
    Sent transactions differ from simulated ones only in the minimum profits that the executor
    enforces, which cover the gas used.

    Many accounts are planned in portions, the most promising first, if the planner has a chooser.
    Each portion's transactions leave before the next portion is sized.
    """
    result = Decided(head=head)
    unhealthy = [(one, _list_liquidatable(one, only)) for one in snapshots]
    if any(accounts for _, accounts in unhealthy):
        known = Known(
            in_flight=in_flight,
            restraint=restraint,
            floor=Costs(gas_price=planner.fees.floor(head), block_gas_limit=head.gas_limit),
            policy=planner.policy,
            gas_model=planner.gas_model,
        )
        await _BlockPlanner(planner, result, snapshots, unhealthy, known).run()
        result.losses = _compute_losses(result.decisions, restraint)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChosenPortion:
    """A portion, with the candidates among its accounts."""

    portion: Portion
    candidates: list[Candidate]


class _BlockPlanner:
    """Planner of one head. Collects the results in ``result``."""

    def __init__(
        self,
        planner: Planner,
        result: Decided,
        snapshots: Sequence[MarketSnapshot],
        unhealthy: Sequence[tuple[MarketSnapshot, Sequence[AccountHealth]]],
        known: Known,
    ) -> None:
        self._planner, self._result, self._head = planner, result, result.head
        self._snapshots, self._unhealthy = snapshots, unhealthy
        self._known = known
        self._planning = self._start_planning()
        self._asked: frozenset[Pair] = frozenset()
        self._has_left = False
        self._window = planner.window(self._head, soonest(self._head))

    async def run(self) -> None:
        """Plan one portion after another until no account waits, or no more can leave."""
        planner, head = self._planner, self._head
        guess = self._window = planner.window(head, planner.expected_timestamp(head))
        waiting = await self._collect_waiting(guess)
        chosen = self._choose_portion(0, waiting, guess)
        self._asked = self._select_pairs(chosen.candidates)
        self._load_pending_sales(guess)
        next_timestamp, priced = await asyncio.gather(
            planner.next_timestamp(head), self._fetch_prices(self._asked)
        )
        window = self._window = planner.window(head, next_timestamp)
        if window != guess:
            waiting = await self._collect_waiting(window)
            chosen = self._choose_portion(0, waiting, window)
            priced = await self._refresh_prices(chosen.candidates, priced)
        await self._plan_all(waiting, window, chosen, priced)
        self._result.batches = self._planning.batches
        self._result.health = waiting.health
        self._result.decisions = self._list_decisions(waiting, window)

    def _load_pending_sales(self, window: Window) -> None:
        """Load the unmined sales once, as soon as collateral is to be sold."""
        if self._asked and not self._result.pending:
            self._result.pending = self._planner.waiting.sales(self._snapshots, window)
            self._planning.pending = self._result.pending

    async def _plan_all(
        self,
        waiting: Unplanned,
        window: Window,
        chosen: _ChosenPortion,
        priced: tuple[Costs, Exits],
    ) -> None:
        """Plan one portion after another. An error after a departure ends the planning."""
        number = 0
        while chosen.candidates or chosen.portion.rest:
            try:
                if number and chosen.candidates:
                    priced = await self._refresh_prices(chosen.candidates, priced)
                if chosen.candidates and not await self._plan_and_send(chosen, priced):
                    break
            except ChainError as error:
                if not self._has_left:
                    raise
                log.warning("planning_ended block=%d reason=%s", self._head.number, error)
                self._planner.chooser.undo(number)
                waiting.put_back(chosen.portion.subjects)
                break
            waiting.put_back(self._planning.put_off)
            self._planning.put_off.clear()
            number += 1
            chosen = self._choose_portion(number, waiting, window)

    def _list_decisions(self, waiting: Unplanned, window: Window) -> list[Decision]:
        """Return all decisions, one per account. Plans and their skips come before the others."""
        told = self._planning.told()
        known = {(one.market, one.account) for one in told}
        skips = [*waiting.skips, *waiting.skip_rest(window)]
        return [*told, *(one for one in skips if (one.market, one.account) not in known)]

    async def _collect_waiting(self, window: Window) -> Unplanned:
        """Return the unhealthy accounts of every market, valued within the window."""
        waiting = Unplanned(known=self._known)
        for snapshot, accounts in self._unhealthy:
            if accounts:
                others = (other for other in self._snapshots if other is not snapshot)
                await waiting.enter([snapshot, *others], accounts, self._planner.valuer, window)
        return waiting

    def _choose_portion(self, number: int, waiting: Unplanned, window: Window) -> _ChosenPortion:
        """Choose a portion and return its candidates and the number of accounts behind it."""
        size = self._planning.next_size(len(waiting))
        portion = self._planner.chooser.choose(number, waiting, window, size)
        if portion is None:
            return _ChosenPortion(portion=Portion(subjects=(), rest=0), candidates=[])
        candidates = waiting.candidates(portion.subjects, window)
        return _ChosenPortion(portion=portion, candidates=candidates)

    async def _plan_and_send(self, chosen: _ChosenPortion, priced: tuple[Costs, Exits]) -> bool:
        """Plan a portion and send its transactions. Return whether others may follow."""
        minimums = self._planning.rehearsal.minimums
        for candidate in chosen.candidates:
            minimums[candidate.market] = minimum_of(candidate, self._planner.policy)
        batches, decisions = await self._planning.plan(chosen.candidates, priced, chosen.portion)
        leave = self._planner.leave
        if leave is None or not batches:
            return True
        self._has_left = True
        return await leave(self._head, batches, _compute_losses(decisions, self._known.restraint))

    def _start_planning(self) -> Planning:
        planner, liquidity = self._planner, dict[LiquidityKey, TokenUnits]()
        for snapshot in self._snapshots:
            liquidity.update(snapshot.liquidity)
        return Planning(
            head=self._head,
            policy=planner.policy,
            rehearsal=Rehearsal(
                simulators=planner.simulators,
                gas_model=planner.gas_model,
                minimums={},
                charges=planner.fees if isinstance(planner.fees, ChargesForData) else None,
            ),
            liquidity=liquidity,
            begin_reads=planner.before_simulation,
        )

    def _select_pairs(self, candidates: Sequence[Candidate]) -> frozenset[Pair]:
        """Return the pairs to sell. Empty if no bonus pays the least gas."""
        planner = self._planner
        return frozenset(
            (pair.receive_token, pair.spend_token)
            for candidate in candidates
            for pair in quotable(candidate, self._known.floor, planner.policy, planner.gas_model)
        )

    async def _refresh_prices(
        self, candidates: Sequence[Candidate], priced: tuple[Costs, Exits]
    ) -> tuple[Costs, Exits]:
        """Return costs and exits with all the candidates' pairs, fetched again if necessary."""
        pairs = self._select_pairs(candidates)
        if pairs and pairs <= self._asked:
            return priced
        if not pairs:
            return priced if self._planning.batches else await self._fetch_prices(pairs)
        if not self._asked:
            self._asked = pairs
            self._load_pending_sales(self._window)
            return await self._fetch_prices(pairs)
        self._asked |= pairs
        return priced[0], await self._fetch_pair_exits(self._asked)

    async def _fetch_prices(self, pairs: frozenset[Pair]) -> tuple[Costs, Exits]:
        """Return the gas price and the exits of pairs. Fetches only if there are pairs."""
        fees, floor = self._planner.fees, self._known.floor
        if not pairs:
            unasked = replace(floor, gas_price=fees.unasked(self._head))
            return unasked, Exits(routes={}, curves={}, lenders={})
        gas_price, exits = await asyncio.gather(
            fees.gas_price(self._head), self._fetch_pair_exits(pairs)
        )
        return Costs(gas_price=gas_price, block_gas_limit=self._head.gas_limit), exits

    async def _fetch_pair_exits(self, pairs: frozenset[Pair]) -> Exits:
        sold = {pair for sale in self._result.pending if (pair := sale.pair)}
        basis = Basis(block_hash=self._head.hash)
        return await fetch_exits(self._planner.venues, {*pairs, *sold}, basis)


def _compute_losses(decisions: Sequence[Decision], restraint: Restraint) -> dict[Subject, int]:
    """Return the subsidies granted to the plans that need one. Higher fees may use up all of it."""
    return {
        (one.market, one.account): restraint.subsidies[one.market, one.account]
        for one in decisions
        if isinstance(one, Liquidate) and one.plan.subsidy and one.plan.net_profit < 0
    }


def _list_liquidatable(snapshot: MarketSnapshot, only: Address | None) -> list[AccountHealth]:
    """Return the snapshot's liquidatable accounts, or ``only`` one of them."""
    if isinstance(snapshot, ScreensAccounts):
        found = snapshot.liquidatable()
    else:
        found = snapshot.accounts()
    return [one for one in found if one.liquidatable and only in (None, one.account)]
