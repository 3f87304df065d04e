"""Failed plans that nobody else caused, simulated again on the state that their block left."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.records import Receipt
from keeper.domain.errors import ChainError
from keeper.domain.failure import LIED, UNTOUCHED, FailureKind, classify_failure
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
    """
    Tells a market that lies to simulations from a lost race.

    An account that was healthy on chain although nobody touched it, or a sale that brought too
    little in pools that nobody traded in, has two explanations: a price moved, or the contract
    looked at something that a simulation cannot know. A price that moved has moved for every
    simulation on the state that the block left.
    """

    chain: Chain
    simulate: Simulate

    async def judge(
        self, submission: Submission, outcomes: tuple[PlanOutcome, ...], receipt: Receipt
    ) -> tuple[PlanOutcome, ...]:
        """Return the outcomes, with ``LIED`` added to those whose call works in a simulation."""
        batch = submission.batch
        if batch is None:
            return outcomes
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                suspects = await self._find_suspects(batch, outcomes, receipt)
                if not suspects:
                    return outcomes
                working = await self._find_working(submission, batch, receipt)
        except (ChainError, TimeoutError) as error:
            log.info("no_second_look nonce=%d reason=%s", submission.nonce, error or "no answer")
            return outcomes
        liars = suspects & working
        return tuple(
            _mark(outcome) if (outcome.market, outcome.account) in liars else outcome
            for outcome in outcomes
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

    async def _find_working(
        self, submission: Submission, batch: Batch, receipt: Receipt
    ) -> set[Subject]:
        """Return the plans that work in a simulation with the surroundings assumed before."""
        attempts = [one for one in submission.attempts if one.hash == receipt.transaction_hash]
        block = await self.chain.head(receipt.block_hash)
        assumed = await self.chain.head(attempts[0].block_number) if attempts else block
        after = replace(block, miner=assumed.miner)
        drawn = await asyncio.gather(*(self.simulate([batch], after) for _ in range(DRAWS)))
        return {
            (plan.market, plan.account)
            for answers in drawn
            for answer in answers
            for plan, outcome in zip(batch.plans, answer.plans, strict=False)
            if not outcome.failure
        }


def _mark(outcome: PlanOutcome) -> PlanOutcome:
    return replace(outcome, failure=outcome.failure.removesuffix(UNTOUCHED) + LIED)
