"""Packs plans into transactions in order, since later plans are priced after earlier ones."""

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
"""Gas limit of transactions that no block bounds."""
_TAPER: Final = (8, 5)
"""Ratio of the next transaction's plans to an equal share of the remaining ones."""
_TIGHT: Final = 2
"""Multiple of the remaining plans' gas above which the block may become full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Load on the chain besides the plans that are packed now.

    ``rest`` counts the accounts still to be planned. ``transactions`` may still enter the queue,
    and ``gas_left`` is the next block's gas after earlier transactions. A transaction takes about
    ``base_gas`` and ``plan_gas`` for each plan, 0 if unknown, and holds at most ``most`` plans.
    With ``is_bounded`` no further transactions are made. ``limit_left`` is the next one's highest
    gas limit, so that the next block includes it after all sent ones.
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
        """Number of plans that fit into the rest of the block. None if unknown."""
        if not self.plan_gas:
            return None
        return max(0, self.gas_left - self.transactions * self.base_gas) // self.plan_gas

    def plans_per_transaction(self, plans: int, usual: int) -> int:
        """Choose the number of plans of the next transaction, with ``plans`` available.

        It is the ``usual`` number, to limit the effect of one failure, while such transactions
        suffice and the next block has room. Otherwise the first ones are the largest and the last
        the smallest, since the unused part of a block depends on the size of the first transaction
        that does not fit.
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
        """Return the load after a transaction of a number of plans."""
        gas = Gas(max(0, self.gas_left - plans * self.plan_gas - self.base_gas))
        return replace(self, transactions=self.transactions - 1, gas_left=gas)


def fit_gas(transactions: Sequence[tuple[int, int]]) -> tuple[Gas, Gas]:
    """Fit the base gas and gas per plan to (plans, gas) pairs of transactions.

    A transaction's first plan finds slots cold that later plans find warm. The fit uses the
    smallest and the largest transaction. If all have the same size, the plans are charged with all
    gas.
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
    """Group consecutive plans into transactions, in order.

    A group holds at most ``policy.max_plans_per_transaction`` plans, to limit the effect of one
    failure, or more if the ``queue`` requires it. Its gas limit, headroom included, is within the
    policy's and the block's. A plan that is too big for any transaction is alone in its group, but
    sizing never makes one.
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
    """Sum the net profits of plans that share one transaction, each with its share of gas."""
    return Wei(sum(plan.net_profit for plan in plans))


def fits_together(plans: Sequence[Plan], policy: Policy, costs: Costs, gas_model: GasModel) -> bool:
    """Return whether plans can share one transaction, by their limits and possible bids."""
    fits = gas_model.fits(gas_model.batch_limit(limits_of(plans)), policy, costs)
    return fits and can_share_tip(plans, policy)
