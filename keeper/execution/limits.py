"""Spending and failure limits, computed from mined transactions. Pure.

No counter is kept in memory. The history comes from the journal's receipts, so that a restart loses
nothing. Transactions in flight count with their possible cost (``reserving``).
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.breaker import Breaker, Spent
from keeper.domain.units import WAD, Timestamp, Wei

HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 86_400
FIRST_PAUSE_SECONDS: Final = 300
LONGEST_PAUSE_SECONDS: Final = 6 * HOUR_SECONDS
_DOUBLINGS: Final = 10
_DIGITS: Final = len(str(WAD)) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on gas costs, on consecutive defects and on the wallet's balance.

    ``max_races_per_hour`` bounds the hourly cost of transactions that reverted because a competitor
    was faster or the market moved.
    """

    max_gas_per_transaction: Wei
    max_gas_per_hour: Wei
    max_gas_per_day: Wei
    max_races_per_hour: Wei
    max_consecutive_reverts: int
    min_balance: Wei
    max_balance: Wei

    @property
    def one_transaction(self) -> Wei:
        """Highest cost of one transaction, also bounded by the hourly and the daily limit."""
        return Wei(min(self.max_gas_per_transaction, self.max_gas_per_hour, self.max_gas_per_day))


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Costs up to ``now``, the chain's time.

    ``forgiven`` is, by breaker, the newest nonce that a reset excluded from the count. ``balance``
    is the wallet's, None if it was not read yet. ``probes`` counts how often in a row the
    ``reverts`` breaker was closed for one probing transaction.
    """

    now: Timestamp
    spent: Sequence[Spent] = ()
    forgiven: Mapping[Breaker, int] = field(default_factory=dict)
    balance: Wei | None = None
    probes: int = 0

    @property
    def is_probing(self) -> bool:
        """Whether the next transaction is a probe, without success since the breaker closed."""
        forgiven = self.forgiven.get(Breaker.REVERTS, -1)
        newer = (spent for spent in self.spent if spent.nonce > forgiven)
        return self.probes > 0 and not any(spent.reverted is False for spent in newer)


class Limit(enum.StrEnum):
    """Limit without a breaker, checked again for every transaction."""

    GAS_PER_TRANSACTION = "gas_per_transaction"
    MIN_BALANCE = "min_balance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Verdict that no limit is exceeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """Verdict that a limit is exceeded, with the figures."""

    breaker: Breaker | Limit
    detail: str


Verdict = Allowed | Tripped

_WINDOWS: Final = (
    (Breaker.GAS_PER_HOUR, HOUR_SECONDS, "hour"),
    (Breaker.GAS_PER_DAY, DAY_SECONDS, "day"),
)


def verdict(history: History, in_flight: Wei, wanted: Wei, limits: Limits) -> Verdict:
    """Check whether a transaction that may cost ``wanted`` may be sent now.

    ``in_flight`` is the possible cost of all transactions without a receipt. With ``wanted`` 0 it
    checks whether any transaction could be sent.
    """
    reverts = consecutive_reverts(history)
    if history.is_probing and reverts:
        return Tripped(breaker=Breaker.REVERTS, detail="the probing transaction reverted, too")
    if reverts >= limits.max_consecutive_reverts:  # mutation: G9 reverts-in-a-row
        return Tripped(
            breaker=Breaker.REVERTS,
            detail=f"{reverts} transactions in a row reverted for no race;"
            f" limits.max_consecutive_reverts is {limits.max_consecutive_reverts}",
        )
    races = lost_races_cost(history)
    if races >= limits.max_races_per_hour:
        return Tripped(
            breaker=Breaker.RACES_PER_HOUR,
            detail=f"the last hour's lost races cost {ether(races)} ETH;"
            f" limits.max_races_per_hour_eth is {ether(limits.max_races_per_hour)}",
        )
    short = shortfall(history, limits)
    if short is not None:
        return short
    if wanted > limits.one_transaction:
        return Tripped(
            breaker=Limit.GAS_PER_TRANSACTION,
            detail=f"its gas may cost {ether(wanted)} ETH;"
            f" the limits allow {ether(limits.one_transaction)} for one transaction",
        )
    return _check_windows(history, in_flight, wanted, limits)


def shortfall(history: History, limits: Limits) -> Tripped | None:
    """Return the verdict that the balance is too low. None if it is sufficient or unknown."""
    # mutation: F37 balance-floor
    if history.balance is None or history.balance >= limits.min_balance:
        return None
    return Tripped(
        breaker=Limit.MIN_BALANCE,
        detail=f"the wallet holds {ether(history.balance)} ETH;"
        f" limits.min_balance_eth is {ether(limits.min_balance)}",
    )


def _check_windows(history: History, in_flight: Wei, wanted: Wei, limits: Limits) -> Verdict:
    for breaker, seconds, name in _WINDOWS:
        limit = _get_window_limit(breaker, limits)
        spent = spent_within(history, breaker, seconds)
        if spent + in_flight + wanted > limit:
            return Tripped(
                breaker=breaker,
                detail=f"the last {name}'s gas cost {ether(spent)} ETH, what is in flight may cost"
                f" {ether(in_flight)} and this one {ether(wanted)};"
                f" limits.max_{breaker}_eth is {ether(limit)}",
            )
    return Allowed()


def has_passed(
    breaker: Breaker, history: History, in_flight: Wei, wanted: Wei, limits: Limits
) -> bool:
    """Return whether an open breaker closes by itself, as its cause would now be allowed.

    Never for defects, which close after a pause for a probe, and never for an operator's pause.
    """
    if breaker is Breaker.RACES_PER_HOUR:
        return lost_races_cost(history) < limits.max_races_per_hour
    seconds = {one: window for one, window, _ in _WINDOWS}.get(breaker)
    if seconds is None:
        return False
    asked = min(wanted, limits.one_transaction)
    return spent_within(history, breaker, seconds) + in_flight + asked <= _get_window_limit(
        breaker, limits
    )


def room_left(history: History, in_flight: Wei, limits: Limits) -> Wei:
    """Compute the highest cost of one more transaction within every spending limit."""
    left = [
        _get_window_limit(breaker, limits) - spent_within(history, breaker, seconds) - in_flight
        for breaker, seconds, _ in _WINDOWS
    ]
    return Wei(max(0, min(limits.one_transaction, *left)))


def spent_within(history: History, breaker: Breaker, seconds: int) -> Wei:
    """Sum the costs in the window that ends now, without those that a reset excluded."""
    since, forgiven = history.now - seconds, history.forgiven.get(breaker, -1)
    return Wei(
        sum(one.cost for one in history.spent if one.timestamp > since and one.nonce > forgiven)
    )


def lost_races_cost(history: History) -> Wei:
    """Sum the costs of the last hour's transactions that reverted for no defect."""
    since = history.now - HOUR_SECONDS
    forgiven = history.forgiven.get(Breaker.RACES_PER_HOUR, -1)
    return Wei(
        sum(
            spent.cost
            for spent in history.spent
            if spent.lost_race and spent.timestamp > since and spent.nonce > forgiven
        )
    )


def pause_before_probe(probes: int) -> int:
    """Compute the pause before the next probe, in seconds, from 5 minutes doubling to 6 hours."""
    return min(FIRST_PAUSE_SECONDS << min(probes, _DOUBLINGS), LONGEST_PAUSE_SECONDS)


def consecutive_reverts(history: History) -> int:
    """Count the newest liquidations, by nonce, that were defects without a success between."""
    forgiven = history.forgiven.get(Breaker.REVERTS, -1)
    count = 0
    for one in sorted(history.spent, key=lambda spent: -spent.nonce):
        if one.nonce <= forgiven or one.reverted is False:
            break
        count += one.reverted is True
    return count


def ether(amount: int) -> str:
    """Format wei as ether, exactly."""
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(_DIGITS + 1, "0")
    fraction = digits[-_DIGITS:].rstrip("0")
    return sign + digits[:-_DIGITS] + (f".{fraction}" if fraction else "")


def _get_window_limit(breaker: Breaker, limits: Limits) -> Wei:
    return limits.max_gas_per_hour if breaker is Breaker.GAS_PER_HOUR else limits.max_gas_per_day
