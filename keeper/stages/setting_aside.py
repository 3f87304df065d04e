"""Accounts whose transactions fail in every simulation, set aside for some blocks."""

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
"""Blocks for which an account is set aside after its first failure."""
DOUBLINGS: Final = 4
"""How often that time doubles before it stays as it is."""
_NO_FAULT_OF_THE_ACCOUNT: Final = ("the node does not run it", "NotEnoughGas(")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """The block of the last failed simulation, how many in a row, and the reason."""

    block: int
    times: int
    reason: str

    @property
    def until(self) -> int:
        """The block at which the account is simulated again."""
        return self.block + (FIRST_BLOCKS << min(self.times - 1, DOUBLINGS))


@dataclass(slots=True, kw_only=True)
class SetAside:
    """
    The pipeline behind the accounts that failed every way in a simulation.

    Such an account (a token that refuses the transfer, say) costs several simulations at each
    head, for which all the others wait. After the n-th failure in a row it is left alone for
    ``FIRST_BLOCKS`` times 2**(n - 1) blocks. A lost race, a market that moved, a node that did
    not run the transaction set nobody aside.
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
        """Decide about every unhealthy account at one head but those that are set aside."""
        waits = self._waits(head)
        if waits:
            restraint = replace(restraint, waits={**waits, **restraint.waits})
        result = await self.decide(head, snapshots, in_flight, restraint=restraint)
        self._note(result, waits)
        return result

    def _waits(self, head: Head) -> Mapping[Subject, Wait]:
        """Return the accounts that are left alone at a block, with the failure as the reason."""
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

    def _note(self, result: Decided, waits: Mapping[Subject, Wait]) -> None:
        """Note who failed at this head, and forget those who did not or are healthy again."""
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
    """Whether the account itself failed in a simulation, so that it will fail again soon."""
    return (
        skip.reason is SkipReason.SIMULATION_FAILED
        and classify_failure(skip.detail) is FailureKind.DEFECT
        and not any(sign in skip.detail for sign in _NO_FAULT_OF_THE_ACCOUNT)
    )
