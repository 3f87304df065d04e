"""Second simulation of failed plans, on the state that their block left."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.records import Receipt
from keeper.domain.errors import ChainError
from keeper.domain.failure import (
    LIED,
    OVERTAKEN,
    UNTOUCHED,
    FailureKind,
    classify_failure,
    plain_reason,
)
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.plan import Batch, SimulatedBatch
from keeper.domain.reads import LogFilter
from keeper.domain.submission import PlanOutcome, Submission
from keeper.domain.units import Address
from keeper.execution.chain import Chain
from keeper.execution.receipts import ReadsBlockLogs

log = logging.getLogger(__name__)

Simulate = Callable[[Sequence[Batch], Head], Awaitable[Sequence[SimulatedBatch]]]
"""Runs batches one after the other on top of a block, without sending; may raise ChainError."""

DRAWS: Final = 8
"""How many simulations are compared with the chain: each has a randomness of its own."""
LOOK_SECONDS: Final = 1.0
"""How long the simulations may take: what is mined is noted after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLook:
    """Tells a market that lies to simulations, and a defect, from a race or a moved price.

    An account that was healthy on chain although nobody touched it, or a sale that brought too
    little in pools that nobody traded in, has two explanations: a price moved, or the contract
    looked at something that a simulation cannot know. A price that moved has moved for every
    simulation on the state that the block left. For the same reason a failure with any other
    reason is no defect if every such simulation fails alike: more collateral was asked for
    than a fallen price leaves, say.
    """

    chain: Chain
    simulate: Simulate

    async def judge(
        self, submission: Submission, outcomes: tuple[PlanOutcome, ...], receipt: Receipt
    ) -> tuple[PlanOutcome, ...]:
        """Add what a second simulation says of failed plans to their reasons.

        ``LIED`` is added to suspects whose call works in a simulation, ``OVERTAKEN`` to defects
        that fail alike in every simulation.
        """
        batch = submission.batch
        if batch is None:
            return outcomes
        defects = {_subject(one) for one in outcomes if _is_defect(one)}
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                suspects = await self._find_suspects(batch, outcomes, receipt)
                if not suspects | defects:
                    return outcomes
                drawn = await self._draw(submission, batch, receipt)
        except (ChainError, TimeoutError) as error:
            log.info("no_second_look nonce=%d reason=%s", submission.nonce, error or "no answer")
            return outcomes
        told = _collect_failures(batch, drawn)
        return tuple(
            _judged(one, told[_subject(one)], is_suspect=_subject(one) in suspects)
            for one in outcomes
        )

    async def _find_suspects(
        self, batch: Batch, outcomes: Sequence[PlanOutcome], receipt: Receipt
    ) -> set[Subject]:
        """Return the plans that failed without anybody else's doing."""
        suspects, moved = set[Subject](), set[Subject]()
        for outcome in outcomes:
            if outcome.failure.endswith(UNTOUCHED):
                suspects.add((outcome.market, outcome.account))
            elif outcome.failure and classify_failure(outcome.failure) is FailureKind.MOVED:
                moved.add((outcome.market, outcome.account))
        if not moved or not isinstance(self.chain, ReadsBlockLogs):
            return suspects
        pools: dict[Subject, frozenset[Address]] = {
            (plan.market, plan.account): frozenset(plan.route.pools)
            for plan in batch.plans
            if (plan.market, plan.account) in moved
        }
        wanted = tuple(sorted(frozenset[Address]().union(*pools.values())))
        if not wanted:
            return suspects | moved
        logs = await self.chain.block_logs(LogFilter(addresses=wanted), receipt.block_hash)
        traded = {log.address for log in logs if log.transaction_hash != receipt.transaction_hash}
        return suspects | {subject for subject in moved if not traded & pools[subject]}

    async def _draw(
        self, submission: Submission, batch: Batch, receipt: Receipt
    ) -> list[SimulatedBatch]:
        """Simulate the batch several times with the surroundings assumed before."""
        attempts = [one for one in submission.attempts if one.hash == receipt.transaction_hash]
        block = await self.chain.head(receipt.block_hash)
        assumed = await self.chain.head(attempts[0].block_number) if attempts else block
        after = replace(block, miner=assumed.miner)
        drawn = await asyncio.gather(*(self.simulate([batch], after) for _ in range(DRAWS)))
        return [answer for answers in drawn for answer in answers]


def _collect_failures(
    batch: Batch, drawn: Sequence[SimulatedBatch]
) -> Mapping[Subject, Sequence[str]]:
    """Collect the failures of each plan in every draw. Empty strings are successes."""
    found: dict[Subject, list[str]] = {(plan.market, plan.account): [] for plan in batch.plans}
    for answer in drawn:
        for place, plan in enumerate(batch.plans):
            ran = answer.plans[place].failure if answer.plans else answer.failure
            found[plan.market, plan.account].append(ran)
    return found


def _judged(outcome: PlanOutcome, told: Sequence[str], *, is_suspect: bool) -> PlanOutcome:
    if is_suspect and not all(told):
        return replace(outcome, failure=outcome.failure.removesuffix(UNTOUCHED) + LIED)
    if told and _is_defect(outcome) and all(_is_alike(outcome.failure, one) for one in told):
        return replace(outcome, failure=outcome.failure + OVERTAKEN)
    return outcome


def _is_alike(failure: str, told: str) -> bool:
    """Return whether two failures have the same reason, apart from its figures and its frame."""
    reason = plain_reason(failure).partition("(")[0]
    return bool(reason and told) and reason in told


def _is_defect(outcome: PlanOutcome) -> bool:
    failure = outcome.failure
    is_judged = failure.endswith((LIED, OVERTAKEN))
    return bool(failure) and not is_judged and classify_failure(failure) is FailureKind.DEFECT


def _subject(outcome: PlanOutcome) -> Subject:
    return (outcome.market, outcome.account)
