"""Plans of ours that wait for a block, as they change what the next plans meet."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from keeper.domain.opportunity import Continues, Opportunity, Outcome, Window
from keeper.domain.parity import Subject
from keeper.domain.pending import PendingSale
from keeper.domain.plan import FundingKind, Plan
from keeper.domain.submission import Submission
from keeper.domain.units import MarketKey, TokenUnits
from keeper.ports import MarketSnapshot
from keeper.strategy.rounds import subject_of

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
    known = _Accounts(snapshots={one.market: one for one in snapshots}, window=window)
    return tuple(
        _sale(plan, known.outcome(plan)) for plan in plans if plan.funding.kind not in _OWN_MONEY
    )


def _sale(plan: Plan, outcome: Outcome | None) -> PendingSale:
    """Return what a plan will do now; as it was planned where the market says nothing of it."""
    swaps = plan.funding.kind is FundingKind.FLASH_SWAP
    return PendingSale(
        route=plan.route,
        received=plan.receive if outcome is None else outcome.receive,
        bought=plan.funding.amount if swaps else _NOTHING,
        drawn=() if outcome is None else outcome.drawn,
        repaid=() if outcome is None else outcome.repaid,
    )


@dataclass(slots=True, kw_only=True)
class _Accounts:
    """What can be done with the accounts of plans, each plan's rounds before it done."""

    snapshots: Mapping[MarketKey, MarketSnapshot]
    window: Window
    pairs: dict[Subject, Sequence[Opportunity]] = field(default_factory=dict)

    def outcome(self, plan: Plan) -> Outcome | None:
        """Return what the plan's own amount does by its market; None where it is refused."""
        subject = subject_of(plan)
        if subject not in self.pairs:
            self.pairs[subject] = self._pairs(plan)
        for pair in self.pairs[subject]:
            if (pair.spend_token, pair.receive_token) == (plan.spend_token, plan.receive_token):
                answer = pair.outcome(plan.amount)
                if not isinstance(answer, Outcome):
                    return None
                after = pair.after(plan.amount) if isinstance(pair, Continues) else None
                self.pairs[subject] = () if after is None else after.opportunities
                return answer
        return None

    def _pairs(self, plan: Plan) -> Sequence[Opportunity]:
        """Return what can be done with an account by its market as it is now."""
        snapshot = self.snapshots.get(plan.market)
        health = None if snapshot is None else snapshot.account(plan.account)
        if snapshot is None or health is None or not health.liquidatable:
            return ()
        return snapshot.opportunities(plan.account, self.window)[0]
