"""Effects of our pending plans on the next plans."""

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
    """Source of the pending plans."""

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:
        """List the effects of the pending plans if included in the window, in order."""
        ...


class NothingWaits:
    """Source for modes that send nothing."""

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:  # noqa: ARG002 (the port's)
        """Return no sales."""
        return ()


@dataclass(slots=True, kw_only=True)
class BoundPlans:
    """Plans of every acting nonce that no block has consumed yet, by nonce.

    ``acting`` is set once a submitter exists.
    """

    acting: Callable[[], Sequence[Submission]] = tuple

    def __call__(self) -> Sequence[Submission]:
        """Return the acting nonces."""
        return self.acting()

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:
        """List the effects of the plans in the present state of their markets."""
        batches = (submission.batch for submission in self.acting())
        plans = (plan for batch in batches if batch is not None for plan in batch.plans)
        return _list_sales(plans, snapshots, window)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperPlans:
    """Plans of a dry run with sales that still count."""

    sold: Callable[[], Sequence[Plan]]

    def sales(self, snapshots: Sequence[MarketSnapshot], window: Window) -> Sequence[PendingSale]:
        """List the effects that the plans would have had, in the markets' present state."""
        return _list_sales(self.sold(), snapshots, window)


def _list_sales(
    plans: Iterable[Plan], snapshots: Sequence[MarketSnapshot], window: Window
) -> Sequence[PendingSale]:
    """List the sales of the plans with external funding."""
    known = _PlannedAccounts(snapshots={one.market: one for one in snapshots}, window=window)
    return tuple(
        _build_sale(plan, known.outcome(plan))
        for plan in plans
        if plan.funding.kind not in _OWN_MONEY
    )


def _build_sale(plan: Plan, outcome: Outcome | None) -> PendingSale:
    """Build a plan's present effect, or the planned one if the market does not show it."""
    swaps = plan.funding.kind is FundingKind.FLASH_SWAP
    return PendingSale(
        route=plan.route,
        received=plan.receive if outcome is None else outcome.receive,
        bought=plan.funding.amount if swaps else _NOTHING,
        drawn=() if outcome is None else outcome.drawn,
        repaid=() if outcome is None else outcome.repaid,
    )


@dataclass(slots=True, kw_only=True)
class _PlannedAccounts:
    """Opportunities of the accounts of plans, after each plan's earlier rounds."""

    snapshots: Mapping[MarketKey, MarketSnapshot]
    window: Window
    pairs: dict[Subject, Sequence[Opportunity]] = field(default_factory=dict)

    def outcome(self, plan: Plan) -> Outcome | None:
        """Compute the plan's amounts in its market. None if it is refused."""
        subject = subject_of(plan)
        if subject not in self.pairs:
            self.pairs[subject] = self._list_opportunities(plan)
        for pair in self.pairs[subject]:
            if (pair.spend_token, pair.receive_token) == (plan.spend_token, plan.receive_token):
                answer = pair.outcome(plan.amount)
                if not isinstance(answer, Outcome):
                    return None
                after = pair.after(plan.amount) if isinstance(pair, Continues) else None
                self.pairs[subject] = () if after is None else after.opportunities
                return answer
        return None

    def _list_opportunities(self, plan: Plan) -> Sequence[Opportunity]:
        """List the opportunities of an account in its market's present state."""
        snapshot = self.snapshots.get(plan.market)
        health = None if snapshot is None else snapshot.account(plan.account)
        if snapshot is None or health is None or not health.liquidatable:
            return ()
        return snapshot.opportunities(plan.account, self.window)[0]
