"""Read the keeper's journal and the chain into the facts that the books are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from keeper.audit.earnings import cost_shares, shared
from keeper.cli.words import decimal
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.demo.books import (
    Facts,
    LeftAlone,
    Liquidation,
    Purse,
)
from keeper.devnet.demo.places import Places, Spot, log_of, symbol_of
from keeper.devnet.demo.watch import Timeline, Watch
from keeper.devnet.market import LINE, Devnet
from keeper.domain.plan import Plan
from keeper.domain.reads import Log
from keeper.domain.submission import NonceState, PlanOutcome, Submission
from keeper.execution.executor import StepReport, decode_logs
from keeper.storage.database import read, reader
from keeper.storage.submissions import submissions_in

WAITING: Final = frozenset({"in_flight", "not_sent"})
"""Reasons that do not last: an account must not be left with one of them."""

FUNDING_WORDS: Final[Mapping[str, str]] = {
    "uniswap_v3_flash_swap": "flash swap",
    "uniswap_v3_flash": "a pool's flash loan",
    "aave_v3_flash_loan": "Aave's flash loan",
    "morpho_blue_flash_loan": "Morpho's flash loan",
    "morpho_blue_callback": "Morpho's callback",
}

_PERCENT_DIGITS: Final = 4
"""Pips are millionths: per cent with four decimals."""

Receipt = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The balances and the block that the demo began with."""

    block: int
    receiver: Purse
    executor: Purse
    hot: Purse


def opened_books(devnet: Devnet) -> Opening:
    """Return the balances at the newest block."""
    accounts = devnet.accounts
    return Opening(
        block=devnet.node.block_number(),
        receiver=_read_balances(devnet, accounts.receiver),
        executor=_read_balances(devnet, str(devnet.executor)),
        hot=_read_balances(devnet, accounts.hot),
    )


def journal(path: Path) -> list[Submission]:
    """Load every nonce that the keeper ever bound, from the journal opened read-only."""
    engine = reader(path)
    try:
        return read(engine, lambda connection: submissions_in(connection, list(NonceState)))
    finally:
        engine.dispose()


def facts(
    devnet: Devnet,
    opening: Opening,
    submissions: Sequence[Submission],
    timeline: Timeline,
    watch: Watch,
    *,
    places: Places,
    base_moved: bool = False,
) -> Facts:
    """Collect the events between ``opening`` and now, from both sides."""
    receipts = _fetch_receipts(devnet, submissions)
    liquidations, failures = _Ledger(devnet, places.kinds(), timeline, receipts).entries(
        submissions
    )
    now = opened_books(devnet)
    return Facts(
        liquidations=liquidations,
        seizures=places.seizures(opening.block),
        left_alone=_list_skipped(places, watch),
        failures=failures,
        receiver=_subtract_balances(opening.receiver, now.receiver),
        executor=_subtract_balances(opening.executor, now.executor),
        hot=_subtract_balances(opening.hot, now.hot),
        receipts={each: _compute_cost(receipt) for each, receipt in receipts.items()},
        sent=sum(len(one.attempts) for one in submissions),
        prices=devnet.prices(),
        decimals={symbol: asset.decimals for symbol, asset in BY_SYMBOL.items()},
        base_moved=base_moved,
    )


@dataclass(frozen=True, slots=True)
class _Ledger:
    """Entries from the journal, with what the chain's receipts say of them."""

    devnet: Devnet
    kinds: Mapping[Spot, str]
    timeline: Timeline
    receipts: Mapping[str, Receipt]

    def entries(
        self, submissions: Sequence[Submission]
    ) -> tuple[tuple[Liquidation, ...], tuple[str, ...]]:
        """List every successful liquidation in order, and a line for each failure."""
        done: list[Liquidation] = []
        failures: list[str] = []
        for one in submissions:
            self._add_submission(one, done, failures)
        return tuple(_add_breaches(done, self.timeline)), tuple(failures)

    def _add_submission(
        self, one: Submission, done: list[Liquidation], failures: list[str]
    ) -> None:
        if one.inclusion is None:
            failures.append(f"nonce {one.nonce} was never mined")
            return
        receipt = self.receipts.get(one.inclusion.hash)
        if receipt is None or int(receipt["status"], 16) == 0:
            failures.append(f"transaction {one.inclusion.hash} reverted or is not on the chain")
            return
        if one.batch is None:
            return
        worked: list[tuple[Plan, PlanOutcome, StepReport]] = []
        reports = {
            each.index: each for each in decode_logs(_convert_logs(receipt), one.batch.executor)
        }
        for index, outcome in enumerate(one.inclusion.plans):
            report = reports.get(index)
            if outcome.failure or report is None:
                failures.append(f"{outcome.account}: {outcome.failure or 'not in the receipt'}")
            else:
                worked.append((one.batch.plans[index], outcome, report))
        shares = shared([plan.gas for plan, _, _ in worked], int(receipt["gasUsed"], 16))
        costs = cost_shares([plan for plan, _, _ in worked], _compute_cost(receipt))
        done += [
            self._build_liquidation(one, receipt, *entry, gas=gas, gas_cost=cost)
            for entry, gas, cost in zip(worked, shares, costs, strict=True)
        ]

    def _build_liquidation(
        self,
        submission: Submission,
        receipt: Receipt,
        plan: Plan,
        outcome: PlanOutcome,
        report: StepReport,
        *,
        gas: int,
        gas_cost: int,
    ) -> Liquidation:
        block, spot = int(receipt["blockNumber"], 16), (plan.market, plan.account)
        return Liquidation(
            market=plan.market,
            account=plan.account,
            kind=self.kinds.get(spot, "unknown"),
            transaction=str(receipt["transactionHash"]),
            block=block,
            planned_block=submission.attempts[0].block_number,
            breach_block=None,
            health_before=self.timeline.health(spot, block - 1),
            health_after=self.timeline.health(spot, block),
            spent_token=symbol_of(self.devnet, plan.spend_token),
            spent=report.spent,
            received_token=symbol_of(self.devnet, plan.receive_token),
            received=report.received,
            route=_route(self.devnet, plan),
            funding=funding_words(plan.funding.name),
            profit=outcome.profit,
            gas=gas,
            gas_cost=gas_cost,
            predicted_wei=plan.net_profit,
            realised_wei=outcome.profit_wei - gas_cost,
        )


def funding_words(name: str) -> str:
    """Format a kind of funding, an unknown one by its name."""
    return FUNDING_WORDS.get(name, name.replace("_", " "))


def _add_breaches(done: Sequence[Liquidation], timeline: Timeline) -> list[Liquidation]:
    """Add the first possible block of each, its breach or an earlier block's liquidation of it."""
    blocks: dict[Spot, list[int]] = {}
    result = []
    for liquidation in sorted(done, key=attrgetter("block")):
        breach = timeline.breach(liquidation.spot, liquidation.block)
        earlier = [b for b in blocks.get(liquidation.spot, ()) if b < liquidation.block]
        if breach is not None:
            breach = max(breach, *earlier) if earlier else breach
        blocks.setdefault(liquidation.spot, []).append(liquidation.block)
        result.append(replace(liquidation, breach_block=breach))
    return result


def _route(devnet: Devnet, plan: Plan) -> str:
    if not plan.route.hops:
        return "same asset, no swap"
    text = symbol_of(devnet, plan.receive_token)
    for hop in plan.route.hops:
        percent = decimal(hop.fee, _PERCENT_DIGITS)
        text += f" -{percent}%-> {symbol_of(devnet, hop.token_out)}"
    return text


def _list_skipped(places: Places, watch: Watch) -> tuple[LeftAlone, ...]:
    """List the accounts unhealthy at the keeper's last reported block, the worst first."""
    kinds = places.kinds()
    health = places.health_factors(watch.block)
    return tuple(
        _build_skipped(spot, kinds[spot], value, watch)
        for value, spot in sorted((value, spot) for spot, value in health.items())
        if value < LINE
    )


def _build_skipped(spot: Spot, kind: str, health: int, watch: Watch) -> LeftAlone:
    told = watch.decisions.get(spot)
    given = told is not None and told["action"] == "skip" and told["reason"] not in WAITING
    return LeftAlone(
        market=spot[0],
        account=spot[1],
        kind=kind,
        health=health,
        reason=str(told["reason"]) if told is not None and given else None,
        detail=str(told["detail"]) if told is not None and given else "",
    )


def _fetch_receipts(devnet: Devnet, submissions: Sequence[Submission]) -> dict[str, Receipt]:
    hashes = [attempt.hash for one in submissions for attempt in one.attempts]
    answers = devnet.node.batch([("eth_getTransactionReceipt", [each]) for each in hashes])
    return {each: answer for each, answer in zip(hashes, answers, strict=True) if answer}


def _compute_cost(receipt: Receipt) -> int:
    return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


def _convert_logs(receipt: Receipt) -> list[Log]:
    return [log_of(each) for each in receipt["logs"]]


def _read_balances(devnet: Devnet, account: str) -> Purse:
    return Purse(
        tokens={symbol: devnet.token(symbol, account) for symbol in devnet.tokens},
        wei=devnet.node.balance(account),
    )


def _subtract_balances(before: Purse, after: Purse) -> Purse:
    return Purse(
        tokens={symbol: after.tokens[symbol] - units for symbol, units in before.tokens.items()},
        wei=after.wei - before.wei,
    )
