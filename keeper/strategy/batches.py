"""Plans into transactions: in order, since later plans are priced on what earlier ones leave."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.plan import Plan
from keeper.domain.units import Gas, Wei
from keeper.strategy.bids import can_share_tip
from keeper.strategy.gas import GasModel, limits_of
from keeper.strategy.policy import Costs, Policy

_UNKNOWN: Final = Gas(0)
_ANY_NUMBER: Final = 1 << 30
ANY_LIMIT: Final = Gas(1 << 60)
"""What transactions may ask for where no block bounds it."""
_TAPER: Final = (8, 5)
"""How much more than an equal share of what waits the next transaction takes."""
_TIGHT: Final = 2
"""Where so many times what waits would not fit into what is left of the block, it may be full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """
    What is on its way to the chain besides the plans that are packed now.

    ``rest`` are the accounts that are still to be planned. ``transactions`` may wait for a block
    yet, and ``gas_left`` is what earlier transactions leave of the next block. A transaction takes
    about ``base_gas`` and ``plan_gas`` for each plan, 0 where nobody knows yet, and holds ``most``.
    ``is_bounded``: no more transactions are made. ``limit_left`` is what the gas limit of the next
    one may be, so that the next block takes it behind all that have left.
    """

    rest: int
    transactions: int
    gas_left: Gas
    plan_gas: Gas = _UNKNOWN
    base_gas: Gas = _UNKNOWN
    most: int = _ANY_NUMBER
    is_bounded: bool = False
    limit_left: Gas = ANY_LIMIT

    @property
    def filling(self) -> int | None:
        """How many plans what is left of the block can take; None where nobody knows."""
        if not self.plan_gas:
            return None
        return max(0, self.gas_left - self.transactions * self.base_gas) // self.plan_gas

    def plans_per_transaction(self, plans: int, usual: int) -> int:
        """
        Return how many plans the next transaction should hold, with ``plans`` at hand.

        The ``usual`` number, so that a few plans do not share one fate, while so many in each
        suffice and the next block takes them easily. Otherwise the first ones are the largest
        and the last the smallest: how much of a block stays unused is decided by the size of the
        first one that does not fit into it.
        """
        waiting, transactions = plans + self.rest, max(self.transactions, 1)
        fits = self.filling
        filling = waiting if fits is None else min(waiting, max(1, fits))
        if transactions == 1:
            return min(self.most, max(usual, filling))
        numerator, denominator = _TAPER
        share = min(self.most, filling, -(-filling * numerator // (denominator * transactions)))
        is_tight = waiting * self.plan_gas * _TIGHT > self.gas_left
        return share if is_tight or waiting > usual * transactions else usual

    def after(self, plans: int) -> "Queue":
        """Return the queue behind a transaction of so many plans."""
        gas = Gas(max(0, self.gas_left - plans * self.plan_gas - self.base_gas))
        return replace(self, transactions=self.transactions - 1, gas_left=gas)


def fit_gas(transactions: Sequence[tuple[int, int]]) -> tuple[Gas, Gas]:
    """
    Return what a transaction and each of its plans take, by the plans and gas of some.

    The first plan of a transaction finds slots cold that the others find warm. By the smallest and
    the largest transaction; where all are of one size, the plans are charged with everything.
    """
    if not transactions:
        return _UNKNOWN, _UNKNOWN
    (few, least), (many, most) = min(transactions), max(transactions)
    if many == few or not least < most:
        return _UNKNOWN, Gas(sum(gas for _, gas in transactions) // sum(n for n, _ in transactions))
    plan_gas = (most - least) // (many - few)
    return Gas(max(0, least - few * plan_gas)), Gas(max(1, plan_gas))


def packed(
    plans: Sequence[Plan],
    policy: Policy,
    costs: Costs,
    gas_model: GasModel,
    queue: Queue | None = None,
) -> list[tuple[Plan, ...]]:
    """
    Return consecutive plans grouped into transactions, in their order.

    A group holds at most ``policy.max_plans_per_transaction`` plans, so that a few plans do not
    share one fate; more where the ``queue`` says that groups of that size could not take all.
    Where a share of the profit is bid, each plan can pay alone the tip that they offer together.
    It asks for no more gas, headroom included, than policy and block allow. A plan that is too
    big for any transaction is alone in its group; sizing never makes one.
    """
    queue = queue or Queue(rest=0, transactions=policy.transactions, gas_left=costs.block_gas_limit)
    usual = policy.max_plans_per_transaction
    groups: list[tuple[Plan, ...]] = []
    group: tuple[Plan, ...] = ()
    most = queue.plans_per_transaction(len(plans), usual)
    for place, plan in enumerate(plans):
        grown = (*group, plan)
        if len(grown) > most or (group and not fits_together(grown, policy, costs, gas_model)):
            groups.append(group)
            queue, grown = queue.after(len(group)), (plan,)
            most = queue.plans_per_transaction(len(plans) - place, usual)
        group = grown
    return [*groups, group] if group else groups


def batch_net_profit(plans: Sequence[Plan]) -> Wei:
    """Return the net profit of plans that share one transaction, each with its share of gas."""
    return Wei(sum(plan.net_profit for plan in plans))


def fits_together(plans: Sequence[Plan], policy: Policy, costs: Costs, gas_model: GasModel) -> bool:
    """Whether plans can share one transaction, by their limits and by what they can bid."""
    fits = gas_model.fits(gas_model.batch_limit(limits_of(plans)), policy, costs)
    return fits and can_share_tip(plans, policy)
