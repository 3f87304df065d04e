"""Second simulation of unexplained failed plans, on the state after their block."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.records import Receipt
from keeper.domain.errors import ChainError
from keeper.domain.failure import (
    BEHIND,
    LIED,
    OVERTAKEN,
    UNTOUCHED,
    FailureKind,
    classify_failure,
    is_own_refusal,
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
"""Simulates batches one after the other on a block. May raise ChainError."""

DRAWS: Final = 8
"""Number of simulations, each with its own randomness."""
LOOK_SECONDS: Final = 1.0
"""Timeout of the simulations. The receipt is noted after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondLook:
    """Distinguishes a market that detects simulations from a lost race.

    An account healthy on chain although no transaction touched it, or a sale with too little
    proceeds in pools without other trades, has two explanations. Either a price moved, or the
    contract read something that a simulation cannot reproduce. A moved price shows in every
    simulation on the state after the block.
    """

    chain: Chain
    simulate: Simulate

    async def judge(
        self, submission: Submission, outcomes: tuple[PlanOutcome, ...], receipt: Receipt
    ) -> tuple[PlanOutcome, ...]:
        """Return the outcomes, with ``LIED`` added if the call works in a simulation."""
        batch = submission.batch
        if batch is None or len(outcomes) != len(batch.plans):
            return outcomes
        outcomes = _mark_further_rounds(outcomes)
        defects = {place for place, one in enumerate(outcomes) if _is_defect(one)}
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                suspects = await self._find_suspects(batch, outcomes, receipt)
                if not suspects | defects:
                    return outcomes
                drawn = await self._draw(submission, batch, receipt)
        except (ChainError, TimeoutError) as error:
            log.info("no_second_look nonce=%d reason=%s", submission.nonce, error or "no answer")
            return outcomes
        return tuple(
            _mark_outcome(one, _list_failures_at(place, drawn), is_suspect=place in suspects)
            for place, one in enumerate(outcomes)
        )

    async def _find_suspects(
        self, batch: Batch, outcomes: Sequence[PlanOutcome], receipt: Receipt
    ) -> set[int]:
        """Return the plans that failed without another transaction as the cause."""
        suspects, moved = set[int](), set[int]()
        for place, outcome in enumerate(outcomes):
            if outcome.failure.endswith(UNTOUCHED):
                suspects.add(place)
            elif _is_moved(outcome):
                moved.add(place)
        further = _find_further_rounds(outcomes)
        suspects, moved = suspects - further, moved - further
        if not moved or not isinstance(self.chain, ReadsBlockLogs):
            return suspects
        pools = {place: frozenset(batch.plans[place].route.pools) for place in moved}
        wanted = tuple(sorted(frozenset[Address]().union(*pools.values())))
        if not wanted:
            return suspects | moved
        logs = await self.chain.block_logs(LogFilter(addresses=wanted), receipt.block_hash)
        traded = {log.address for log in logs if log.transaction_hash != receipt.transaction_hash}
        return suspects | {place for place in moved if not traded & pools[place]}

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


def _find_further_rounds(outcomes: Sequence[PlanOutcome]) -> set[int]:
    """Find the plans of accounts that an earlier plan of the transaction liquidated.

    Their first round would be the one shown by the state after their block.
    """
    worked, found = set[Subject](), set[int]()
    for place, outcome in enumerate(outcomes):
        subject = (outcome.market, outcome.account)
        if subject in worked:
            found.add(place)
        if not outcome.failure:
            worked.add(subject)
    return found


def _mark_further_rounds(outcomes: tuple[PlanOutcome, ...]) -> tuple[PlanOutcome, ...]:
    """Return the outcomes with ``BEHIND`` added to defects of accounts that were liquidated."""
    further = _find_further_rounds(outcomes)
    return tuple(
        replace(one, failure=one.failure + BEHIND) if place in further and _is_defect(one) else one
        for place, one in enumerate(outcomes)
    )


def _list_failures_at(place: int, drawn: Sequence[SimulatedBatch]) -> list[str]:
    """List the failures of the plan at a place in every draw. Empty strings are successes."""
    return [one.plans[place].failure if one.plans else one.failure for one in drawn]


def _mark_outcome(outcome: PlanOutcome, told: Sequence[str], *, is_suspect: bool) -> PlanOutcome:
    if is_suspect and not all(told):
        return replace(outcome, failure=outcome.failure.removesuffix(UNTOUCHED) + LIED)
    if not told or not _is_defect(outcome) or is_own_refusal(outcome.failure):
        return outcome
    if all(_is_alike(outcome.failure, failure) for failure in told):
        return replace(outcome, failure=outcome.failure + OVERTAKEN)
    return outcome


def _is_alike(failure: str, told: str) -> bool:
    """Return whether two failures have the same reason, apart from its figures and its frame."""
    reason = plain_reason(failure).partition("(")[0]
    return bool(reason and told) and reason in told


def _is_defect(outcome: PlanOutcome) -> bool:
    failure = outcome.failure
    is_told = failure.endswith(LIED)
    return bool(failure) and not is_told and classify_failure(failure) is FailureKind.DEFECT


def _is_moved(outcome: PlanOutcome) -> bool:
    failure = outcome.failure
    return bool(failure) and classify_failure(failure) is FailureKind.MOVED
