"""EIP-1559 fees, from the next base fee to bids and replacement bids."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.head import Head
from keeper.domain.plan import Batch, DataFee, Plan
from keeper.domain.submission import Fees
from keeper.domain.units import BPS, GWEI, Bps, Gas, Wei, mul_div_ceil, mul_div_floor
from keeper.execution.data_fees import DataFees
from keeper.execution.fee_market import (
    FeeQuote,
    bound_base_fee,
    chosen_claim,
    contradiction,
    tip_bound,
)
from keeper.execution.fee_quotes import FeeHistory, HistoryQuotes, QuotesFees
from keeper.execution.signer import LOCAL_CHAINS
from keeper.strategy.gas import gas_at_most

log = logging.getLogger(__name__)

ELASTICITY_MULTIPLIER: Final = 2
BASE_FEE_MAX_CHANGE_DENOMINATOR: Final = 8

NODE_REPLACEMENT_BPS: Final = Bps(1_000)  # mutation: G8 least-rise
"""The least rise of both fees that nodes accept for a nonce (reth ``DEFAULT_PRICE_BUMP``)."""

STANDARD_CHAINS: Final = frozenset({1, 1337, 17_000, 31_337, 560_048, 11_155_111})
"""Chains whose base fee follows EIP-1559's own parameters."""
LOCAL_RISE: Final = 16
OTHER_RISE: Final = 2
"""Highest rise per block on chains with their own parameters is a quarter."""

MAX_MULTIPLE: Final = 5
"""
Of the next base fee and the usual tip: what replacements rise to by themselves.

Also of what the newest blocks paid: what the usual tip may be.
"""
PAID_FRESH_BLOCKS: Final = 8
"""Blocks for which the tips paid in a block stay valid."""

_HEADROOM: Final = Bps(20_000)
_BUMP: Final = Bps(1_250)
_MAX_FEE: Final = Wei(5_000 * GWEI)
_LEAST_TIP: Final = Wei(1)
_NOTHING: Final = Fees(max_fee=Wei(0), priority_fee=Wei(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeePolicy:
    """Bidding policy.

    ``max_fee`` is the hard cap on maxFeePerGas. Normally the profit is the cap. ``headroom_bps`` of
    the next base fee may be charged before a transaction becomes too cheap. ``percentile`` of the
    last ``history_blocks`` blocks' tips is the usual tip. ``bump_bps`` is a replacement's rise.
    Replacements rise to at most ``max_multiple`` times the market's price, and a claimed tip counts
    up to the same multiple of the tips that the newest blocks paid.
    """

    max_fee: Wei = _MAX_FEE
    headroom_bps: Bps = _HEADROOM
    min_priority_fee: Wei = _LEAST_TIP
    percentile: int = 50
    history_blocks: int = 5
    bump_bps: Bps = _BUMP
    max_multiple: int = MAX_MULTIPLE


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeMarket:
    """Next base fee and usual tip, per unit of gas."""

    base_fee: Wei
    priority_fee: Wei


def next_base_fee(*, base_fee: Wei, gas_used: Gas, gas_limit: Gas) -> Wei:
    """Compute the base fee of a block's child.

    Source: ethereum/execution-specs ``calculate_base_fee_per_gas`` (london and later).
    """
    target = gas_limit // ELASTICITY_MULTIPLIER
    if target in {0, gas_used}:
        return base_fee
    delta = base_fee * abs(gas_used - target) // target // BASE_FEE_MAX_CHANGE_DENOMINATOR
    return Wei(base_fee + max(delta, 1)) if gas_used > target else Wei(base_fee - delta)


def base_fee_rise(chain_id: int) -> int:
    """Return the highest multiple of the newest base fee that a claim of the next may be.

    It is 0 where the chain is known to follow the formula, so that no claim is needed. A local
    chain follows the formula too, unless a test sets the base fee.
    """
    if chain_id in LOCAL_CHAINS:
        return LOCAL_RISE
    return 0 if chain_id in STANDARD_CHAINS else OTHER_RISE


def least_next_base_fee(head: Head, chain_id: int) -> Wei:
    """Compute the lowest possible next base fee, by the formula or an eighth lower elsewhere."""
    if chain_id in STANDARD_CHAINS:
        return next_base_fee(
            base_fee=head.base_fee, gas_used=head.gas_used, gas_limit=head.gas_limit
        )
    return Wei(head.base_fee - head.base_fee // BASE_FEE_MAX_CHANGE_DENOMINATOR)


def plan_surplus(plan: Plan) -> Wei:
    """Compute the part of a plan's profit that may pay for gas, in wei, rounded down.

    The executor enforces a minimum profit, so an included plan earns at least that. Gas may use all
    of it except the least net profit. A subsidy may be spent in full.
    """
    if plan.gross_profit <= 0:
        return Wei(max(0, plan.subsidy - plan.data_fee))
    enforced = mul_div_floor(plan.min_profit, plan.gross_profit_wei, plan.gross_profit)
    return Wei(max(0, enforced + plan.subsidy - plan.data_fee - plan.least_net))


def plan_profit(plan: Plan) -> Wei:
    """Compute the highest gas cost of a plan without a loss, or with its subsidy as the loss."""
    return Wei(max(0, max(0, plan.gross_profit_wei) + plan.subsidy - plan.data_fee))


def fee_cap(batch: Batch, policy: FeePolicy, earning: Sequence[Plan] | None = None) -> Wei:
    """Compute the maximum fee per gas for a batch.

    At the simulated gas it leaves the minimum profit. Above the price that the plans were found to
    pay at, gas with ``GAS_MARGIN_BPS`` added still costs no more than the whole profit, and never
    more than a subsidy. ``earning`` are the plans still expected to work, all by default. The
    others only cost gas.
    """
    earning = batch.plans if earning is None else earning
    gas = sum(plan.gas for plan in batch.plans)
    surplus = sum(plan_surplus(plan) for plan in earning)
    profit = sum(plan_profit(plan) for plan in earning)
    paid = sum(plan.gas * plan.gas_price + plan.bid for plan in earning if not plan.subsidy)
    dearer = profit // max(gas_at_most(gas), 1)
    return Wei(min(policy.max_fee, surplus // max(gas, 1), max(dearer, paid // max(gas, 1))))


def market_fees(market: FeeMarket, policy: FeePolicy) -> Fees | None:
    """Compute a bid without profit behind it. None if the hard cap is too low."""
    asked = _compute_bid(market, policy)
    max_fee = min(asked.max_fee, policy.max_fee)
    if max_fee <= market.base_fee:
        return None
    return Fees(max_fee=Wei(max_fee), priority_fee=Wei(min(asked.priority_fee, max_fee)))


def opening_fees(batch: Batch, market: FeeMarket, policy: FeePolicy) -> Fees | None:
    """Compute the first bid for a batch. None if it cannot pay the next base fee.

    The tip is the usual tip, or the plans' bids on top of it. The cap leaves the minimum profit.
    """
    gas = sum(plan.gas for plan in batch.plans)
    cap = fee_cap(batch, policy)
    bid = sum(plan.bid for plan in batch.plans)
    asked = _compute_bid(market, policy, market.priority_fee + bid // max(gas, 1) if bid else 0)
    max_fee = min(asked.max_fee, cap)
    if max_fee <= market.base_fee:
        return None
    return Fees(max_fee=Wei(max_fee), priority_fee=Wei(min(asked.priority_fee, max_fee)))


def bumped(fees: Fees, cap: Wei, policy: FeePolicy, market: FeeMarket | None = None) -> Fees | None:
    """Compute fees that replace a pending transaction, both raised and rounded up.

    They rise to the present ``market`` price if that exceeds the policy's step. A rise cut short by
    ``cap`` is used if nodes still accept it. Otherwise the result is None, and the present bid
    remains the best one.
    """
    wanted, least = _raise_fees(fees, policy.bump_bps), _raise_fees(fees, NODE_REPLACEMENT_BPS)
    if least.max_fee > cap:
        return None
    asked = _NOTHING if market is None else _compute_bid(market, policy)
    max_fee = min(max(wanted.max_fee, asked.max_fee), cap)  # mutation: G8 replacement-cap
    priority = min(max(wanted.priority_fee, asked.priority_fee), max_fee)
    return Fees(max_fee=Wei(max_fee), priority_fee=Wei(priority))


def _compute_bid(market: FeeMarket, policy: FeePolicy, offered: int = 0) -> Fees:
    """Compute a bid with headroom over the market, or with the ``offered`` tip."""
    priority = max(market.priority_fee, policy.min_priority_fee, offered)
    # mutation: F17 headroom
    ceiling = mul_div_ceil(market.base_fee, policy.headroom_bps, BPS) + priority
    return Fees(max_fee=Wei(ceiling), priority_fee=Wei(priority))


def _raise_fees(fees: Fees, rise: int) -> Fees:
    return Fees(
        max_fee=Wei(mul_div_ceil(fees.max_fee, BPS + rise, BPS)),
        priority_fee=Wei(mul_div_ceil(fees.priority_fee, BPS + rise, BPS)),
    )


class FeeOracle:
    """Fee source, fetched once per block at most.

    Each endpoint's claim is bounded by the header's formula and by the tips that the newest blocks
    paid, which are read every ``PAID_FRESH_BLOCKS`` blocks. With ``saves_requests``, for modes that
    send nothing, they are read only if a claim would be implausible without evidence.
    """

    def __init__(
        self,
        source: QuotesFees | FeeHistory,
        chain_id: int,
        policy: FeePolicy,
        data: DataFees | None = None,
        *,
        saves_requests: bool = False,
    ) -> None:
        self._saves_requests = saves_requests
        self._source = source if isinstance(source, QuotesFees) else HistoryQuotes(source)
        self._chain_id = chain_id
        self.policy = policy
        self._data = data
        self._known: tuple[str, FeeMarket] | None = None
        self._paid: tuple[int, Wei] | None = None

    def floor(self, head: Head) -> Wei:
        """Compute the lowest possible price of gas in the next block, without a request."""
        return Wei(least_next_base_fee(head, self._chain_id) + self.policy.min_priority_fee)

    def unasked(self, head: Head) -> Wei:
        """Return the gas price used without a request, the floor."""
        return self.floor(head)

    async def gas_price(self, head: Head) -> Wei:
        """Return the expected price of one unit of gas in the next block, tip included."""
        market = await self.market(head)
        return Wei(market.base_fee + market.priority_fee)

    async def data_fees(self, batches: Sequence[Batch], head: Head) -> Sequence[DataFee]:
        """Return the cost of publishing each batch, zero on most chains."""
        if self._data is None:
            return [DataFee() for _ in batches]
        return await self._data.of(batches, head)

    async def market(self, head: Head) -> FeeMarket:
        """Return the next base fee and the usual tip, both within their bounds."""
        if self._known is not None and self._known[0] == head.hash:
            return self._known[1]
        quotes, paid = await self._fetch(head)
        base_fee = self._choose_base_fee(head, quotes)
        found = FeeMarket(
            base_fee=base_fee, priority_fee=self._choose_tip(head, quotes, paid, base_fee)
        )
        self._known = (head.hash, found)
        return found

    async def _fetch(self, head: Head) -> tuple[Mapping[int, FeeQuote], Wei | None]:
        """Return the endpoints' claims and the tip that was paid."""
        policy = self.policy
        asked = self._source.fetch_quotes(head, policy.history_blocks, policy.percentile)
        if not self._saves_requests:
            return await asyncio.gather(asked, self._fetch_paid(head))
        quotes = await asked
        highest = max((quote.tip or 0 for quote in quotes.values()), default=0)
        if highest <= tip_bound(None, head.base_fee, policy.max_multiple):
            return quotes, None
        return quotes, await self._fetch_paid(head)

    async def _fetch_paid(self, head: Head) -> Wei | None:
        if self._paid is not None and 0 <= head.number - self._paid[0] < PAID_FRESH_BLOCKS:
            return self._paid[1]
        paid = await self._source.fetch_paid(head, self.policy.percentile)
        self._paid = None if paid is None else (head.number, paid)
        return paid

    def _choose_base_fee(self, head: Head, quotes: Mapping[int, FeeQuote]) -> Wei:
        expected = next_base_fee(
            base_fee=head.base_fee, gas_used=head.gas_used, gas_limit=head.gas_limit
        )
        claims = {
            place: quote.base_fee for place, quote in quotes.items() if quote.base_fee is not None
        }
        claim = next(iter(claims.values()), None)
        base_fee = bound_base_fee(head, expected, claim, base_fee_rise(self._chain_id))
        if claim is not None and claim != base_fee:
            log.warning("base_fee_differs block=%d node=%d used=%d", head.number, claim, base_fee)
        return base_fee

    def _choose_tip(
        self, head: Head, quotes: Mapping[int, FeeQuote], paid: Wei | None, base_fee: Wei
    ) -> Wei:
        """Return the usual tip, at most a multiple of the tip that was paid."""
        claims = {place: quote.tip for place, quote in quotes.items() if quote.tip is not None}
        if not claims:
            return self.policy.min_priority_fee
        multiple = self.policy.max_multiple
        conflict = contradiction(claims, base_fee, multiple)
        self._source.report_conflict(conflict)
        values = list(claims.values())
        claim = chosen_claim(values, paid) if conflict else values[0]
        most = tip_bound(paid, base_fee, multiple)
        if claim > most:
            log.warning(
                "tip_bounded block=%d node=%d bound=%d paid=%s", head.number, claim, most, paid
            )
        return Wei(max(min(claim, most), self.policy.min_priority_fee))
