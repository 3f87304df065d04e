"""Run of one policy along a price path, with the real rules and the real planner.

A liquidatable account not worth its gas is planned again every ``ASK_AGAIN_SECONDS``. There are no
acknowledgements, cures, competitors or reminders.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision, Skip, SkipReason
from keeper.domain.exposure import Exposure
from keeper.domain.head import Head
from keeper.domain.notice import Notice
from keeper.domain.oracle import Reading
from keeper.domain.parity import Subject
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import GWEI, WAD, Address, MarketKey, Wei
from keeper.margin.episodes import Advanced, advanced, answered, wanting
from keeper.margin.facts import BlockFacts, MarketFacts
from keeper.margin.restraint import restrained
from keeper.margin.settings import MarginSettings, OracleRules, Response, Telling
from keeper.margin.state import MarginState, Reservation, Standing
from keeper.pipeline import Decided, Planner, decided
from keeper.protocols.aave_v3.exposure import exposure_of
from keeper.protocols.aave_v3.model import Account
from keeper.protocols.aave_v3.position import Position
from keeper.protocols.aave_v3.rules import LIQUIDATION_THRESHOLD
from keeper.protocols.aave_v3.snapshot import AaveSnapshot
from keeper.rehearse.attention import Attention
from keeper.rehearse.prices import Moment
from keeper.rehearse.world import NATIVE, Narrowed, World

ASK_AGAIN_SECONDS: Final = 21_600
SAMPLE_SECONDS: Final = 3_600
NEVER: Final = -ASK_AGAIN_SECONDS

_WAITS: Final = frozenset(
    {
        SkipReason.POLICY_GRACE,
        SkipReason.SPIKE_UNCONFIRMED,
        SkipReason.ORACLE_SUSPECT,
        SkipReason.NOT_SENT,
    }
)
"""Skips that another block may end. All others mean an unprofitable account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One liquidation, with the account before it. Dollars in 1e-8."""

    moment: Moment
    account: Address
    before: Account
    profit_usd_e8: int
    bad_debt_usd_e8: int


@dataclass(slots=True, kw_only=True)
class Told:
    """Notices by block and liquidations of a run.

    ``health`` holds the 10 % quantile and the median of the debtors' health, by time.
    """

    notices: list[tuple[Moment, tuple[Notice, ...]]] = field(default_factory=list)
    health: list[tuple[int, float, float]] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    waits: int = 0
    blocks: int = 0


@dataclass(frozen=True)
class Seen:
    """The accounts evaluated in a block, each valued once, with those without debt apart."""

    market: MarketKey
    positions: Mapping[Address, Position]
    debtless: set[Subject]
    weighed: dict[Subject, Exposure] = field(default_factory=dict)

    @cached_property
    def healths(self) -> Mapping[Subject, AccountHealth]:
        """The healths of all evaluated accounts."""
        return {
            (self.market, address): AccountHealth(
                market=self.market,
                account=address,
                health_factor=one.data.health_factor,
                collateral_base=one.data.collateral,
                debt_base=one.data.debt,
                liquidatable=one.data.health_factor < LIQUIDATION_THRESHOLD,
            )
            for address, one in self.positions.items()
        }

    @cached_property
    def past(self) -> Sequence[AccountHealth]:
        """The liquidatable accounts, worst first."""
        past = [one for one in self.healths.values() if one.liquidatable]
        return sorted(past, key=lambda one: (one.health_factor, one.account))

    def exposures(self, wanted: Sequence[Subject]) -> Mapping[Subject, Exposure]:
        """Build the exposures of some accounts, each once."""
        known, weighed = self.positions, self.weighed
        for one in wanted:
            if one not in weighed and one[1] in known:
                weighed[one] = exposure_of(known[one[1]])
        return {one: weighed[one] for one in wanted if one in weighed}


@dataclass(slots=True, kw_only=True)
class Run:
    """State of a policy's run along the path."""

    settings: MarginSettings
    world: World
    planner: Planner
    told: Told = field(default_factory=Told)
    _state: MarginState = field(default_factory=MarginState)
    _standings: dict[Subject, Standing] = field(default_factory=dict)
    _numbers: dict[Subject, int] = field(default_factory=dict)
    _head: Head | None = None
    _attention: Attention = field(init=False)
    _addresses: list[Address] = field(init=False)
    _row: dict[Address, int] = field(init=False)
    _asked: NDArray[np.int64] = field(init=False)
    _liquidated: set[Subject] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._addresses = list(self.world.accounts)
        self._attention = Attention(self.settings, len(self._addresses))
        self._asked = np.full(len(self._addresses), NEVER)
        self._row = {address: row for row, address in enumerate(self._addresses)}

    async def block(self, moment: Moment) -> None:
        """Run one block as the node would. Skip a repeated block unless an account waits for it."""
        if moment.again and not self._attention.waits:
            return
        snapshot = self.world.at(moment, self._head)
        self._head = snapshot.head
        self._sample(snapshot)
        seen = self._evaluate_accounts(snapshot)
        facts = _build_facts(snapshot, seen)
        if self.settings.waits:
            self._advance(moment, seen, facts)
        past = [one for one in seen.past if self._is_due(one, moment)]
        result = await self._plan_liquidatable(snapshot, seen, facts, past)
        self._note(result.decisions, moment)
        taken = self._take(moment, snapshot, result)
        if not self.settings.waits:
            self._advance(moment, seen, facts)
        self._attention.gone(self._row[one] for one in taken)

    def _sample(self, snapshot: AaveSnapshot) -> None:
        """Record the distribution of healths for a chart."""
        self.told.blocks += 1
        last = self.told.health[-1][0] if self.told.health else 0
        if snapshot.head.timestamp - last >= SAMPLE_SECONDS:
            least = snapshot.screen.least
            tenth, half = np.quantile(least[np.isfinite(least)], (0.1, 0.5)).tolist()
            self.told.health.append((snapshot.head.timestamp, tenth, half))

    def _evaluate_accounts(self, snapshot: AaveSnapshot) -> Seen:
        """Value exactly the accounts that this block may affect."""
        least = snapshot.screen.least
        wanted = self._attention.wanted(least)
        past = (least < 1.0) & (self._asked <= snapshot.head.timestamp - ASK_AGAIN_SECONDS)
        clock, found = snapshot.clock, dict[Address, Position]()
        debtless = set[Subject]()
        for row in np.flatnonzero(wanted | past).tolist():
            address = self._addresses[row]
            position = clock.position(self.world.accounts[address])
            if position.data.debt:
                found[address] = position
            else:
                debtless.add((snapshot.market, address))
        return Seen(snapshot.market, found, debtless)

    def _is_due(self, one: AccountHealth, moment: Moment) -> bool:
        since = int(self._asked[self._row[one.account]])
        return moment.timestamp - since >= ASK_AGAIN_SECONDS

    def _advance(self, moment: Moment, seen: Seen, facts: BlockFacts) -> None:
        """Advance the evaluated accounts by a block, and collect its notices."""
        looked = set(facts.accounts) | seen.debtless
        part = self._state.of(looked)
        facts = replace(facts, exposures=seen.exposures(wanting(self.settings, part, facts)))
        found = advanced(self.settings, part, facts)
        if found.questions:
            facts = replace(facts, liquidated=frozenset(self._liquidated & set(found.questions)))
            found = answered(self.settings, part, facts, found)
        self._keep(looked, found)
        self.told.notices.append((moment, found.notices))

    def _keep(self, looked: set[Subject], found: Advanced) -> None:
        for one in looked:
            self._standings.pop(one, None)
        self._standings.update(found.state.standings)
        self._numbers.update(found.state.numbers)
        self._state = replace(found.state, standings=self._standings, numbers=self._numbers)
        known, rows = found.state.standings, self._row
        self._attention.stand({rows[one[1]]: known.get(one) for one in looked})
        self._liquidated = {one for one in self._liquidated if one in found.state.standings}

    async def _plan_liquidatable(
        self,
        snapshot: AaveSnapshot,
        seen: Seen,
        facts: BlockFacts,
        past: Sequence[AccountHealth],
    ) -> Decided:
        if not past:
            return Decided(head=snapshot.head)
        restraint = self._apply_policy(seen, facts, past)
        self.told.waits += len(restraint.waits)
        narrowed = Narrowed(
            head=snapshot.head,
            pool=snapshot.pool,
            view=snapshot.view,
            warnings=(),
            whole=snapshot,
            known=self.world.accounts,
            asked=tuple(past),
        )
        return await decided(self.planner, snapshot.head, [narrowed], restraint=restraint)

    def _apply_policy(
        self, seen: Seen, facts: BlockFacts, past: Sequence[AccountHealth]
    ) -> Restraint:
        if not self.settings.waits:
            return FREE
        accounts = {(one.market, one.account): one for one in past}
        facts = replace(facts, accounts=accounts, exposures=seen.exposures(list(accounts)))
        return restrained(self.settings, self._state, facts)

    def _note(self, decisions: Sequence[Decision], moment: Moment) -> None:
        """Note the accounts that are not worth their gas, so that they are planned later again."""
        for one in decisions:
            is_not_worth_it = isinstance(one, Skip) and one.reason not in _WAITS
            self._asked[self._row[one.account]] = moment.timestamp if is_not_worth_it else NEVER

    def _take(self, moment: Moment, snapshot: AaveSnapshot, result: Decided) -> list[Address]:
        """Apply the planned liquidations, and return their accounts."""
        native = moment.prices[NATIVE]
        reserved = list[Reservation]()
        plans = [one for batch in result.batches for one in batch.plans]
        for plan in plans:
            done = self.world.liquidated(plan, snapshot)
            subject = (plan.market, plan.account)
            self._liquidated.add(subject)
            if subject in result.losses:
                reserved.append(
                    Reservation(
                        market=plan.market,
                        account=plan.account,
                        timestamp=moment.timestamp,
                        usd_e8=result.losses[subject],
                    )
                )
            self.told.taken.append(
                Taken(
                    moment=moment,
                    account=plan.account,
                    before=done.before,
                    profit_usd_e8=plan.net_profit * native // WAD,
                    bad_debt_usd_e8=done.bad_debt_usd_e8,
                )
            )
        if reserved:
            self._state = replace(self._state, reservations=(*self._state.reservations, *reserved))
        self.world.venue.settle(plans, moment.timestamp)
        taken = [one.account for one in plans]
        self.world.keep(taken)
        return taken


def ran(run: Run, moments: Sequence[Moment]) -> Told:
    """Run a policy through all blocks."""

    async def through() -> None:
        for moment in moments:
            await run.block(moment)

    asyncio.run(through())
    return run.told


def prepared(settings: MarginSettings) -> MarginSettings:
    """Return a policy for the backtest, with one clock, without reminders and price checks."""
    return replace(
        settings,
        both_clocks=False,
        telling=Telling(remind_seconds={}, escalate_seconds={}),
        oracle=OracleRules(responses=dict.fromkeys(OracleRules().responses, Response.EXECUTE)),
    )


def _build_facts(snapshot: AaveSnapshot, seen: Seen) -> BlockFacts:
    head, market = snapshot.head, snapshot.market
    readings = tuple(
        Reading(token=token, symbol=one.symbol, price=one.price, feed=token)
        for token, one in snapshot.prices.items()
    )
    return BlockFacts(
        number=head.number,
        hash=head.hash,
        timestamp=head.timestamp,
        wall=head.timestamp,
        markets={market: MarketFacts(readings=readings, usd_per_base=(1, 1))},
        accounts=seen.healths,
    )


def gas_price(gwei: int) -> Wei:
    """Convert a gas price to wei."""
    return Wei(gwei * GWEI)
