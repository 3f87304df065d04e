"""One head in, decisions out: the order of things, and nothing of how they are done."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.abilities import BoundsBonus
from keeper.audit.inputs import Inputs
from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision, Liquidate, Skip, SkipReason
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis, Head
from keeper.domain.opportunity import FlashLender, LiquidityKey, Refusal, Window
from keeper.domain.parity import Subject
from keeper.domain.pending import PendingSale
from keeper.domain.plan import Batch, News
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import WAD, Address, MarketKey, Timestamp, TokenUnits, Wei
from keeper.domain.value import Valuation
from keeper.ports import (
    ChargesForData,
    ExitVenue,
    FeeSource,
    MarketSnapshot,
    ScreensAccounts,
    Simulator,
    Valuer,
)
from keeper.stages.exit_reads import fetch_exits
from keeper.stages.rehearsal import Rehearsal
from keeper.stages.waiting import NothingWaits, Waiting
from keeper.strategy.attempts import MAX_ROUNDS, Attempts, as_sent
from keeper.strategy.candidate import Candidate, Terms, quotable, too_small
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Costs, Policy
from keeper.strategy.ranking import sequenced

InFlight = frozenset[tuple[MarketKey, Address]]


def soonest(head: Head) -> Timestamp:
    """Return the earliest time that the next block can have."""
    return Timestamp(head.timestamp + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """
    What deciding needs from outside: where to sell, what gas costs, a dry run of the plan.

    ``expected_timestamp`` guesses the answer of ``next_timestamp``, so that other reads need not
    wait for it; a wrong guess changes nothing. ``before_simulation`` begins what sending reads,
    ``waiting`` is what was sent and not mined.
    """

    venues: Sequence[ExitVenue]
    simulators: Mapping[MarketKey, Simulator]
    fees: FeeSource
    valuer: Valuer
    policy: Policy
    gas_model: GasModel
    deadline_seconds: int
    next_timestamp: Callable[[Head], Awaitable[Timestamp]]
    expected_timestamp: Callable[[Head], Timestamp] = soonest
    before_simulation: Callable[[Head], None] = lambda _: None
    waiting: Waiting = field(default_factory=NothingWaits)

    def window(self, head: Head, next_timestamp: Timestamp) -> Window:
        """Return when a plan may land, given the time of the next block."""
        return Window(
            earliest=soonest(head), deadline=Timestamp(next_timestamp + self.deadline_seconds)
        )


@dataclass(slots=True, kw_only=True)
class Decided:
    """
    Everything decided at one head; the batches hold the plans in the order of sending.

    ``inputs`` is what was told from outside, where somebody wrote it down.
    ``losses`` is the most that plans may lose which cost more than they earn, in 1e-8 dollars.
    ``news`` is what is kept with their nonces, ``pending`` what waited for a block.
    """

    head: Head
    decisions: list[Decision] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    health: dict[tuple[MarketKey, Address], AccountHealth] = field(default_factory=dict)
    inputs: Inputs | None = None
    losses: dict[Subject, int] = field(default_factory=dict)
    news: News | None = None
    pending: Sequence[PendingSale] = ()


async def decided(
    planner: Planner,
    head: Head,
    snapshots: Sequence[MarketSnapshot],
    in_flight: InFlight = frozenset(),
    *,
    only: Address | None = None,
    restraint: Restraint = FREE,
) -> Decided:
    """
    Decide about every unhealthy account (or ``only`` one) at one head.

    Whom the ``restraint`` lets wait is skipped for its reason; the others go in its order.

    The plans are sized in sequence on frozen curves, then their transactions are
    simulated on the pinned block, which decides: a plan that fails there is sized again
    another way, one that does not pay its gas and the minimum is skipped, and the others
    are sized again without it. What is sent differs from what was simulated in nothing but
    the profits that the executor enforces: they cover the gas that was used.
    """
    result = Decided(head=head)
    unhealthy = [(one, _past_the_line(one, only)) for one in snapshots]
    if not any(accounts for _, accounts in unhealthy):
        return result
    floor = Costs(gas_price=planner.fees.floor(head), block_gas_limit=head.gas_limit)
    wanted = _Wanted(in_flight=in_flight, restraint=restraint, floor=floor)
    guess = planner.window(head, planner.expected_timestamp(head))
    answers = await _considered_at(planner, snapshots, unhealthy, guess, wanted)
    asked = _pairs(planner, answers.candidates, floor)
    if asked:
        result.pending = planner.waiting.sales(snapshots, guess)
    next_timestamp, (costs, exits) = await asyncio.gather(
        planner.next_timestamp(head), _priced(planner, asked, result, floor)
    )
    window = planner.window(head, next_timestamp)
    if window != guess:
        answers = await _considered_at(planner, snapshots, unhealthy, window, wanted)
        pairs = _pairs(planner, answers.candidates, floor)
        if not pairs or not pairs <= asked:
            costs, exits = await _priced(planner, pairs, result, floor)
    result.health.update(answers.health)
    result.decisions += answers.skips
    if answers.candidates:
        await _plan(planner, result, answers.candidates, snapshots, (costs, exits))
    result.losses = _losses(result.decisions, restraint)
    return result


@dataclass(slots=True)
class _Considered:
    """The unhealthy accounts: those that can be liquidated, and why the others cannot."""

    candidates: list[Candidate] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)
    health: dict[Subject, AccountHealth] = field(default_factory=dict)


async def _considered_at(
    planner: Planner,
    snapshots: Sequence[MarketSnapshot],
    unhealthy: Sequence[tuple[MarketSnapshot, Sequence[AccountHealth]]],
    window: Window,
    wanted: "_Wanted",
) -> _Considered:
    """Return the unhealthy accounts of every market, as they are within the window."""
    found = _Considered()
    for snapshot, accounts in unhealthy:
        if not accounts:
            continue
        found.health.update(((health.market, health.account), health) for health in accounts)
        first = [snapshot, *(other for other in snapshots if other is not snapshot)]
        for answer in await _considered(planner, first, accounts, window, wanted):
            if isinstance(answer, Skip):
                found.skips.append(answer)
            else:
                found.candidates.append(answer)
    return found


def _losses(decisions: Sequence[Decision], restraint: Restraint) -> dict[Subject, int]:
    """Return what was granted to the plans that need it: higher fees may use up all of it."""
    return {
        (one.market, one.account): restraint.subsidies[one.market, one.account]
        for one in decisions
        if isinstance(one, Liquidate) and one.plan.subsidy and one.plan.net_profit < 0
    }


def _past_the_line(snapshot: MarketSnapshot, only: Address | None) -> list[AccountHealth]:
    """Return the snapshot's unhealthy accounts, or that one of them."""
    if isinstance(snapshot, ScreensAccounts):
        found = snapshot.liquidatable()
    else:
        found = snapshot.accounts()
    return [one for one in found if one.liquidatable and only in (None, one.account)]


async def _considered(
    planner: Planner,
    snapshots: Sequence[MarketSnapshot],
    unhealthy: Sequence[AccountHealth],
    window: Window,
    wanted: "_Wanted",
) -> list[Candidate | Skip]:
    """
    Return a candidate for every account that can be liquidated, a skip for every other.

    The accounts are the first snapshot's; every market may lend to them.
    """
    snapshot = snapshots[0]
    valuation = await planner.valuer.valuation(snapshot)
    answers: list[Candidate | Skip] = []
    lenders: dict[Address, tuple[Sequence[FlashLender], Sequence[Refusal]]] = {}
    if valuation is None:
        detail = "the native coin or a dollar has no price here: set chain.native_price_feed"
        return [
            wanted.held(one) or _skip(one, SkipReason.PRICE_UNAVAILABLE, detail)
            for one in unhealthy
        ]
    terms = Terms(
        valuation=valuation,
        costs=wanted.floor,
        policy=planner.policy,
        gas_model=planner.gas_model,
    )
    bounded = snapshot if isinstance(snapshot, BoundsBonus) else None
    for health in unhealthy:
        subsidy = wanted.subsidy(health, valuation)
        left = wanted.held(health)
        if left is None and not subsidy:  # who may cost something is left for no such reason
            left = _too_small(bounded, health, window, terms)
        if left is not None:
            answers.append(left)
            continue
        opportunities, refusals = snapshot.opportunities(health.account, window)
        if not opportunities:
            first = refusals[0] if refusals else None
            reason = first.reason if first else SkipReason.NO_COLLATERAL
            answers.append(_skip(health, reason, "; ".join(one.detail for one in refusals)))
            continue
        for token in {one.spend_token for one in opportunities} - lenders.keys():
            lenders[token] = _lenders(snapshots, token)
        answers.append(
            Candidate(
                market=health.market,
                account=health.account,
                health_factor=health.health_factor,
                deadline=window.deadline,
                valuation=valuation,
                opportunities=tuple(opportunities),
                refusals=tuple(refusals),
                lenders={token: tuple(found[0]) for token, found in lenders.items()},
                lender_refusals={token: tuple(found[1]) for token, found in lenders.items()},
                rank=wanted.restraint.ranks.get((health.market, health.account), 0),
                subsidy=subsidy,
            )
        )
    return answers


def _too_small(
    snapshot: BoundsBonus | None, health: AccountHealth, window: Window, terms: Terms
) -> Skip | None:
    """Return why an account is not looked at closely: all it owes would not pay the gas."""
    if snapshot is None or not health.collateral_base:
        return None
    bound = snapshot.bonus_at_most(health, window)
    return None if bound is None else too_small(health, *bound, terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """
    What is known of a block's accounts besides the chain: our own flights, the policy.

    ``floor`` is the least that gas can cost.
    """

    in_flight: InFlight
    restraint: Restraint
    floor: Costs

    def subsidy(self, health: AccountHealth, valuation: Valuation) -> Wei:
        """Return what liquidating an account may cost in the end, rounded down."""
        usd = self.restraint.subsidies.get((health.market, health.account), 0)
        numerator, denominator = valuation.usd_per_base
        return Wei(usd * denominator * WAD // (numerator * valuation.native_price))

    def held(self, health: AccountHealth) -> Skip | None:
        """Return why an account is left alone whatever could be earned; None where it is not."""
        subject = (health.market, health.account)
        if subject in self.in_flight:
            return _skip(health, SkipReason.IN_FLIGHT, "a transaction of ours is on its way")
        wait = self.restraint.waits.get(subject)
        if wait is None:
            return None
        return _skip(health, wait.reason, wait.detail, wait.until)


def _lenders(
    snapshots: Sequence[MarketSnapshot], token: Address
) -> tuple[Sequence[FlashLender], Sequence[Refusal]]:
    """Return who in any market lends ``token``, each once, and why the others do not."""
    lenders, refusals = list[FlashLender](), list[Refusal]()
    for snapshot in snapshots:
        found, refused = snapshot.flash_lenders(token)
        lenders += [one for one in found if one not in lenders]
        refusals += refused
    return lenders, refusals


async def _plan(
    planner: Planner,
    result: Decided,
    candidates: list[Candidate],
    snapshots: Sequence[MarketSnapshot],
    priced: tuple[Costs, Exits],
) -> None:
    """Size, rank, pack and simulate the candidates; leave decisions and batches in ``result``."""
    costs, exits = priced
    liquidity: dict[LiquidityKey, TokenUnits] = {}
    for snapshot in snapshots:
        liquidity.update(snapshot.liquidity)
    rehearsal = Rehearsal(
        simulators=planner.simulators,
        gas_model=planner.gas_model,
        minimums={one.market: _minimum(planner, one) for one in candidates},
        charges=planner.fees if isinstance(planner.fees, ChargesForData) else None,
    )
    attempts, policy = Attempts(candidates), planner.policy
    decisions: list[Decision] = []
    for _ in range(MAX_ROUNDS):
        decisions = sequenced(
            attempts.candidates,
            exits,
            liquidity,
            costs=costs,
            policy=policy,
            gas_model=planner.gas_model,
            pending=result.pending,
        )
        if plans := [one.plan for one in decisions if isinstance(one, Liquidate)]:
            planner.before_simulation(result.head)
        found = await rehearsal.of(plans, policy, costs, result.head)
        result.batches = found.batches
        if found.clean:
            break
        for plan, failure in found.failed:
            attempts.failed(plan, failure)
        for skip in found.refused:
            attempts.refused(skip)
        if found.apart:
            half = max(1, policy.max_plans_per_transaction // 2)
            policy = replace(policy, max_plans_per_transaction=half)
    result.decisions = [*attempts.told(as_sent(decisions, result.batches)), *result.decisions]


def _minimum(planner: Planner, candidate: Candidate) -> Wei:
    """Return the least net profit of a plan, at the prices of the candidate's market."""
    return candidate.valuation.wei_of_usd_ceil(planner.policy.min_profit_usd_e8)


def _pairs(planner: Planner, candidates: Sequence[Candidate], floor: Costs) -> frozenset[Pair]:
    """Return what may be sold for what: nothing where no bonus would pay the least gas."""
    return frozenset(
        (opportunity.receive_token, opportunity.spend_token)
        for candidate in candidates
        for opportunity in quotable(candidate, floor, planner.policy, planner.gas_model)
    )


async def _priced(
    planner: Planner, pairs: frozenset[Pair], result: Decided, floor: Costs
) -> tuple[Costs, Exits]:
    """Return what gas costs and where pairs can be sold; the node is asked where there are any."""
    head = result.head
    if not pairs:
        unasked = replace(floor, gas_price=planner.fees.unasked(head))
        return unasked, Exits(routes={}, curves={}, lenders={})
    sold = {pair for sale in result.pending if (pair := sale.pair)}
    gas_price, exits = await asyncio.gather(
        planner.fees.gas_price(head),
        fetch_exits(planner.venues, {*pairs, *sold}, Basis(block_hash=head.hash)),
    )
    return Costs(gas_price=gas_price, block_gas_limit=head.gas_limit), exits


def _skip(
    health: AccountHealth, reason: SkipReason, detail: str, until: Timestamp | None = None
) -> Skip:
    return Skip(
        market=health.market, account=health.account, reason=reason, detail=detail, until=until
    )
