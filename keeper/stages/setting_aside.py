"""Quarantine of accounts with transactions that fail in every simulation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keeper.domain.decision import Skip, SkipReason
from keeper.domain.failure import FailureKind, classify_failure
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.restraint import FREE, Restraint, Wait
from keeper.pipeline import Decided, InFlight
from keeper.ports import MarketSnapshot
from keeper.stages.resting import Restrained

FIRST_BLOCKS: Final = 4
"""Blocks of an account's quarantine after its first failure."""
DOUBLINGS: Final = 4
"""How often the quarantine doubles at most."""
_NO_FAULT_OF_THE_ACCOUNT: Final = ("the node does not run it", "NotEnoughGas(")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Last failed simulation with its block, the count in a row, and the reason."""

    block: int
    times: int
    reason: str

    @property
    def until(self) -> int:
        """Block at which the account is simulated again."""
        return self.block + (FIRST_BLOCKS << min(self.times - 1, DOUBLINGS))


@dataclass(slots=True, kw_only=True)
class SetAside:
    """Planning without the accounts that failed with every option in a simulation.

    Such an account, for example one with a token that refuses the transfer, costs several
    simulations per head, which delay all others. After the n-th failure in a row it is skipped for
    ``FIRST_BLOCKS`` times 2**(n - 1) blocks. A lost race, a market move or a node that did not run
    the transaction causes no quarantine.
    """

    decide: Restrained
    _failures: dict[Subject, _Failure] = field(default_factory=dict)

    async def __call__(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight = frozenset(),
        *,
        restraint: Restraint = FREE,
    ) -> Decided:
        """Plan all unhealthy accounts at one head except the quarantined ones."""
        waits = self._list_waits(head)
        if waits:
            restraint = replace(restraint, waits={**waits, **restraint.waits})
        result = await self.decide(head, snapshots, in_flight, restraint=restraint)
        self._note_failures(result, waits)
        return result

    def _list_waits(self, head: Head) -> Mapping[Subject, Wait]:
        """Return the quarantined accounts at a block, with the failure as the reason."""
        return {
            subject: Wait(
                reason=SkipReason.SIMULATION_FAILED,
                detail=f"{failure.reason}; seen in block {failure.block}, {failure.times} in a row:"
                f" simulated again from block {failure.until}",
                until_block=failure.until,
            )
            for subject, failure in self._failures.items()
            if head.number < failure.until
        }

    def _note_failures(self, result: Decided, waits: Mapping[Subject, Wait]) -> None:
        """Note the accounts that failed at this head, and forget all others."""
        failed: dict[Subject, _Failure] = {}
        for decision in result.decisions:
            subject = (decision.market, decision.account)
            before = self._failures.get(subject)
            if subject in waits and before is not None:
                failed[subject] = before
            elif isinstance(decision, Skip) and _is_lasting(decision):
                failed[subject] = _Failure(
                    block=result.head.number,
                    times=1 if before is None else before.times + 1,
                    reason=decision.detail,
                )
        self._failures = failed


def _is_lasting(skip: Skip) -> bool:
    """Return whether the account itself failed in a simulation, so that it will fail again."""
    return (
        skip.reason is SkipReason.SIMULATION_FAILED
        and classify_failure(skip.detail) is FailureKind.DEFECT
        and not any(sign in skip.detail for sign in _NO_FAULT_OF_THE_ACCOUNT)
    )
