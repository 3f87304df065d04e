"""Books of a demo, the keeper's records compared with the chain. Pure.

The keeper's side comes from its journal, the chain's side from balances, receipts and the pool's
own events. Neither side is derived from the other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from keeper.cli.words import decimal
from keeper.devnet.assets import PRICE_DECIMALS
from keeper.devnet.demo.places import Seizure, Spot
from keeper.devnet.market import LINE
from keeper.domain.units import BPS, WAD

NATIVE: Final = "WETH"
"""Whose price the native coin has."""

TOLERANCE_BPS: Final = 100
"""How far the realised net profit may be from the predicted, of the predicted."""

ETHER: Final = 18
"""Digits of the native coin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidation:
    """Successful liquidation in token units, health factors in wad, gas cost in wei.

    ``gas`` is its share of its transaction's gas, by the plans' estimates. Its cost includes its
    bid. ``planned_block`` is the head of the decision, ``breach_block`` the first block in which it
    was possible.
    """

    market: str = ""
    account: str
    kind: str
    transaction: str
    block: int
    planned_block: int
    breach_block: int | None
    health_before: int | None
    health_after: int | None
    spent_token: str
    spent: int
    received_token: str
    received: int
    route: str
    funding: str
    profit: int
    gas: int
    gas_cost: int
    predicted_wei: int
    realised_wei: int

    @property
    def blocks(self) -> int | None:
        """Number of blocks from the breach to the inclusion. 1 is the next block."""
        return None if self.breach_block is None else self.block - self.breach_block

    @property
    def spot(self) -> Spot:
        """Market and account of the position."""
        return (self.market, self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """Account that is unhealthy at the end. ``reason`` is None if the keeper gave none."""

    market: str = ""
    account: str
    kind: str
    health: int
    reason: str | None
    detail: str

    @property
    def spot(self) -> Spot:
        """Market and account of the position."""
        return (self.market, self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """On-chain gains of an account during the demo, in token units by symbol, and in wei."""

    tokens: Mapping[str, int]
    wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Data of the audit. ``prices`` are the oracle's last ones, with 8 decimals."""

    liquidations: Sequence[Liquidation]
    seizures: Sequence[Seizure]
    left_alone: Sequence[LeftAlone]
    failures: Sequence[str]
    receiver: Purse
    executor: Purse
    hot: Purse
    receipts: Mapping[str, int]
    """What each mined transaction of the journal's hashes cost, wei."""
    sent: int
    """How many hashes the journal knows."""
    prices: Mapping[str, int]
    decimals: Mapping[str, int]
    base_moved: bool = False

    def usd(self, symbol: str, units: int) -> int:
        """Convert token units to dollars (8 decimals), rounded down."""
        return units * self.prices[symbol] // int(10 ** self.decimals[symbol])

    def gas_usd(self, wei: int) -> int:
        """Convert wei to dollars (8 decimals), rounded up."""
        return -(-wei * self.prices[NATIVE] // WAD)

    def net_usd(self, one: Liquidation) -> int:
        """Compute a liquidation's profit less its gas, in dollars (8 decimals)."""
        return self.usd(one.spent_token, one.profit) - self.gas_usd(one.gas_cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that had to hold, and the numbers it was decided by."""

    name: str
    held: bool
    detail: str


def audited(facts: Facts) -> tuple[Check, ...]:
    """Return every check with its result."""
    return (
        *_check_proceeds(facts),
        _check_gas(facts),
        _check_net(facts),
        _check_prediction(facts),
        _check_matching(facts),
        _check_once(facts),
        _check_failures(facts),
        _check_reasons(facts),
        *_check_base(facts),
    )


def proceeds(facts: Facts) -> dict[str, int]:
    """Sum the receiver's gross proceeds by token according to the journal."""
    total: Counter[str] = Counter()
    for one in facts.liquidations:
        total[one.spent_token] += one.profit
    return dict(total)


def net_on_chain(facts: Facts) -> int:
    """Compute the gains of owner and hot key at the stated prices, with 8 decimals."""
    gained = sum(facts.usd(symbol, units) for symbol, units in facts.receiver.tokens.items())
    return gained + facts.usd(NATIVE, facts.receiver.wei) - facts.gas_usd(-facts.hot.wei)


def net_in_books(facts: Facts) -> int:
    """Compute the value of the journal's proceeds less the receipts' gas, with 8 decimals."""
    gross = sum(facts.usd(symbol, units) for symbol, units in proceeds(facts).items())
    return gross - facts.gas_usd(sum(facts.receipts.values()))


def _check_proceeds(facts: Facts) -> Iterator[Check]:
    booked = proceeds(facts)
    for symbol in sorted(booked.keys() | _list_changed(facts.receiver.tokens)):
        told, found = booked.get(symbol, 0), facts.receiver.tokens.get(symbol, 0)
        yield Check(
            name=f"proceeds in {symbol}",
            held=told == found,
            detail=f"the journal says {decimal(told, facts.decimals[symbol])},"
            f" the receiver's balance changed by {decimal(found, facts.decimals[symbol])}",
        )
    kept = {
        symbol: facts.executor.tokens[symbol] for symbol in _list_changed(facts.executor.tokens)
    }
    empty = not kept and facts.executor.wei == 0 and facts.receiver.wei == 0
    yield Check(
        name="nothing stays behind",
        held=empty,
        detail="the executor holds what it held before, the receiver has tokens only"
        if empty
        else f"the executor kept {kept} and {facts.executor.wei} wei,"
        f" the receiver got {facts.receiver.wei} wei",
    )


def _list_changed(tokens: Mapping[str, int]) -> set[str]:
    return {symbol for symbol, units in tokens.items() if units}


def _check_gas(facts: Facts) -> Check:
    paid = sum(facts.receipts.values())
    shared = sum(one.gas_cost for one in facts.liquidations)
    return Check(
        name="gas",
        held=paid == -facts.hot.wei and (shared == paid or bool(facts.failures)),
        detail=f"{len(facts.receipts)} of {facts.sent} transactions were mined for"
        f" {decimal(paid, ETHER)} ETH, the hot key's balance fell by"
        f" {decimal(-facts.hot.wei, ETHER)} ETH",
    )


def _check_net(facts: Facts) -> Check:
    told, found = net_in_books(facts), net_on_chain(facts)
    return Check(
        name="net profit",
        held=told == found,
        detail=f"proceeds less gas are {decimal(told, PRICE_DECIMALS)} USD,"
        f" the balances' changes are worth {decimal(found, PRICE_DECIMALS)} USD",
    )


def _check_prediction(facts: Facts) -> Check:
    predicted = sum(one.predicted_wei for one in facts.liquidations)
    realised = sum(one.realised_wei for one in facts.liquidations)
    return Check(
        name="prediction",
        held=abs(realised - predicted) * BPS <= abs(predicted) * TOLERANCE_BPS,
        detail=f"{decimal(predicted, ETHER)} ETH were predicted,"
        f" {decimal(realised, ETHER)} ETH realised, each at the prices it was planned at"
        f" ({_format_share(realised - predicted, predicted)}; 1 % is allowed)",
    )


def _format_share(part: int, whole: int) -> str:
    """Format a part in per cent of the whole, cut after four digits."""
    return f"{decimal(part * 10**6 // whole if whole else 0, 4)} %"


def _check_matching(facts: Facts) -> Check:
    told = Counter(
        Seizure(
            market=one.market,
            account=one.account,
            transaction=one.transaction,
            spent_token=one.spent_token,
            spent=one.spent,
            received_token=one.received_token,
            received=one.received,
        )
        for one in facts.liquidations
    )
    found = Counter(facts.seizures)
    missing, strange = (told - found).total(), (found - told).total()
    return Check(
        name="liquidations",
        held=not missing and not strange,
        detail=f"{len(facts.seizures)} on chain; {missing} of the journal's are not there,"
        f" {strange} of the chain's are not in the journal",
    )


def _check_once(facts: Facts) -> Check:
    wrong = [*_iterate_healthy_liquidations(facts), *_iterate_blind_repeats(facts)]
    return Check(
        name="each once",
        held=not wrong,
        detail="; ".join(wrong)
        or "every account was unhealthy when it was liquidated, and none was liquidated again"
        " before the keeper had seen the first time",
    )


def _check_failures(facts: Facts) -> Check:
    return Check(
        name="nothing reverted",
        held=not facts.failures,
        detail="; ".join(facts.failures) or "every transaction and every plan in it worked",
    )


def _iterate_healthy_liquidations(facts: Facts) -> Iterator[str]:
    for one in facts.liquidations:
        if one.health_before is None or one.health_before >= LINE:
            yield f"{one.account} was liquidated at block {one.block}, but was not unhealthy before"


def _iterate_blind_repeats(facts: Facts) -> Iterator[str]:
    """Yield plans made before an earlier liquidation of the same account was included.

    A further round is planned on what the step before it in its transaction leaves.
    """
    accounts: dict[Spot, list[Liquidation]] = {}
    for one in sorted(facts.liquidations, key=lambda each: each.block):
        accounts.setdefault(one.spot, []).append(one)
    for mine in accounts.values():
        for first, second in pairwise(mine):
            rounds = (first.block, first.transaction) == (second.block, second.transaction)
            if second.planned_block < first.block and not rounds:
                yield (
                    f"{second.account} was liquidated at blocks {first.block} and {second.block},"
                    f" the second planned at {second.planned_block}"
                )


def _check_reasons(facts: Facts) -> Check:
    without = [one.account for one in facts.left_alone if one.reason is None]
    return Check(
        name="reasons",
        held=not without,
        detail=f"no reason was given for leaving {', '.join(without)} alone"
        if without
        else f"{len(facts.left_alone)} left alone while unhealthy, each with its reason",
    )


def _check_base(facts: Facts) -> Iterator[Check]:
    if facts.base_moved:
        yield Check(name="fork", held=False, detail="the chain under the fork has moved")
