"""What the policy says of one account at a block that is asked about, as far as it can be known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keeper.domain.head import Head
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import Address
from keeper.margin.facts import BlockFacts
from keeper.margin.restraint import restrained
from keeper.margin.settings import Confirms, MarginSettings
from keeper.margin.state import MarginState
from keeper.ports import MarketSnapshot
from keeper.stages.gathering import Legs, past_the_line, stated


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom the policy lets wait, and in words what that rests on, or why it is left out."""

    restraint: Restraint = FREE
    basis: str = ""
    is_left_out: bool = False


async def policy_of(
    settings: MarginSettings,
    state: MarginState | None,
    head: Head,
    snapshots: Sequence[MarketSnapshot],
    account: Address,
) -> Policy:
    """
    Return what the policy says of an account past the line, by what a keeper remembers.

    ``state`` is what its file has, None where there is none; of earlier blocks it says nothing.
    The chain's time stands for this machine's clock, and second sources are not asked.
    """
    past = {one: health for one, health in past_the_line(snapshots).items() if one[1] == account}
    if not settings.waits or not past:
        return Policy()
    if state is None or state.is_new:
        return Policy(
            basis="the policy's waiting is left out: no keeper's file says since when",
            is_left_out=True,
        )
    if state.number > head.number:
        return Policy(
            basis="the policy's waiting is left out: what was remembered at that block is known"
            " to the record alone (--recorded)",
            is_left_out=True,
        )
    facts = BlockFacts(
        number=head.number,
        hash=head.hash,
        timestamp=head.timestamp,
        wall=head.timestamp,
        markets=stated(snapshots, {}),
        accounts=past,
    )
    facts = replace(facts, exposures=await Legs().of(snapshots, list(past)))
    basis = f"the policy's waiting by what the keeper remembers of block {state.number}"
    if Confirms.SECOND_SOURCE in settings.guard.confirm:
        basis += ", second sources not asked"
    return Policy(restraint=restrained(settings, state, facts), basis=basis)
