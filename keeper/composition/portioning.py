"""Builds a planner with transactions sent portion by portion."""

from collections.abc import Sequence
from dataclasses import replace

from keeper.config import Settings
from keeper.domain.head import Head
from keeper.domain.plan import Plan
from keeper.domain.units import Gas
from keeper.execution.affording import free_nonces
from keeper.execution.paper import PaperSubmitter
from keeper.execution.paper_simulator import PaperSimulator
from keeper.execution.pending import acting_nonces
from keeper.execution.submitter import NodeSubmitter
from keeper.pipeline import Planner
from keeper.stages.choosing import BLOCK_SHARE, ByWorth
from keeper.stages.departing import Departures
from keeper.stages.waiting import PaperPlans


def plan_in_portions(planner: Planner, settings: Settings, departures: Departures) -> Planner:
    """Return the planner that sends each portion before it sizes the next one."""
    seconds = settings.chain.block_time_ms / 1_000 * BLOCK_SHARE
    chooser = ByWorth(seconds=seconds)
    planner = replace(planner, chooser=chooser, leave=departures.leave)
    submitter = departures.submitter
    if isinstance(submitter, PaperSubmitter):
        return _add_paper_sales(planner, submitter)
    if not isinstance(submitter, NodeSubmitter):
        return planner

    def room() -> int:
        tracker = submitter.tracker
        return free_nonces(tracker.bound(), tracker.consumed, submitter.max_in_flight)

    def gas_ahead() -> Gas:
        waiting = acting_nonces(submitter.tracker)
        plans = [plan for bound in waiting if bound.batch for plan in bound.batch.plans]
        return Gas(sum(plan.gas for plan in plans))

    def begin(head: Head, plans: Sequence[Plan]) -> None:
        submitter.tracker.begin_reads(head)
        departures.prepare(head, plans)

    chooser.gas_ahead = gas_ahead
    return replace(planner, before_simulation=begin, room=room)


def _add_paper_sales(planner: Planner, paper: PaperSubmitter) -> Planner:
    """Return the planner that considers its own paper sales, one object per executor."""
    made: dict[int, PaperSimulator] = {}
    for simulator in planner.simulators.values():
        made.setdefault(id(simulator), PaperSimulator(simulator, paper.has_sold_before))
    simulators = {key: made[id(simulator)] for key, simulator in planner.simulators.items()}
    return replace(planner, simulators=simulators, waiting=PaperPlans(sold=paper.sold))
