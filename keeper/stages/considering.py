"""Builds candidates from unhealthy accounts, the most promising ones first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from keeper.abilities import BoundsBonus
from keeper.domain.account import AccountHealth
from keeper.domain.decision import Skip, SkipReason
from keeper.domain.opportunity import FlashLender, Refusal, Window
from keeper.domain.parity import Subject
from keeper.domain.restraint import Restraint
from keeper.domain.units import (
    BPS,
    WAD,
    Address,
    BaseCurrency,
    Bps,
    Gas,
    MarketKey,
    Timestamp,
    Wei,
    mul_div_ceil,
)
from keeper.domain.value import Valuation
from keeper.ports import MarketSnapshot
from keeper.strategy.candidate import Candidate, Terms, bonus_wei, too_small
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Costs, Policy
from keeper.strategy.portions import LOOKAHEAD, Portion

_UNBOUNDED_BONUS: Final = Bps(1_500)
"""Assumed bonus of an account's debt without a bound of its market, for ordering only."""
_LATER: Final = "accounts that are worth more come first; it is planned with a later block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Constraints of a block's accounts besides the chain, from flights and policy.

    ``floor`` is the lowest possible gas cost.
    """

    in_flight: frozenset[Subject]
    restraint: Restraint
    floor: Costs
    policy: Policy
    gas_model: GasModel

    def subsidy(self, health: AccountHealth, valuation: Valuation) -> Wei:
        """Compute the accepted net cost of liquidating an account, rounded down."""
        usd = self.restraint.subsidies.get((health.market, health.account), 0)
        numerator, denominator = valuation.usd_per_base
        return Wei(usd * denominator * WAD // (numerator * valuation.native_price))

    def held(self, health: AccountHealth) -> Skip | None:
        """Return why an account is skipped regardless of its profit. None if it is not."""
        subject = (health.market, health.account)
        if subject in self.in_flight:
            return skip_of(
                health, SkipReason.IN_FLIGHT, "one of our transactions for it is pending"
            )
        wait = self.restraint.waits.get(subject)
        if wait is None:
            return None
        return skip_of(health, wait.reason, wait.detail, wait.until)


class Values(Protocol):
    """Valuation of a snapshot's tokens (see ``keeper.ports.Valuer``)."""

    async def valuation(self, snapshot: MarketSnapshot) -> Valuation | None:
        """Return the prices to value by. None if the native coin has no price."""
        ...


@dataclass(frozen=True, slots=True)
class _MarketTerms:
    """One market, with all snapshots starting with its own, since every market may lend."""

    snapshots: Sequence[MarketSnapshot]
    valuation: Valuation
    terms: Terms
    bounded: BoundsBonus | None
    lenders: dict[Address, tuple[Sequence[FlashLender], Sequence[Refusal]]] = field(
        default_factory=dict
    )


@dataclass(slots=True, kw_only=True)
class Unplanned:
    """Liquidatable accounts of a head that are not yet planned.

    An account's value is its market's bound until it is checked, then the most that its best pair
    can pay. Lower ranks of the policy come first, then higher values.
    """

    known: Known
    health: dict[Subject, AccountHealth] = field(default_factory=dict)
    skips: list[Skip] = field(default_factory=list)
    _markets: dict[MarketKey, _MarketTerms] = field(default_factory=dict)
    _worth: dict[Subject, tuple[int, int, int]] = field(default_factory=dict)
    _bonus_bounds: dict[Subject, tuple[Window, tuple[BaseCurrency, Gas] | None]] = field(
        default_factory=dict
    )
    _answers: dict[Subject, tuple[Window, Candidate | Skip]] = field(default_factory=dict)

    async def enter(
        self,
        snapshots: Sequence[MarketSnapshot],
        accounts: Sequence[AccountHealth],
        valuer: Values,
        window: Window,
    ) -> None:
        """Add the accounts of the first snapshot, skipping the ones on hold."""
        snapshot = snapshots[0]
        valuation = await valuer.valuation(snapshot)
        if valuation is not None:
            self._markets[snapshot.market] = _MarketTerms(
                snapshots=snapshots,
                valuation=valuation,
                terms=Terms(
                    valuation=valuation,
                    costs=self.known.floor,
                    policy=self.known.policy,
                    gas_model=self.known.gas_model,
                ),
                bounded=snapshot if isinstance(snapshot, BoundsBonus) else None,
            )
        for health in accounts:
            subject = (health.market, health.account)
            self.health[subject] = health
            held = self.known.held(health)
            if held is None and valuation is None:
                detail = (
                    "the native coin or a dollar has no price here: set chain.native_price_feed"
                )
                held = skip_of(health, SkipReason.PRICE_UNAVAILABLE, detail)
            if held is not None:
                self.skips.append(held)
            else:
                self._worth[subject] = self._compute_order_bound(health, window)

    def __len__(self) -> int:
        """Return the number of unplanned accounts."""
        return len(self._worth)

    def choose(self, size: int, window: Window) -> Portion:
        """Remove and return the most promising accounts, skipping the unsuitable ones checked."""
        looked_at = sorted(self._worth, key=self._get_order)[: size * LOOKAHEAD]
        for subject in looked_at:
            answer = self._check_account(subject, window)
            if isinstance(answer, Skip):
                self._add_skip(answer)
            else:
                later, rank, _ = self._worth[subject]
                self._worth[subject] = (later, rank, -_compute_value(answer))
        left = [subject for subject in looked_at if subject in self._worth]
        chosen = tuple(sorted(left, key=self._get_order)[:size])
        return self.take(chosen)

    def take_all(self) -> Portion:
        """Remove and return all accounts, in their order of arrival."""
        return self.take(tuple(self._worth))

    def take(self, subjects: Sequence[Subject]) -> Portion:
        """Remove and return accounts."""
        for subject in subjects:
            self._worth.pop(subject, None)
        return Portion(subjects=tuple(subjects), rest=len(self._worth))

    def put_back(self, subjects: Iterable[Subject]) -> None:
        """Add accounts again, behind all others."""
        for subject in subjects:
            self._worth[subject] = (1, 0, 0)

    def candidates(self, subjects: Sequence[Subject], window: Window) -> list[Candidate]:
        """Build the candidates of removed accounts, and skip the others."""
        answers = [
            self._check_account(subject, window) for subject in subjects if subject in self.health
        ]
        self.skips += [answer for answer in answers if isinstance(answer, Skip)]
        return [answer for answer in answers if isinstance(answer, Candidate)]

    def skip_rest(self, window: Window) -> list[Skip]:
        """Skip the remaining accounts, as unsuitable or for a later block."""
        skips = list[Skip]()
        for subject in sorted(self._worth):
            answer = self._check_account(subject, window)
            if isinstance(answer, Candidate):
                answer = skip_of(self.health[subject], SkipReason.NOT_SENT, _LATER)
            skips.append(answer)
        self._worth.clear()
        return skips

    def _add_skip(self, skip: Skip) -> None:
        self.skips.append(skip)
        del self._worth[skip.market, skip.account]

    def _get_order(self, subject: Subject) -> tuple[int, int, int, Address, MarketKey]:
        return (*self._worth[subject], subject[1], subject[0])

    def _compute_order_bound(self, health: AccountHealth, window: Window) -> tuple[int, int, int]:
        """Compute the order of an account that was not checked."""
        market, subject = self._markets[health.market], (health.market, health.account)
        bound = self._compute_bonus_bound(health, window)
        bonus = (
            BaseCurrency(mul_div_ceil(health.debt_base, _UNBOUNDED_BONUS, BPS))
            if bound is None
            else bound[0]
        )
        rank = self.known.restraint.ranks.get(subject, 0)
        return 0, rank, -bonus_wei(bonus, market.valuation)

    def _compute_bonus_bound(
        self, health: AccountHealth, window: Window
    ) -> tuple[BaseCurrency, Gas] | None:
        """Return the market's bound of an account's bonus, computed once per window."""
        bounded, subject = self._markets[health.market].bounded, (health.market, health.account)
        known = self._bonus_bounds.get(subject)
        if known is None or known[0] != window:
            bound = None if bounded is None else bounded.bonus_at_most(health, window)
            known = self._bonus_bounds[subject] = (window, bound)
        return known[1]

    def _check_account(self, subject: Subject, window: Window) -> Candidate | Skip:
        """Return an account's candidate or skip within a window, computed once."""
        answered = self._answers.get(subject)
        if answered is None or answered[0] != window:
            answer = self._build_candidate(self.health[subject], window)
            answered = self._answers[subject] = (window, answer)
        return answered[1]

    def _build_candidate(self, health: AccountHealth, window: Window) -> Candidate | Skip:
        market, subject = self._markets[health.market], (health.market, health.account)
        subsidy = self.known.subsidy(health, market.valuation)
        if not subsidy:  # an account with a subsidy is not skipped for its size
            bound = self._compute_bonus_bound(health, window) if health.collateral_base else None
            small = None if bound is None else too_small(health, *bound, market.terms)
            if small is not None:
                return small
        opportunities, refusals = market.snapshots[0].opportunities(health.account, window)
        if not opportunities:
            reason = refusals[0].reason if refusals else SkipReason.NO_COLLATERAL
            return skip_of(health, reason, "; ".join(refusal.detail for refusal in refusals))
        lenders = market.lenders
        for token in {pair.spend_token for pair in opportunities} - lenders.keys():
            lenders[token] = _list_lenders(market.snapshots, token)
        return Candidate(
            market=health.market,
            account=health.account,
            health_factor=health.health_factor,
            deadline=window.deadline,
            valuation=market.valuation,
            opportunities=tuple(opportunities),
            refusals=tuple(refusals),
            lenders={token: tuple(able) for token, (able, _) in lenders.items()},
            lender_refusals={token: tuple(unable) for token, (_, unable) in lenders.items()},
            rank=self.known.restraint.ranks.get(subject, 0),
            subsidy=subsidy,
        )


def _compute_value(candidate: Candidate) -> Wei:
    """Compute the most that a candidate's best pair can pay, before gas."""
    return max(
        bonus_wei(pair.bonus_at_most, candidate.valuation) for pair in candidate.opportunities
    )


def _list_lenders(
    snapshots: Sequence[MarketSnapshot], token: Address
) -> tuple[Sequence[FlashLender], Sequence[Refusal]]:
    """List the lenders of ``token`` in all markets, each once, and the refusals."""
    lenders, refusals = list[FlashLender](), list[Refusal]()
    for snapshot in snapshots:
        able, refused = snapshot.flash_lenders(token)
        lenders += [lender for lender in able if lender not in lenders]
        refusals += refused
    return lenders, refusals


def skip_of(
    health: AccountHealth, reason: SkipReason, detail: str, until: Timestamp | None = None
) -> Skip:
    """Build the skip of an account."""
    return Skip(
        market=health.market, account=health.account, reason=reason, detail=detail, until=until
    )
