"""Earnings and costs of mined transactions by plan, with sums. Pure.

A transaction's cost is divided among its plans, to the wei. Each plan pays its own bid, and its
part of the rest by gas. The shares add up to the amount paid. A failed plan keeps its share as the
cost of a lost race.
"""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from keeper.domain.failure import FailureKind, classify_failure
from keeper.domain.plan import Plan
from keeper.domain.submission import Attempt, AttemptKind, Submission
from keeper.domain.units import WAD, Address, MarketKey, Timestamp, TokenUnits, Wei

_NOTHING: Final = Wei(0)
_NO_UNITS: Final = TokenUnits(0)

WHOLE: Final = "all"
NOBODYS: Final = "-"
"""The market or token of a row without one, such as a cancelled nonce."""


class Deed(enum.StrEnum):
    """Purposes of a plan, or of a transaction without one."""

    LIQUIDATION = "liquidation"
    CLEARING = "clearing"
    CURE = "cure"
    OTHER = "other"


class Group(enum.StrEnum):
    """Groupings of rows."""

    DAY = "day"
    TOKEN = "token"  # noqa: S105 - what was earned
    MARKET = "market"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """Earnings of one plan of a mined transaction or dry run, or of a transaction without a plan.

    ``profit`` is the amount received, in ``token``. ``gas_wei`` is its share of the transaction's
    cost, including its bid. ``failure`` is empty for a success. ``native_usd_e8`` is the native
    coin's price at planning time, 0 where unknown. ``bid_wei`` is the builder's payment out of the
    sale, ``tip_wei`` the part of the gas that was priority fee. None where only the chain knows.
    """

    deed: Deed
    hash: str
    block_number: int
    timestamp: Timestamp
    market: MarketKey | None = None
    account: Address | None = None
    token: Address | None = None
    failure: str = ""
    profit: TokenUnits = _NO_UNITS
    profit_wei: Wei = _NOTHING
    predicted_wei: Wei = _NOTHING
    gas_wei: Wei = _NOTHING
    native_usd_e8: int = 0
    bid_wei: Wei | None = None
    tip_wei: Wei | None = None

    def name(self, group: Group | None) -> str:
        """Return the name of its row."""
        if group is Group.DAY:
            return datetime.fromtimestamp(self.timestamp, tz=UTC).strftime("%Y-%m-%d")
        if group is Group.TOKEN:
            return self.token or NOBODYS
        return (self.market or NOBODYS) if group is Group.MARKET else WHOLE


@dataclass(slots=True, kw_only=True)
class Sums:
    """Sums over some deals.

    ``gross`` is before bids. ``net`` is gross minus bids minus gas. None marks a sum with an
    unknown part, such as bids and tips known only on chain, or a missing price.
    """

    done: Counter[Deed] = field(default_factory=Counter)
    lost: int = 0
    lost_gas_wei: int = 0
    kinds: Counter[FailureKind] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    received: Counter[Address] = field(default_factory=Counter)
    gross_wei: int = 0
    gas_wei: int = 0
    bids_wei: int | None = 0
    tips_wei: int | None = 0
    predicted_wei: int = 0
    realised_wei: int = 0
    gross_usd_e8: int | None = 0
    gas_usd_e8: int | None = 0
    bids_usd_e8: int | None = 0
    lost_gas_usd_e8: int | None = 0

    @property
    def net_wei(self) -> int:
        """Gross minus bids minus gas, in wei."""
        return self.gross_wei - (self.bids_wei or 0) - self.gas_wei

    @property
    def net_usd_e8(self) -> int | None:
        """The net in 1e-8 dollars at the prices of the time, None where one is unknown."""
        if self.gross_usd_e8 is None or self.gas_usd_e8 is None:
            return None
        return self.gross_usd_e8 - (self.bids_usd_e8 or 0) - self.gas_usd_e8

    def add(self, deal: Deal) -> None:
        """Add a deal."""
        price, bid = deal.native_usd_e8, deal.bid_wei
        self.gas_wei += deal.gas_wei
        self.gas_usd_e8 = _add_optional(self.gas_usd_e8, _convert_to_usd_e8(deal.gas_wei, price))
        self.tips_wei = _add_optional(self.tips_wei, deal.tip_wei)
        if deal.failure:
            self.lost += 1
            self.kinds[classify_failure(deal.failure)] += 1
            self.reasons[deal.failure] += 1
            self.lost_gas_wei += deal.gas_wei
            self.lost_gas_usd_e8 = _add_optional(
                self.lost_gas_usd_e8, _convert_to_usd_e8(deal.gas_wei, price)
            )
            return
        self.done[deal.deed] += 1
        if deal.token is not None and deal.profit:
            self.received[deal.token] += deal.profit
        gross = deal.profit_wei + (bid or 0)
        self.gross_wei += gross
        self.gross_usd_e8 = _add_optional(self.gross_usd_e8, _convert_to_usd_e8(gross, price))
        self.bids_wei = _add_optional(self.bids_wei, bid)
        self.bids_usd_e8 = _add_optional(
            self.bids_usd_e8, None if bid is None else _convert_to_usd_e8(bid, price)
        )
        self.predicted_wei += deal.predicted_wei
        self.realised_wei += deal.profit_wei - deal.gas_wei


def grouped(deals: Iterable[Deal], group: Group | None) -> dict[str, Sums]:
    """Sum deals by row, keyed and sorted by the row's name."""
    found = dict[str, Sums]()
    for deal in deals:
        found.setdefault(deal.name(group), Sums()).add(deal)
    return dict(sorted(found.items()))


def deals_of(
    submissions: Sequence[Submission], time_of: Callable[[Submission], Timestamp]
) -> list[Deal]:
    """Return the deals of mined nonces. A missing price is replaced by the last known one."""
    found, price = list[Deal](), 0
    for one in submissions:
        made = _list_nonce_earnings(one, time_of(one), price)
        found += made
        price = made[-1].native_usd_e8 or price
    return found


def _list_nonce_earnings(one: Submission, when: Timestamp, price: int) -> list[Deal]:
    mined = one.inclusion
    if mined is None:
        return []
    plans = one.batch.plans if one.batch is not None and mined.plans else ()
    known = next((plan.native_usd_e8 for plan in plans if plan.native_usd_e8), price)
    if not plans:
        return [
            Deal(
                deed=Deed.OTHER,
                hash=mined.hash,
                block_number=mined.block_number,
                timestamp=when,
                gas_wei=mined.gas_cost,
                native_usd_e8=known,
                bid_wei=_NOTHING,
                failure="" if mined.success or _is_cancel(one, mined.hash) else "reverted",
            )
        ]
    gas = cost_shares(plans, mined.gas_cost)
    return [
        Deal(
            deed=deed_of(plan),
            hash=mined.hash,
            block_number=mined.block_number,
            timestamp=when,
            market=plan.market,
            account=plan.account,
            token=plan.spend_token,
            failure=outcome.failure or ("" if mined.success else "reverted"),
            profit=outcome.profit,
            profit_wei=outcome.profit_wei,
            predicted_wei=plan.net_profit,
            gas_wei=Wei(cost),
            native_usd_e8=plan.native_usd_e8 or known,
        )
        for plan, outcome, cost in zip(plans, mined.plans, gas, strict=True)
    ]


def cost_shares(plans: Sequence[Plan], paid: int) -> list[int]:
    """Divide the cost ``paid`` by a transaction among its plans.

    The tip is one price for all gas, made of the bids of all plans, so each plan pays its own bid.
    The rest, including any rise of the base fee, is divided by gas.
    """
    bids = [plan.bid for plan in plans]
    offered = min(sum(bids), paid)
    gas = shared([plan.gas for plan in plans], paid - offered)
    return [cost + bid for cost, bid in zip(gas, shared(bids, offered), strict=True)]


def shared(weights: Sequence[int], total: int) -> list[int]:
    """Divide a total by weight, rounded down. The remainder goes to the first ones."""
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    shares = [total * weight // whole for weight in weights]
    over = total - sum(shares)
    return [share + (place < over) for place, share in enumerate(shares)]


def deed_of(plan: Plan) -> Deed:
    """Return a plan's purpose."""
    if plan.is_cure:
        return Deed.CURE
    return Deed.CLEARING if plan.is_clearance else Deed.LIQUIDATION


def _is_cancel(one: Submission, mined: str) -> bool:
    attempt: Attempt | None = next((each for each in one.attempts if each.hash == mined), None)
    return attempt is not None and attempt.kind is AttemptKind.CANCEL


def _convert_to_usd_e8(wei: int, price: int) -> int | None:
    """Convert an amount to 1e-8 dollars, rounded down, None without a price."""
    if not wei:
        return 0
    return wei * price // WAD if price else None


def _add_optional(total: int | None, more: int | None) -> int | None:
    return None if total is None or more is None else total + more
