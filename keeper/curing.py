"""The stage of cures: who of those listed is in need, what would cure them, and is it paid."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from keeper.abilities import TakesCures
from keeper.config.curing import CureLimit
from keeper.domain.account import AccountHealth
from keeper.domain.advice import Advice, Cure
from keeper.domain.cure import (
    CureOrder,
    CureReason,
    CureRefusal,
    Funds,
    Listed,
    affordable,
)
from keeper.domain.curve import Route
from keeper.domain.head import Basis, Head
from keeper.domain.parity import Subject
from keeper.domain.plan import Batch, DataFee, Funding, FundingKind, Plan
from keeper.domain.reads import Call, CallResult
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
from keeper.execution.vault_simulator import VaultSimulator
from keeper.node import StandingOf
from keeper.observe.events import Event, cure_event
from keeper.ports import MarketSnapshot

log = logging.getLogger(__name__)

SEVERITY: Final = ("watch", "call", "urgent", "liquidatable")
GAS_HEADROOM_BPS: Final = 13_000
_NOWHERE: Final = Address("0x" + "00" * 20)
_NO_MONEY: Final = TokenUnits(0)


class VaultChain(Protocol):
    """The read of a vault; it may raise ``ChainError``."""

    async def aggregate(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read all the calls at one block."""
        ...


class Charges(Protocol):
    """What the chain takes; each may raise ``ChainError``."""

    async def gas_price(self, head: Head) -> Wei:
        """Return the expected price of one unit of gas in the next block, tip included."""
        ...

    async def data_fees(self, batches: Sequence[Batch], head: Head) -> Sequence[DataFee]:
        """Return what a rollup takes for publishing each transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    How cures are made.

    ``max_gas`` is the most that the gas of one may cost. The account must have its target less
    ``tolerance_bps`` afterwards, by the prices of the block that it is cured in.
    """

    max_gas: Wei
    holds_seconds: int
    deadline_seconds: int
    tolerance_bps: Bps
    limit_of: Callable[[Address], CureLimit | None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
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
        """Whom it is about."""
        return self.health.market, self.health.account


@dataclass(slots=True)
class _Spent:
    """What the cures of this block take already, of a token and for an account."""

    tokens: dict[Address, int] = field(default_factory=dict)
    accounts: dict[tuple[Address, Address], int] = field(default_factory=dict)

    def left(self, funds: Funds, account: Address, token: Address) -> Funds:
        gone, own = self.tokens.get(token, 0), self.accounts.get((account, token), 0)
        return replace(
            funds,
            balance=TokenUnits(max(0, funds.balance - gone)),
            left_today=TokenUnits(max(0, funds.left_today - gone)),
            left_for_account=TokenUnits(max(0, funds.left_for_account - own)),
        )

    def take(self, account: Address, cure: Cure) -> None:
        self.tokens[cure.token] = self.tokens.get(cure.token, 0) + cure.amount
        key = (account, cure.token)
        self.accounts[key] = self.accounts.get(key, 0) + cure.amount


@dataclass(slots=True, kw_only=True)
class Curing:
    """
    Makes the transactions that cure whom the operator lists.

    ``simulator`` runs them as who would send them; None tells what would be done, and makes none.
    ``cured`` says whether the journal has a cure of an episode already; None where nothing is
    sent, and what was made once is not made again.
    """

    chain: VaultChain
    vault: Address
    simulator: VaultSimulator | None
    accounts: Sequence[Listed]
    terms: Terms
    fees: Charges
    cured: Callable[[Subject, int], Awaitable[bool]] | None
    emit: Callable[[Event], None]
    _told: dict[Subject, object] = field(default_factory=dict)
    _sent: dict[Subject, Wad] = field(default_factory=dict)
    _below: dict[Subject, Wad] = field(default_factory=dict)
    _made: set[tuple[Subject, int]] = field(default_factory=set)

    def needy(
        self, snapshots: Sequence[MarketSnapshot]
    ) -> list[tuple[Listed, MarketSnapshot, AccountHealth]]:
        """Return who of those listed is below the target that a cure would bring."""
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
                        self._told.pop((health.market, health.account), None)
        return found

    def take_up(self, plans: Sequence[Plan]) -> None:
        """Remember the cures that an earlier process left on their way."""
        for plan in plans:
            if plan.is_cure:
                targets = [
                    one.target
                    for one in self.accounts
                    if one.account == plan.account and one.market in (None, plan.market)
                ]
                self._sent[plan.market, plan.account] = max(targets, default=Wad(0))

    def still_needs(self, health: AccountHealth) -> bool:
        """Whether a cure on its way still is one: the vault refuses who is well again."""
        below = self._sent.get((health.market, health.account))
        return below is not None and health.health_factor < below

    async def batches(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: Collection[Subject],
        standing_of: StandingOf,
    ) -> list[Batch]:
        """
        Return a transaction for everybody who reached his tier and can be cured; tell the rest.

        Raises:
            ChainError: the chain cannot be read.
            JournalError: the journal cannot be asked.
        """
        made, spent = list[Batch](), _Spent()
        self._sent = {who: below for who, below in self._sent.items() if who in in_flight}
        for listed, snapshot, health in self.needy(snapshots):
            subject = (health.market, health.account)
            standing = standing_of(subject)
            if subject in in_flight or standing is None or not isinstance(snapshot, TakesCures):
                continue
            tier, episode = standing
            if tier not in SEVERITY or SEVERITY.index(tier) < SEVERITY.index(listed.tier):
                continue
            case = _Case(
                head=head,
                snapshot=snapshot,
                listed=listed,
                health=health,
                tier=tier,
                episode=episode,
                decimals={one.token: one.decimals for one in snapshot.prices.values()},
            )
            batch = await self._answer(case, spent)
            if batch is not None:
                made.append(batch)
        return made

    async def _answer(self, case: _Case, spent: _Spent) -> Batch | None:
        """Return the account's transaction, or tell why there is none; a news is told once."""
        order = await self._order(case, spent)
        if isinstance(order, CureRefusal):
            self._tell(case, order.reason, cure_event(case.head, case.subject, case.tier, order))
            return None
        spent.take(case.health.account, order.cure)
        if self.simulator is None:
            event = cure_event(case.head, case.subject, case.tier, order, action="would_cure")
            self._tell(case, order.cure, event)
            return None
        batch = await self._batch(case, order, self.simulator)
        if isinstance(batch, CureRefusal):
            self._tell(case, batch.reason, cure_event(case.head, case.subject, case.tier, batch))
            return None
        self._made.add((case.subject, case.episode))
        self._sent[case.subject] = self._below[case.subject]
        self._told.pop(case.subject, None)
        cost = Wei(-batch.net_profit)
        self.emit(cure_event(case.head, case.subject, case.tier, order, gas_cost=cost))
        return batch

    async def _is_cured(self, case: _Case) -> bool:
        if self.cured is None:
            return (case.subject, case.episode) in self._made
        return await self.cured(case.subject, case.episode)

    def _tell(self, case: _Case, news: object, event: Event) -> None:
        if self._told.get(case.subject) != (case.episode, news):
            self._told[case.subject] = (case.episode, news)
            self.emit(event)

    async def _order(self, case: _Case, spent: _Spent) -> CureOrder | CureRefusal:
        """Return the cheapest cure that the vault may and can pay."""
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
        funds, refusal = await self._funds(case, advice, spent)
        chosen = refusal or affordable(advice, funds)
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

    async def _funds(
        self, case: _Case, advice: Advice, spent: _Spent
    ) -> tuple[dict[Address, Funds], CureRefusal | None]:
        """Return what there is of each token, if the vault has the account on its list."""
        account, tokens = case.health.account, list({one.token: None for one in advice.cures})
        place = case.snapshot.cure_step(account, advice.cures[0]).place
        calls = [language.listing_call(self.vault, place, account)]
        for token in tokens:
            calls += language.funds_calls(self.vault, account, token)
        answers = await self.chain.aggregate(calls, Basis(block_hash=case.head.hash))
        below, least = language.listing_of(answers[0])
        self._below[case.subject] = below
        if not least or case.health.health_factor >= below:
            detail = (
                f"the vault cures it below a health factor of {below} (1e18 = 1) only"
                if least
                else f"the vault's owner has not listed it: setListing(0x{place.hex()}, {account})"
            )
            return {}, CureRefusal(reason=CureReason.NOT_LISTED, detail=detail)
        found, size = dict[Address, Funds](), language.FUNDS_CALLS
        for at, token in enumerate(tokens):
            chunk = answers[1 + at * size : 1 + (at + 1) * size]
            limited = self._limited(language.funds_of(chunk), token, case.decimals)
            found[token] = spent.left(limited, account, token)
        return found, None

    def _limited(self, funds: Funds, token: Address, decimals: Mapping[Address, int]) -> Funds:
        """Return the funds within the settings' limits, too; a day's are the vault's to count."""
        limit = self.terms.limit_of(token)
        if limit is None or token not in decimals:
            return funds
        unit = 10 ** decimals[token]
        return replace(
            funds,
            per_transaction=TokenUnits(
                min(funds.per_transaction, int(limit.per_transaction * unit))
            ),
            left_for_account=TokenUnits(min(funds.left_for_account, int(limit.per_account * unit))),
        )

    async def _batch(
        self, case: _Case, order: CureOrder, simulator: VaultSimulator
    ) -> Batch | CureRefusal:
        """Return the order's transaction, run on the pinned block and found worth its gas."""
        deadline = Timestamp(case.head.timestamp + self.terms.deadline_seconds)
        least = mul_div_floor(order.target, BPS - self.terms.tolerance_bps, BPS)
        data = language.cure_calldata(order, Wad(least), deadline)
        gas = await simulator.tried(data, case.head)
        if isinstance(gas, str):
            return CureRefusal(reason=CureReason.SIMULATION_FAILED, detail=gas)
        price = await self.fees.gas_price(case.head)
        plan = replace(self._plan(case, order, gas, price), deadline=deadline)
        limit = Gas(min(mul_div_ceil(gas, GAS_HEADROOM_BPS, BPS), MAX_TRANSACTION_GAS))
        batch = Batch(
            plans=(plan,),
            executor=self.vault,
            calldata=data,
            gas_limit=limit,
            deadline=deadline,
            net_profit=plan.net_profit,
        )
        return await self._charged(case, batch, price)

    async def _charged(self, case: _Case, batch: Batch, price: Wei) -> Batch | CureRefusal:
        """Return the transaction with what publishing it costs, if all of it is worth it."""
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

    def _plan(self, case: _Case, order: CureOrder, gas: Gas, price: Wei) -> Plan:
        cure = order.cure
        return Plan(
            market=order.market,
            account=order.account,
            spend_token=cure.token,
            receive_token=self.vault,
            amount=cure.amount,
            spend=cure.amount,
            receive=_NO_MONEY,
            route=Route(venue="", factory=_NOWHERE, hops=()),
            funding=Funding(
                kind=FundingKind.VAULT,
                source=0,
                name="cure vault",
                lender=self.vault,
                amount=cure.amount,
                fee=_NO_MONEY,
            ),
            module=order.step.kind,
            step_data=order.step.data,
            gross_profit=_NO_MONEY,
            gross_profit_wei=Wei(0),
            gas=gas,
            gas_price=price,
            net_profit=Wei(-gas * price),
            min_profit=_NO_MONEY,
            health_factor=case.health.health_factor,
            deadline=Timestamp(case.head.timestamp),
            subsidy=self.terms.max_gas,
            episode=order.episode,
        )
