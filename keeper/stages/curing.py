"""Planner of cures, from listed accounts in need to affordable vault transactions."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from keeper.abilities import TakesCures
from keeper.domain.account import AccountHealth
from keeper.domain.cure import (
    ClearOrder,
    CureOrder,
    CureReason,
    CureRefusal,
    Listed,
    affordable,
)
from keeper.domain.curve import Route
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.plan import Batch, DataFee, Funding, FundingKind, Plan
from keeper.domain.units import (
    BPS,
    MAX_TRANSACTION_GAS,
    Address,
    Bps,
    Gas,
    Timestamp,
    TokenUnits,
    Wad,
    Wei,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.execution import vault as language
from keeper.execution.landing import tip_within
from keeper.execution.purse import Purse, Spent
from keeper.execution.vault_simulator import VaultSimulator
from keeper.observe.events import Event, cure_event
from keeper.parts import StandingOf
from keeper.ports import MarketSnapshot

log = logging.getLogger(__name__)

SEVERITY: Final = ("watch", "call", "urgent", "liquidatable")
GAS_HEADROOM_BPS: Final = 13_000
_NOWHERE: Final = Address("0x" + "00" * 20)
_NO_MONEY: Final = TokenUnits(0)


Learned = Callable[[Head, Sequence[MarketSnapshot], Collection[Subject]], Awaitable[None]]
"""Persists a block's state of some accounts, since a cure depends on this block's tier."""


async def nothing_learned(
    head: Head, snapshots: Sequence[MarketSnapshot], subjects: Collection[Subject]
) -> None:
    """Persist nothing."""


class Charges(Protocol):
    """Reads of the chain's charges. Each may raise ``ChainError``."""

    async def gas_price(self, head: Head) -> Wei:
        """Return the expected price of one unit of gas in the next block, tip included."""
        ...

    async def data_fees(self, batches: Sequence[Batch], head: Head) -> Sequence[DataFee]:
        """Return a rollup's fee for publishing each transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Terms of cures.

    ``max_gas`` is the highest gas cost of one cure. Afterwards the account must have its target
    less ``tolerance_bps``, at the prices of the block that includes the cure.
    """

    max_gas: Wei
    holds_seconds: int
    deadline_seconds: int
    tolerance_bps: Bps


@dataclass(frozen=True, slots=True, kw_only=True)
class _CureCase:
    """A listed account in need, at one block."""

    head: Head
    snapshot: TakesCures
    listed: Listed
    health: AccountHealth
    tier: str
    episode: int
    decimals: Mapping[Address, int]

    @property
    def subject(self) -> Subject:
        """Market and account of the case."""
        return self.health.market, self.health.account


@dataclass(slots=True, kw_only=True)
class Curing:
    """Builds transactions that cure the accounts listed by the operator.

    ``simulator`` runs them as their sender. With None the result is only reported. ``cured``
    returns whether the journal has a cure of an episode already. It is None if nothing is sent, and
    each cure is then built only once.
    """

    purse: Purse
    simulator: VaultSimulator | None
    accounts: Sequence[Listed]
    terms: Terms
    fees: Charges
    cured: Callable[[Subject, int], Awaitable[bool]] | None
    emit: Callable[[Event], None]
    learned: Learned = nothing_learned
    _last_emitted: dict[Subject, object] = field(default_factory=dict)
    _sent: dict[Subject, Wad] = field(default_factory=dict)
    _below: dict[Subject, Wad] = field(default_factory=dict)
    _built: set[tuple[Subject, int]] = field(default_factory=set)

    def needy(
        self, snapshots: Sequence[MarketSnapshot]
    ) -> list[tuple[Listed, MarketSnapshot, AccountHealth]]:
        """List the listed accounts below the target that a cure would reach."""
        found = []
        for snapshot in snapshots:
            for listed in self.accounts:
                if listed.market not in (None, snapshot.market):
                    continue
                health = snapshot.account(listed.account)
                if health is not None and not health.unpriced:
                    if health.health_factor < listed.target:
                        found.append((listed, snapshot, health))
                    else:
                        self._last_emitted.pop((health.market, health.account), None)
        return found

    def take_up(self, plans: Sequence[Plan]) -> None:
        """Restore the cures that an earlier process left in flight."""
        for plan in plans:
            if plan.is_cure:
                targets = [
                    one.target
                    for one in self.accounts
                    if one.account == plan.account and one.market in (None, plan.market)
                ]
                self._sent[plan.market, plan.account] = max(targets, default=Wad(0))

    def still_needs(self, health: AccountHealth) -> bool:
        """Return whether an in-flight cure is still needed. The vault refuses healthy accounts."""
        below = self._sent.get((health.market, health.account))
        return below is not None and health.health_factor < below

    async def batches(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: Collection[Subject],
        standing_of: StandingOf,
    ) -> list[Batch]:
        """Build a cure for every listed account in its tier, and report the others' reasons.

        Raises:
            ChainError: the chain cannot be read.
            JournalError: the journal cannot be read.
        """
        made, spent = list[Batch](), Spent()
        self._sent = {who: below for who, below in self._sent.items() if who in in_flight}
        needy = self.needy(snapshots)
        if needy:
            await self.learned(head, snapshots, [(one.market, one.account) for _, _, one in needy])
        for listed, snapshot, health in needy:
            subject = (health.market, health.account)
            standing = standing_of(subject)
            if subject in in_flight or standing is None or not isinstance(snapshot, TakesCures):
                continue
            tier, episode = standing
            if tier not in SEVERITY or SEVERITY.index(tier) < SEVERITY.index(listed.tier):
                continue
            case = _CureCase(
                head=head,
                snapshot=snapshot,
                listed=listed,
                health=health,
                tier=tier,
                episode=episode,
                decimals={one.token: one.decimals for one in snapshot.prices.values()},
            )
            batch = await self._plan_case(case, spent)
            if batch is not None:
                made.append(batch)
        return made

    async def _plan_case(self, case: _CureCase, spent: Spent) -> Batch | None:
        """Build the account's transaction, or report once why there is none."""
        order = await self._choose_order(case, spent)
        if isinstance(order, CureRefusal):
            self._emit_news(
                case, order.reason, cure_event(case.head, case.subject, case.tier, order)
            )
            return None
        spent.take(case.health.account, order.cure)
        if self.simulator is None:
            event = cure_event(case.head, case.subject, case.tier, order, action="would_cure")
            self._emit_news(case, order.cure, event)
            return None
        batch = await self._build_batch(case, order, self.simulator)
        if isinstance(batch, CureRefusal):
            self._emit_news(
                case, batch.reason, cure_event(case.head, case.subject, case.tier, batch)
            )
            return None
        self._built.add((case.subject, case.episode))
        self._sent[case.subject] = self._below[case.subject]
        self._last_emitted.pop(case.subject, None)
        cost = Wei(-batch.net_profit)
        self.emit(cure_event(case.head, case.subject, case.tier, order, gas_cost=cost))
        return batch

    async def _is_cured(self, case: _CureCase) -> bool:
        if self.cured is None:
            return (case.subject, case.episode) in self._built
        return await self.cured(case.subject, case.episode)

    def _emit_news(self, case: _CureCase, news: object, event: Event) -> None:
        if self._last_emitted.get(case.subject) != (case.episode, news):
            self._last_emitted[case.subject] = (case.episode, news)
            self.emit(event)

    async def _choose_order(self, case: _CureCase, spent: Spent) -> CureOrder | CureRefusal:
        """Choose the cheapest cure that the vault may and can pay."""
        if await self._is_cured(case):
            detail = f"it was cured in its episode {case.episode} already"
            return CureRefusal(reason=CureReason.CURED_ALREADY, detail=detail)
        moment = Timestamp(case.head.timestamp + self.terms.holds_seconds)
        account = case.health.account
        advice = case.snapshot.advice(account, case.listed.target, moment)
        if advice is None or not advice.cures:
            found = affordable(advice, {}) if advice is not None else None
            detail = found.detail if isinstance(found, CureRefusal) else "it owes nothing"
            return CureRefusal(reason=CureReason.NO_CURE, detail=detail)
        place = case.snapshot.cure_step(account, advice.cures[0]).place
        below = await self.purse.listed(case.head, place, case.health)
        if isinstance(below, CureRefusal):
            return below
        self._below[case.subject] = below
        tokens = {one.token: case.decimals.get(one.token) for one in advice.cures}
        funds = await self.purse.funds(case.head, account, tokens)
        left = {token: spent.left(one, account, token) for token, one in funds.items()}
        chosen = affordable(advice, left)
        if isinstance(chosen, CureRefusal):
            return chosen
        return CureOrder(
            market=case.health.market,
            account=account,
            tier=case.tier,
            episode=case.episode,
            target=case.listed.target,
            cure=chosen,
            step=case.snapshot.cure_step(account, chosen),
        )

    async def _build_batch(
        self, case: _CureCase, order: CureOrder, simulator: VaultSimulator
    ) -> Batch | CureRefusal:
        """Build the order's transaction, simulated on the pinned block and within its gas limit."""
        deadline = Timestamp(case.head.timestamp + self.terms.deadline_seconds)
        least = mul_div_floor(order.target, BPS - self.terms.tolerance_bps, BPS)
        data = language.cure_calldata(order, Wad(least), deadline)
        price = await self.fees.gas_price(case.head)
        gas = await simulator.tried(data, case.head, tip=tip_within(price, case.head))
        if isinstance(gas, str):
            return CureRefusal(reason=CureReason.SIMULATION_FAILED, detail=gas)
        plan = replace(self._build_plan(case, order, gas, price), deadline=deadline)
        limit = Gas(min(mul_div_ceil(gas, GAS_HEADROOM_BPS, BPS), MAX_TRANSACTION_GAS))
        batch = Batch(
            plans=(plan,),
            executor=self.purse.vault,
            calldata=data,
            gas_limit=limit,
            deadline=deadline,
            net_profit=plan.net_profit,
        )
        return await self._add_data_fee(case, batch, price)

    async def _add_data_fee(self, case: _CureCase, batch: Batch, price: Wei) -> Batch | CureRefusal:
        """Return the transaction with its data fee, if the total cost is acceptable."""
        (data,) = await self.fees.data_fees([batch], case.head)
        limit = Gas(min(batch.gas_limit + data.gas, MAX_TRANSACTION_GAS))
        if limit * price + data.fee > self.terms.max_gas:
            detail = (
                f"{limit} gas at {price} wei, and {data.fee} wei for its data, may cost more than"
                " cure.max_gas_eth"
            )
            return CureRefusal(reason=CureReason.GAS_TOO_EXPENSIVE, detail=detail)
        (plan,) = batch.plans
        net = Wei(plan.net_profit - data.fee)
        plan = replace(plan, step_gas=limit, data_fee=data.fee, net_profit=net)
        return replace(batch, plans=(plan,), gas_limit=limit, net_profit=net)

    def _build_plan(self, case: _CureCase, order: CureOrder, gas: Gas, price: Wei) -> Plan:
        cure = order.cure
        plan = vault_plan(
            order,
            vault_funding(FundingKind.VAULT, "cure vault", self.purse.vault, cure.amount),
            token=cure.token,
            gas=gas,
            price=price,
            health_factor=case.health.health_factor,
            deadline=Timestamp(case.head.timestamp),
        )
        return replace(plan, subsidy=self.terms.max_gas, episode=order.episode)


def vault_funding(kind: FundingKind, name: str, vault: Address, amount: TokenUnits) -> Funding:
    """Build the funding by the vault's own money."""
    return Funding(kind=kind, source=0, name=name, lender=vault, amount=amount, fee=_NO_MONEY)


def vault_plan(
    order: CureOrder | ClearOrder,
    funding: Funding,
    *,
    token: Address,
    gas: Gas,
    price: Wei,
    health_factor: int,
    deadline: Timestamp,
) -> Plan:
    """Build the vault's plan for an account, which spends all of the funding and earns nothing."""
    return Plan(
        market=order.market,
        account=order.account,
        spend_token=token,
        receive_token=funding.lender,
        amount=funding.amount,
        spend=funding.amount,
        receive=_NO_MONEY,
        route=Route(venue="", factory=_NOWHERE, hops=()),
        funding=funding,
        module=order.step.kind,
        step_data=order.step.data,
        gross_profit=_NO_MONEY,
        gross_profit_wei=Wei(0),
        gas=gas,
        gas_price=price,
        net_profit=Wei(-gas * price),
        min_profit=_NO_MONEY,
        health_factor=health_factor,
        deadline=deadline,
    )
