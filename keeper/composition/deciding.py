"""Builds the planning function with cooldown, quarantine and pool warming."""

from functools import partial

from keeper.domain.head import Head
from keeper.execution.submitter import LIMIT_BLOCKS, NodeSubmitter
from keeper.pipeline import Planner
from keeper.ports import Submitter
from keeper.stages.resting import Rested, Restrained
from keeper.stages.setting_aside import SetAside
from keeper.stages.warming import Warmed
from keeper.stages.witness import witnessed


def build_decide(planner: Planner, submitter: Submitter) -> Restrained:
    """Build the planning function. A live one applies the cooldown after failures."""
    decide: Restrained = SetAside(decide=partial(witnessed, planner))
    refresh = _refresh_nothing
    if isinstance(submitter, NodeSubmitter):
        decide = Rested(decide=decide, cooling=submitter.tracker.cooling)
        # Before it is due: then a send need not wait for it.
        refresh = partial(submitter.refresh_limit, after=LIMIT_BLOCKS // 2)
    return Warmed(decide=decide, venues=planner.venues, fees=planner.fees, refresh=refresh)


async def _refresh_nothing(_: Head) -> None:
    """Do nothing."""
