"""Plans of ours that wait for a block, as they change what the next plans meet."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from keeper.domain.opportunity import Outcome, Window
from keeper.domain.pending import PendingSale
from keeper.domain.plan import FundingKind, Plan
from keeper.domain.submission import Submission
from keeper.domain.units import TokenUnits
from keeper.ports import MarketSnapshot

_OWN_MONEY: Final = frozenset({FundingKind.VAULT, FundingKind.CLEARANCE})
_NOTHING: Final = TokenUnits(0)


class Waiting(Protocol):
    """Knows which plans wait for a block."""

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:
        """Return what the waiting plans will do when they land inside the window, in order."""
        ...


class NothingWaits:
    """Nobody has sent anything."""

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:  # noqa: ARG002 (the port's)
        """Return nothing."""
        return ()


@dataclass(slots=True, kw_only=True)
class BoundPlans:
    """
    The plans of every nonce that acts and that no block consumed yet, by nonce.

    ``acting`` is set once there is somebody who sends.
    """

    acting: Callable[[], Sequence[Submission]] = tuple

    def __call__(self) -> Sequence[Submission]:
        """Return the nonces."""
        return self.acting()

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:
        """Return what the plans will do, by their markets as they are now."""
        batches = (submission.batch for submission in self.acting())
        plans = (plan for batch in batches if batch is not None for plan in batch.plans)
        return _sales(plans, snapshots, window)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperPlans:
    """The plans of a dry run whose sales still count: what it would meet had it acted."""

    sold: Callable[[], Sequence[Plan]]

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:
        """Return what the plans would have done, by their markets as they are now."""
        return _sales(self.sold(), snapshots, window)


def _sales(
    plans: Iterable[Plan], snapshots: Sequence[MarketSnapshot], window: Window
) -> Sequence[PendingSale]:
    """Return the sales of the plans that a lender's money pays for."""
    by_market = {snapshot.market: snapshot for snapshot in snapshots}
    return tuple(
        _sale(plan, by_market.get(plan.market), window)
        for plan in plans
        if plan.funding.kind not in _OWN_MONEY
    )


def _sale(plan: Plan, snapshot: MarketSnapshot | None, window: Window) -> PendingSale:
    """Return what a plan will do now; as it was planned where the market says nothing of it."""
    outcome = None if snapshot is None else _outcome(plan, snapshot, window)
    swaps = plan.funding.kind is FundingKind.FLASH_SWAP
    return PendingSale(
        route=plan.route,
        received=plan.receive if outcome is None else outcome.receive,
        bought=plan.funding.amount if swaps else _NOTHING,
        drawn=() if outcome is None else outcome.drawn,
        repaid=() if outcome is None else outcome.repaid,
    )


def _outcome(plan: Plan, snapshot: MarketSnapshot, window: Window) -> Outcome | None:
    """Return what the plan's own amount does by the market as it is; None where it is refused."""
    if not (health := snapshot.account(plan.account)) or not health.liquidatable:
        return None
    pairs, _ = snapshot.opportunities(plan.account, window)
    for pair in pairs:
        if (pair.spend_token, pair.receive_token) == (plan.spend_token, plan.receive_token):
            answer = pair.outcome(plan.amount)
            return answer if isinstance(answer, Outcome) else None
    return None
