"""Rounds of one account, its consecutive plans in one transaction."""

from collections.abc import Iterable, Sequence

from keeper.domain.decision import Liquidate
from keeper.domain.parity import Subject
from keeper.domain.plan import Plan
from keeper.strategy.batches import Queue, fits_together, packed
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Costs, Policy


def subject_of(plan: Plan) -> Subject:
    """Return the market and account of a plan."""
    return plan.market, plan.account


def round_numbers(plans: Iterable[Plan]) -> list[int]:
    """Return for each plan how many of the ones before it are about the same account."""
    seen = dict[Subject, int]()
    numbers = list[int]()
    for plan in plans:
        numbers.append(seen.get(subject_of(plan), 0))
        seen[subject_of(plan)] = numbers[-1] + 1
    return numbers


def liquidate(plans: Sequence[Plan]) -> list[Liquidate]:
    """Build the liquidations of plans, in the order of their first rounds."""
    rounds = dict[Subject, list[Plan]]()
    for plan in plans:
        rounds.setdefault(subject_of(plan), []).append(plan)
    return [Liquidate(plan=first, further=tuple(rest)) for first, *rest in rounds.values()]


def drop_unled(whole: Sequence[Plan], chosen: Sequence[Plan]) -> list[Plan]:
    """Return the chosen plans, without rounds that lack an earlier round of their account.

    Such a round was planned on the state that the missing one would have left.
    """
    places = {id(plan) for plan in chosen}
    broken = set[Subject]()
    led = list[Plan]()
    for plan in whole:
        if id(plan) not in places:
            broken.add(subject_of(plan))
        elif subject_of(plan) not in broken:
            led.append(plan)
    return led


def pack_rounds(
    plans: Sequence[Plan],
    policy: Policy,
    costs: Costs,
    gas_model: GasModel,
    queue: Queue | None = None,
) -> list[tuple[Plan, ...]]:
    """Group plans into transactions, the first rounds in order, before the further ones.

    A further round is the last step of its account's transaction, or it is dropped with the ones
    after it. It is dropped if the gas does not suffice, or if a later transaction sells into a pool
    that the round depends on.
    """
    numbered = list(zip(plans, round_numbers(plans), strict=True))
    first = [plan for plan, number in numbered if not number]
    groups = [list(group) for group in packed(first, policy, costs, gas_model, queue)]
    places = {subject_of(plan): at for at, group in enumerate(groups) for plan in group}
    for plan in (plan for plan, number in numbered if number):
        at = places.get(subject_of(plan))
        if at is None:
            continue
        grown = [*groups[at], plan]
        if fits_together(grown, policy, costs, gas_model) and not _has_shared_pool(
            plan, groups[at + 1 :]
        ):
            groups[at] = grown
        else:
            del places[subject_of(plan)]
    return [tuple(group) for group in groups]


def _has_shared_pool(plan: Plan, later: Sequence[Sequence[Plan]]) -> bool:
    """Return whether a plan of a later transaction trades in, or borrows from, one of its pools."""
    pools = {*plan.route.pools, plan.funding.lender}
    return any(
        not pools.isdisjoint(other.route.pools) or other.funding.lender in plan.route.pools
        for group in later
        for other in group
    )
