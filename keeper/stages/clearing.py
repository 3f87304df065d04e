"""Planner of clearings, where the vault takes over small accounts that no sale pays for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keeper.abilities import TakesClears
from keeper.domain.account import Balance
from keeper.domain.cure import ClearOrder, ClearReason, ClearRefusal
from keeper.domain.decision import Decision, Skip, SkipReason
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.plan import Batch, DataFee, FundingKind
from keeper.domain.restraint import Restraint
from keeper.domain.units import (
    BPS,
    MAX_TRANSACTION_GAS,
    WAD,
    Gas,
    Timestamp,
    TokenUnits,
    Wei,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.domain.value import Valuation
from keeper.execution import vault as language
from keeper.execution.landing import tip_within
from keeper.execution.purse import Purse
from keeper.execution.vault_simulator import Trial, VaultSimulator
from keeper.observe.events import Event, clear_event
from keeper.ports import MarketSnapshot, Valuer
from keeper.stages.curing import GAS_HEADROOM_BPS, Charges, vault_funding, vault_plan

NO_SALE_PAYS: Final = frozenset(
    {
        SkipReason.DUST,
        SkipReason.BELOW_MIN_PROFIT,
        SkipReason.GAS_TOO_EXPENSIVE,
        SkipReason.NO_EXIT_ROUTE,
        SkipReason.EXIT_TOO_SHALLOW,
        SkipReason.NO_FUNDING,
        SkipReason.FLASH_LOAN_DISABLED,
    }
)
"""Skip reasons of accounts that the vault may take over."""

INTEREST_BPS: Final = 10
"""Margin over the debt for interest until inclusion. The pool takes no more than the debt."""

DOLLARS: Final = (1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ClearCase:
    """Account with a subsidy that no competitor liquidates, at one block."""

    head: Head
    snapshot: TakesClears
    subject: Subject
    granted: int
    health_factor: int
    valuation: Valuation
    deadline: Timestamp


@dataclass(slots=True, kw_only=True)
class Clearing:
    """Builds transactions in which the vault clears accounts with a subsidy of the policy.

    The vault's loss at the market's own prices, and the gas, are paid from the subsidy.
    ``simulator`` runs them as their sender. With None the result is only reported.
    """

    purse: Purse
    simulator: VaultSimulator | None
    fees: Charges
    valuer: Valuer
    deadline_seconds: int
    emit: Callable[[Event], None]
    _last_emitted: dict[Subject, object] = field(default_factory=dict)

    async def batches(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        decisions: Sequence[Decision] | None,
        restraint: Restraint,
    ) -> list[Batch]:
        """Build a transaction for the first clearable account, and report the others' reasons.

        There is one per block, so that each is simulated after the one before. With ``decisions``
        None nothing is planned, and every account with a subsidy is reported.

        Raises:
            ChainError: the chain cannot be read.
        """
        wanted = _list_granted(decisions, restraint)
        self._last_emitted = {
            who: news for who, news in self._last_emitted.items() if who in wanted
        }
        read = {one.market: one for one in snapshots}
        for subject in wanted:
            snapshot = read.get(subject[0])
            case = None if snapshot is None else await self._build_case(head, snapshot, subject)
            if case is None:
                continue
            case = replace(case, granted=restraint.subsidies[subject])
            batch = await self._plan_case(case)
            if batch is not None:
                return [batch]
        return []

    async def _build_case(
        self, head: Head, snapshot: MarketSnapshot, subject: Subject
    ) -> _ClearCase | None:
        """Build the case. None for a market without dollar prices or without clearing."""
        valuation, health = await self.valuer.valuation(snapshot), snapshot.account(subject[1])
        if health is None or valuation is None or valuation.usd_per_base != DOLLARS:
            return None
        if not isinstance(snapshot, TakesClears):
            return None
        return _ClearCase(
            head=head,
            snapshot=snapshot,
            subject=subject,
            granted=0,
            health_factor=health.health_factor,
            valuation=valuation,
            deadline=Timestamp(head.timestamp + self.deadline_seconds),
        )

    async def _plan_case(self, case: _ClearCase) -> Batch | None:
        """Build the account's transaction, or report once why there is none."""
        why: ClearRefusal | None = None
        for order in _list_orders(case):
            made = await self._build_order_batch(case, order)
            if isinstance(made, ClearRefusal):
                why = why or made
                continue
            if made is None:
                self._emit_news(case, "would_clear", clear_event(case.head, order, "would_clear"))
                return None
            self._last_emitted.pop(case.subject, None)
            self.emit(clear_event(case.head, order, "clear", cost=Wei(-made.net_profit)))
            return made
        if why is not None:
            self._emit_news(
                case, why.reason, clear_event(case.head, why.order, "skip", refusal=why)
            )
        return None

    def _emit_news(self, case: _ClearCase, news: object, event: Event) -> None:
        if self._last_emitted.get(case.subject) != news:
            self._last_emitted[case.subject] = news
            self.emit(event)

    async def _build_order_batch(
        self, case: _ClearCase, order: ClearOrder
    ) -> Batch | ClearRefusal | None:
        """Build the order's transaction, simulated on the pinned block. None if only reported."""
        funds = (await self.purse.funds(case.head, order.account, {order.token: None}))[order.token]
        most = min(funds.balance, funds.per_transaction, funds.left_today)
        if order.amount > most:
            detail = f"{order.amount} units of {order.token} needed, {most} to be had"
            return ClearRefusal(order=order, reason=ClearReason.NO_MONEY, detail=detail)
        if self.simulator is None:
            return None
        most_lost = order.step.base_floor(case.granted)
        data = language.clear_calldata(order, most_lost, case.deadline)
        price = await self.fees.gas_price(case.head)
        tip = tip_within(price, case.head)
        trial = await self.simulator.cleared(data, case.head, tip=tip)
        if isinstance(trial, str):
            return ClearRefusal(order=order, reason=ClearReason.SIMULATION_FAILED, detail=trial)
        draft = self._build_draft(case, order, trial, price, data)
        (fee,) = await self.fees.data_fees([draft], case.head)
        made = self._limit_loss(case, order, trial, draft, fee)
        if isinstance(made, ClearRefusal):
            return made
        (answer,) = await self.simulator.simulated([made], case.head)
        if answer.failure:
            reason = ClearReason.SIMULATION_FAILED
            return ClearRefusal(order=order, reason=reason, detail=answer.failure)
        return made

    def _limit_loss(
        self, case: _ClearCase, order: ClearOrder, trial: Trial, draft: Batch, fee: DataFee
    ) -> Batch | ClearRefusal:
        """Return the transaction with the subsidy split between loss and gas, if it suffices."""
        (plan,) = draft.plans
        limit = Gas(min(draft.gas_limit + fee.gas, MAX_TRANSACTION_GAS))
        native = case.valuation.native_price
        gas = mul_div_ceil(limit * plan.gas_price + fee.fee, native, WAD)
        loss = order.step.usd_ceil(trial.loss)
        spare = case.granted - loss - gas
        if spare < 0:
            detail = (
                f"{loss} of loss and {gas} of gas at most, {case.granted} granted (1e-8 dollars)"
            )
            return ClearRefusal(order=order, reason=ClearReason.LOSS_TOO_HIGH, detail=detail)
        most = loss + spare // 2
        net = Wei(draft.net_profit - fee.fee)
        plan = replace(
            plan,
            step_gas=limit,
            data_fee=fee.fee,
            net_profit=net,
            subsidy=Wei(mul_div_floor(case.granted - most, WAD, native)),
        )
        data = language.clear_calldata(order, order.step.base_floor(most), case.deadline)
        return replace(draft, plans=(plan,), calldata=data, gas_limit=limit, net_profit=net)

    def _build_draft(
        self, case: _ClearCase, order: ClearOrder, trial: Trial, price: Wei, data: bytes
    ) -> Batch:
        """Build the transaction without a data fee, with the whole subsidy as allowed loss."""
        native = case.valuation.native_price
        loss = mul_div_ceil(order.step.usd_ceil(trial.loss), WAD, native)
        limit = Gas(min(mul_div_ceil(trial.gas, GAS_HEADROOM_BPS, BPS), MAX_TRANSACTION_GAS))
        plan = vault_plan(
            order,
            vault_funding(
                FundingKind.CLEARANCE, "cure vault, clearing", self.purse.vault, order.amount
            ),
            token=order.token,
            gas=trial.gas,
            price=price,
            health_factor=case.health_factor,
            deadline=case.deadline,
        )
        plan = replace(
            plan,
            spend=trial.spent,
            net_profit=Wei(plan.net_profit - loss),
            native_usd_e8=case.valuation.native_usd_e8,
            native_base=order.step.base_floor(native),
        )
        return Batch(
            plans=(plan,),
            executor=self.purse.vault,
            calldata=data,
            gas_limit=limit,
            deadline=case.deadline,
            net_profit=plan.net_profit,
        )


def _list_granted(decisions: Sequence[Decision] | None, restraint: Restraint) -> list[Subject]:
    """List the accounts with a subsidy that were skipped because no sale pays, in order."""
    left = [
        (one.market, one.account)
        for one in decisions or ()
        if isinstance(one, Skip) and one.reason in NO_SALE_PAYS
    ]
    who = list(restraint.subsidies) if decisions is None else left
    granted = [one for one in who if restraint.subsidies.get(one)]
    return sorted(granted, key=lambda one: (restraint.ranks.get(one, 0), one))


def _list_orders(case: _ClearCase) -> list[ClearOrder]:
    """List the possible orders to the vault, the largest debt and collateral first."""
    market, account = case.subject
    backing, debts = case.snapshot.balances(account)
    step = case.snapshot.clear_step(account)
    if step is None:
        return []
    return [
        ClearOrder(
            market=market,
            account=account,
            token=debt.token,
            amount=TokenUnits(mul_div_ceil(debt.amount, BPS + INTEREST_BPS, BPS)),
            collateral=collateral.token,
            step=step,
        )
        for debt in sorted(debts, key=_get_value, reverse=True)
        for collateral in sorted(backing, key=_get_value, reverse=True)
        if debt.token != collateral.token and debt.amount and collateral.amount
    ]


def _get_value(balance: Balance) -> int:
    return balance.value
