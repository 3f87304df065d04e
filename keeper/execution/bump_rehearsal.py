"""Simulation of pending transactions before they are bumped."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.errors import ChainError
from keeper.domain.head import Head
from keeper.domain.plan import Batch, Plan, SimulatedBatch
from keeper.domain.submission import AttemptKind, Submission
from keeper.domain.units import Gas
from keeper.strategy.rounds import drop_unled

log = logging.getLogger(__name__)

Rehearse = Callable[[Sequence[Submission], Head], Awaitable[Mapping[int, SimulatedBatch]]]
"""
Runs the newest bytes of pending nonces, in nonce order, on top of a block.

The result has every nonce with plans. It may raise ``ChainError``.
"""
REHEARSE_SECONDS: Final = 4.0
"""Timeout of the simulation before a bump. Other sends wait as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """Plans still expected to work by nonce, with the gas that each transaction used.

    ``gas`` is empty if nothing was simulated. ``why`` has the failure of each failing nonce.
    """

    earning: Mapping[int, Sequence[Plan]]
    gas: Mapping[int, Gas]
    why: Mapping[int, str]


async def rehearse_bumps(
    rehearse: Rehearse,
    bound: Sequence[Submission],
    earning: Mapping[int, Sequence[Plan]],
    head: Head,
) -> Rehearsed:
    """Find the plans that still work when all acting nonces in ``bound`` run in nonce order.

    If the node does not simulate, every plan is expected to work.
    """
    acting = [
        submission
        for submission in bound
        if submission.newest.kind is not AttemptKind.CANCEL
        and (submission.batch is None or earning.get(submission.nonce))
    ]
    try:
        async with asyncio.timeout(REHEARSE_SECONDS):
            found = await rehearse(acting, head)
    except (ChainError, TimeoutError) as error:
        log.warning("not_rehearsed block=%d reason=%s", head.number, error or "no answer")
        return Rehearsed(earning=earning, gas={}, why={})
    working, why = dict(earning), dict[int, str]()
    for submission in acting:
        answer, batch = found.get(submission.nonce), submission.batch
        if answer is None or batch is None:
            continue
        alive = list[Plan]()
        for plan, failure in zip(batch.plans, _list_plan_failures(batch, answer), strict=True):
            if not failure:
                alive.append(plan)
                continue
            why[submission.nonce] = failure
            log.info(
                "plan_fails nonce=%d account=%s reason=%s",
                submission.nonce,
                plan.account,
                failure,
            )
        needy = {(plan.market, plan.account) for plan in earning[submission.nonce]}
        working[submission.nonce] = [
            plan for plan in drop_unled(batch.plans, alive) if (plan.market, plan.account) in needy
        ]
    gas = {nonce: answer.gas_used for nonce, answer in found.items()}
    return Rehearsed(earning=working, gas=gas, why=why)


def _list_plan_failures(batch: Batch, answer: SimulatedBatch) -> list[str]:
    """List each plan's failure, empty for a success, or the transaction's for all plans."""
    if not answer.plans:
        return [answer.failure or "reverts"] * len(batch.plans)
    return [outcome.failure for _, outcome in zip(batch.plans, answer.plans, strict=True)]
