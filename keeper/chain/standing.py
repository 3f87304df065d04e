"""Endpoint state machine, without clock or I/O.

An endpoint is used while it is alive. Failures accumulate and are paid off by successes, so that a
node which fails every second request is dropped. An endpoint on another chain is not used until it
proves the right one, and then has to prove itself like a returning one. An excessive answer causes
a quarantine of minutes. The last endpoint alive is never dropped for failures, lag or answers,
since a bad node is better than none, and the operator is notified.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final


class State(enum.StrEnum):
    """State of an endpoint."""

    UNDIALLED = "undialled"  # not asked yet
    ALIVE = "alive"  # read from, and sent to
    BEHIND = "behind"  # its newest block is too old
    WRONG_CHAIN = "wrong_chain"  # another chain id, or another contract where a known one stands
    UNREACHABLE = "unreachable"  # failed too often; probed until it has answered as often
    COOLING = "cooling"  # asked for patience, and is left alone until then
    QUARANTINED = "quarantined"  # sent what no good node sends, and is left alone for minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Limits for state changes, with times in seconds and lag in blocks."""

    failures: int = 3
    """So many more failures than successes make it unreachable, and are to be paid off."""
    lag_blocks: int = 5
    first_cooling: float = 0.25
    """Doubled each time, where the node does not say itself how long to wait."""
    longest_cooling: float = 60.0
    longest_asked: float = 600.0
    """A node that asks for more patience than this is asked again all the same."""
    cooling_spread: float = 0.25
    """Up to this share longer, so that many clients do not return at once."""
    first_quarantine: float = 300.0
    """Doubled for each further excessive answer, up to the longest."""
    longest_quarantine: float = 3600.0
    forgiven: float = 7200.0
    """An excessive answer so long after the one before is a first one again."""
    garbled: int = 5
    """So many more answers that are none than good ones, in as many seconds, are excessive."""
    short_cooling: float = 5.0
    """One that cools no longer than this counts as one that is there."""
    first_late: float = 10.0
    """How long others are preferred to an endpoint that lacked a block; doubled each time."""
    longest_late: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """State of one endpoint. ``until`` is when a cooling one may be asked again."""

    state: State = State.UNDIALLED
    failures: int = 0
    lag: int = 0
    heat: int = 0
    """Grows with each wish for patience and falls with each answer: how long to cool."""
    until: float = 0.0
    clings: bool = False
    """It would have been dropped, were it not the last one."""
    reason: str = ""
    offences: int = 0
    """How many excessive answers it sent, the first ones forgiven after a while."""
    offended_at: float = 0.0
    barred_until: float = 0.0
    """Until then it is quarantined wherever another one is there."""
    garbled: int = 0
    garbled_at: float = 0.0
    late_until: float = 0.0
    """Until when endpoints that were not late are preferred."""
    late_seconds: float = 0.0
    """For how long it was late the last time."""

    @property
    def rests_until(self) -> float:
        """The time of the next request, after cooling or quarantine."""
        quarantined = self.state is State.QUARANTINED
        return max(self.until, self.barred_until) if quarantined else self.until


@dataclass(frozen=True, slots=True)
class Answered:
    """The endpoint answered a request, whatever the answer was."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The endpoint did not answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Garbled:
    """The endpoint sent an invalid answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Offended:
    """The endpoint sent an excessive answer, or reading it was stopped."""

    reason: str


@dataclass(frozen=True, slots=True)
class Limited:
    """The endpoint limits the rate of requests.

    ``seconds`` if stated, ``spread`` is random, 0 to 1.
    """

    seconds: float | None
    spread: float


@dataclass(frozen=True, slots=True)
class Identified:
    """The endpoint's chain was checked. ``fault`` is empty if there is none."""

    fault: str = ""


@dataclass(frozen=True, slots=True)
class Lagged:
    """The endpoint is ``blocks`` behind the others, 0 for the one ahead."""

    blocks: int


@dataclass(frozen=True, slots=True)
class Lacked:
    """The endpoint failed a request that was answered later or by another endpoint.

    It lacked the block, or refused for its own reasons.
    """


Event = Answered | Failed | Garbled | Offended | Limited | Identified | Lagged | Lacked

_DROPPED: Final = (State.UNREACHABLE, State.BEHIND, State.QUARANTINED)
_UNFIT: Final = (State.UNREACHABLE, State.BEHIND, State.UNDIALLED)
_GARBLED_SECONDS: Final = 1.0
"""Answers that are none are counted once in so long: those of one moment are one mishap."""
_HEAT: Final = 10
"""So many answers make up for one wish for patience."""
_MOST_HEAT: Final = 16 * _HEAT


def moved(
    pool: Sequence[Standing], at: int, event: Event, now: float, rules: Rules
) -> tuple[Standing, ...]:
    """Return the states of all endpoints after ``event`` of the one at ``at``."""
    after_it = list(pool)
    after_it[at] = after(replace(pool[at], clings=False), event, now, rules)
    was_alive, state = pool[at].state is State.ALIVE, after_it[at].state
    is_barred = state is State.ALIVE and pool[at].clings and now < after_it[at].barred_until
    held_on = was_alive and (state in _DROPPED or is_barred)
    if held_on and not any(
        one.state is State.ALIVE for place, one in enumerate(after_it) if place != at
    ):
        after_it[at] = replace(after_it[at], state=State.ALIVE, clings=True)
    return _settle(after_it, now, rules)


def after(standing: Standing, event: Event, now: float, rules: Rules) -> Standing:
    """Return an endpoint's state after an event, ignoring the others."""
    match event:
        case Answered():
            return _apply_answer(standing, now)
        case Failed(reason=reason):
            return _apply_failure(standing, reason, now, rules)
        case Garbled(reason=reason) | Offended(reason=reason):
            wrong = _apply_malformed if isinstance(event, Garbled) else _apply_excess
            return wrong(standing, reason, now, rules)
        case Limited(seconds=seconds, spread=spread):
            return _apply_rate_limit(standing, seconds, spread, now, rules)
        case Identified(fault=fault):
            return _apply_identity(standing, fault, now, rules)
        case Lagged() | Lacked():
            return _apply_delay(standing, event, now, rules)


def usable(standing: Standing, now: float) -> bool:
    """Return whether the endpoint may be used for reads and sends."""
    if standing.state is State.COOLING:
        return now >= standing.until
    return standing.state is State.ALIVE


def preferred(pool: Sequence[Standing], newest: Sequence[bool], now: float) -> list[int]:
    """Return the usable endpoints, best first.

    Endpoints with the newest block (``newest``) come first, then those that may have it, then those
    known to serve blocks late. Ties are decided by the fewest failures, then by the settings.
    """
    places = [at for at, one in enumerate(pool) if usable(one, now)]
    return sorted(
        places,
        key=lambda at: (now < pool[at].late_until, not newest[at], pool[at].failures, at),
    )


def _apply_answer(standing: Standing, now: float) -> Standing:
    owed, heat = max(0, standing.failures - 1), max(0, standing.heat - 1)
    standing = replace(standing, garbled=max(0, standing.garbled - 1))
    match standing.state:
        case State.UNREACHABLE if owed == 0:
            back = replace(standing, state=State.ALIVE, failures=0, lag=0, heat=heat, reason="")
            return replace(back, barred_until=0.0)
        case State.UNREACHABLE | State.ALIVE | State.BEHIND:
            return replace(standing, failures=owed, heat=heat)
        case State.QUARANTINED if now >= standing.barred_until:  # on probation
            return replace(standing, state=State.UNREACHABLE, failures=max(1, owed), heat=heat)
        case State.COOLING if now >= standing.until:
            return replace(standing, state=State.ALIVE, failures=owed, heat=heat, reason="")
        case _:  # an answer to an old question, or of a chain that is not ours
            return standing


def _apply_failure(standing: Standing, reason: str, now: float, rules: Rules) -> Standing:
    owed = min(rules.failures, standing.failures + 1)
    match standing.state:
        case State.WRONG_CHAIN:
            return standing
        case State.UNDIALLED:
            return replace(standing, state=State.UNREACHABLE, failures=owed, reason=reason)
        case State.COOLING if now < standing.until:
            return replace(standing, failures=owed)
        case State.QUARANTINED if now < standing.barred_until:
            return standing
        case _ if owed >= rules.failures:
            return replace(standing, state=State.UNREACHABLE, failures=owed, reason=reason)
        case _:
            return replace(standing, failures=owed)


def _apply_malformed(standing: Standing, reason: str, now: float, rules: Rules) -> Standing:
    failed = _apply_failure(standing, reason, now, rules)
    if standing.garbled and now - standing.garbled_at < _GARBLED_SECONDS:
        return failed
    garbled = replace(failed, garbled=standing.garbled + 1, garbled_at=now)
    if garbled.garbled < rules.garbled:
        return garbled
    return _apply_excess(replace(garbled, garbled=0), reason, now, rules)


def _apply_excess(standing: Standing, reason: str, now: float, rules: Rules) -> Standing:
    if standing.state is State.WRONG_CHAIN:
        return standing
    offences = standing.offences
    if now >= standing.barred_until:  # several answers of one moment are one offence
        forgiven = not offences or now - standing.offended_at > rules.forgiven
        offences = 1 if forgiven else offences + 1
    pause = min(rules.longest_quarantine, rules.first_quarantine * 2 ** min(offences - 1, 16))
    return replace(
        standing,
        state=State.QUARANTINED,
        failures=rules.failures,
        reason=reason,
        offences=offences,
        offended_at=now,
        barred_until=now + pause,
    )


def _apply_rate_limit(
    standing: Standing, seconds: float | None, spread: float, now: float, rules: Rules
) -> Standing:
    if standing.state is State.WRONG_CHAIN:
        return standing
    cooled_off = now > standing.until + rules.longest_cooling
    heat = min(_MOST_HEAT, (0 if cooled_off else standing.heat) + _HEAT)
    doublings = (heat - 1) // _HEAT
    own = min(rules.longest_cooling, rules.first_cooling * 2**doublings)
    asked = min(rules.longest_asked, max(own, seconds or 0.0))  # mutation: F05 stated-delay
    until = now + asked * (1 + rules.cooling_spread * spread)
    cooled = replace(standing, heat=heat, until=max(until, standing.until))
    if standing.state in (State.UNREACHABLE, State.QUARANTINED):  # probed again, but not before
        return cooled
    return replace(cooled, state=State.COOLING, reason="it asked for patience")


def _apply_identity(standing: Standing, fault: str, now: float, rules: Rules) -> Standing:
    if fault:
        return Standing(
            state=State.WRONG_CHAIN,
            failures=rules.failures,
            reason=fault,
            offences=standing.offences,
            offended_at=standing.offended_at,
        )
    match standing.state:
        case State.UNDIALLED:
            return replace(standing, state=State.ALIVE, reason="")
        case State.WRONG_CHAIN:
            return replace(
                standing, state=State.UNREACHABLE, reason="it was on another chain, and is probed"
            )
        case _:
            return _apply_answer(standing, now)


def _apply_delay(standing: Standing, event: Lagged | Lacked, now: float, rules: Rules) -> Standing:
    if isinstance(event, Lagged):
        return _apply_lag(standing, event.blocks, rules)
    return _apply_lack(standing, now, rules)


def _apply_lag(standing: Standing, blocks: int, rules: Rules) -> Standing:
    found = replace(standing, lag=blocks)
    if standing.state is State.ALIVE and blocks > rules.lag_blocks:
        return replace(found, state=State.BEHIND, reason=f"{blocks} blocks behind")
    if standing.state is State.BEHIND and blocks <= rules.lag_blocks // 2:
        return replace(found, state=State.ALIVE, reason="")
    return found


def _apply_lack(standing: Standing, now: float, rules: Rules) -> Standing:
    if now < standing.late_until:  # reads that were under way when it was noticed
        return standing
    is_fresh = now > standing.late_until + rules.longest_late
    again = 0.0 if is_fresh else 2 * standing.late_seconds
    seconds = min(rules.longest_late, max(rules.first_late, again))
    return replace(standing, late_until=now + seconds, late_seconds=seconds)


def _settle(pool: Sequence[Standing], now: float, rules: Rules) -> tuple[Standing, ...]:
    """Drop an endpoint that was kept as the last one, if it is not the last any more.

    The same applies to quarantines, which hold while another endpoint can be asked.
    """
    better = any(one.state is State.ALIVE and not one.clings for one in pool)
    there = better or any(
        one.state is State.COOLING and one.until - now <= rules.short_cooling for one in pool
    )
    dropped = (_drop(one, rules) if one.clings and better else one for one in pool)
    return tuple(_quarantine(one, now) if there else _release(one, rules) for one in dropped)


def _quarantine(standing: Standing, now: float) -> Standing:
    if standing.state not in _UNFIT or now >= standing.barred_until:
        return standing
    return replace(standing, state=State.QUARANTINED)


def _release(standing: Standing, rules: Rules) -> Standing:
    if standing.state is not State.QUARANTINED:
        return standing
    return replace(standing, state=State.UNREACHABLE, failures=rules.failures)


def _drop(standing: Standing, rules: Rules) -> Standing:
    failing = standing.failures >= rules.failures
    state = State.UNREACHABLE if failing else State.BEHIND
    return replace(standing, state=state, clings=False)
