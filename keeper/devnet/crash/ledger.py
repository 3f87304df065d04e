"""Read journal, receipts and balances of a played crash into its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keeper.audit.earnings import deals_of
from keeper.chain.abi import topic
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.crash.books import Balances, Cause, Row, with_fellows
from keeper.devnet.demo.ledger import Opening, opened_books
from keeper.devnet.demo.places import log_of, symbol_of
from keeper.devnet.market import Devnet
from keeper.domain.plan import Plan
from keeper.domain.submission import Submission
from keeper.domain.units import WAD, Timestamp
from keeper.execution.executor import decode_logs

NATIVE: Final = "WETH"
SWAP: Final = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
"""Source: Uniswap/v3-core ``IUniswapV3PoolEvents``."""

CANCELLED: Final = "cancelled"

Receipt = Mapping[str, Any]
Prices = Mapping[int, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Source of the rows. ``prices`` are the market's by block."""

    devnet: Devnet
    submissions: Sequence[Submission]
    prices: Prices

    def rows(self) -> list[Row]:
        """Build a row for each plan of each mined transaction."""
        every = [
            row
            for one in self.submissions
            for row in (self._build_nonce_rows(one) or _build_cancelled_rows(one))
        ]
        return [row for row in with_fellows(every) if row.failure != CANCELLED]

    def balances(self, opening: Opening) -> Balances:
        """Compute the balance changes since the opening, by chain and by journal."""
        now, booked = opened_books(self.devnet), dict[str, int]()
        mined = [one.inclusion for one in self.submissions if one.inclusion is not None]
        for outcome in (plan for one in mined for plan in one.plans):
            symbol = symbol_of(self.devnet, outcome.token)
            booked[symbol] = booked.get(symbol, 0) + outcome.profit
        before = opening.receiver.tokens
        changed = {s: n - before[s] for s, n in now.receiver.tokens.items() if n != before[s]}
        return Balances(
            received=changed,
            booked={symbol: units for symbol, units in booked.items() if units},
            paid_wei=opening.hot.wei - now.hot.wei,
            booked_wei=sum(one.gas_cost for one in mined),
            left_waiting=len(self.submissions) - len(mined),
        )

    def _build_nonce_rows(self, one: Submission) -> list[Row]:
        if one.inclusion is None or one.batch is None or not one.inclusion.plans:
            return []
        receipt = self.devnet.node.rpc("eth_getTransactionReceipt", [one.inclusion.hash])
        cost = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        logs = [log_of(each) for each in receipt["logs"]]
        reports = {each.index: each for each in decode_logs(logs, one.batch.executor)}
        deals = deals_of([one], lambda _: Timestamp(0))
        total = sum(deal.gas_wei for deal in deals)
        rows = []
        for index, (plan, deal) in enumerate(zip(one.batch.plans, deals, strict=True)):
            report = reports.get(index)
            worth = self._convert_to_wei(plan, 0 if report is None else report.profit, receipt)
            paid = deal.gas_wei * cost // max(total, 1)
            planned = plan.gas * plan.gas_price + plan.bid + plan.data_fee
            rows.append(
                Row(
                    account=plan.account,
                    transaction=one.inclusion.hash,
                    planned_block=one.attempts[0].block_number,
                    landed_block=one.inclusion.block_number,
                    predicted=plan.net_profit,
                    realised=worth - paid,
                    with_planned_fee=worth - planned,
                    failure=deal.failure,
                    moved=self._find_cause(plan, one, receipt, is_failed=bool(deal.failure)),
                    beside=len(deals),
                    behind=self._count_behind(one),
                )
            )
        return rows

    def _convert_to_wei(self, plan: Plan, units: int, receipt: Receipt) -> int:
        """Convert a profit to wei at its block's prices."""
        prices = self.prices[int(receipt["blockNumber"], 16)]
        symbol = symbol_of(self.devnet, plan.spend_token)
        whole = int(10 ** BY_SYMBOL[symbol].decimals)
        return units * prices[symbol] * WAD // (prices[NATIVE] * whole)

    def _count_behind(self, one: Submission) -> int:
        """Count the earlier nonces that were pending when this one was planned."""
        planned = one.attempts[0].block_number
        return sum(
            other.attempts[0].block_number < planned
            and (other.inclusion is None or other.inclusion.block_number > planned)
            for other in self.submissions
            if other.nonce < one.nonce
        )

    def _find_cause(
        self, plan: Plan, one: Submission, receipt: Receipt, *, is_failed: bool
    ) -> Cause:
        """Find the cause of a deviation between a plan's head and its place in its block."""
        planned, landed = one.attempts[0].block_number, int(receipt["blockNumber"], 16)
        before, after = self.prices[planned], self.prices[landed]
        pair = (plan.spend_token, plan.receive_token)
        symbols = {NATIVE, *(symbol_of(self.devnet, token) for token in pair)}
        # Whether an account can be liquidated, and how far, rests on all that it has.
        if any(before[symbol] != after[symbol] for symbol in (before if is_failed else symbols)):
            return Cause.PRICE
        return Cause.POOL if self._is_traded(plan, planned, receipt) else Cause.NOTHING

    def _is_traded(self, plan: Plan, planned: int, receipt: Receipt) -> bool:
        """Return whether another party traded in a plan's pools before the plan."""
        pools = sorted(set(plan.route.pools))
        if not pools:
            return False
        landed, place = (int(receipt[name], 16) for name in ("blockNumber", "transactionIndex"))
        span = {"fromBlock": hex(planned + 1), "toBlock": hex(landed)}
        wanted = {"address": pools, "topics": ["0x" + SWAP.hex()], **span}
        own = {other.inclusion.hash for other in self.submissions if other.inclusion is not None}
        return any(
            log["transactionHash"] not in own
            and (int(log["blockNumber"], 16), int(log["transactionIndex"], 16)) < (landed, place)
            for log in self.devnet.node.rpc("eth_getLogs", [wanted])
        )


def _build_cancelled_rows(one: Submission) -> list[Row]:
    """Build rows for cancelled plans, since plans behind them found more depth."""
    if one.inclusion is None or one.batch is None:
        return []
    return [
        Row(
            account=plan.account,
            transaction=one.inclusion.hash,
            planned_block=one.attempts[0].block_number,
            landed_block=one.inclusion.block_number,
            predicted=plan.net_profit,
            realised=0,
            with_planned_fee=0,
            failure=CANCELLED,
        )
        for plan in one.batch.plans
    ]
