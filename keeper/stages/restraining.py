"""Policy's hold on one account at a queried block, as far as it can be determined."""

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
    """Policy's holds with a description of their basis, or of why they are omitted."""

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
    """Determine the policy's hold on a liquidatable account from a keeper's stored state.

    ``state`` is the stored state, None without a file. It does not cover earlier blocks. The
    chain's time replaces this machine's clock, and secondary prices are not read.
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
