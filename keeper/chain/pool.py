"""Pool of endpoints with their health, the choice of one, and their disagreements.

It sends no requests. Callers report their outcomes.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.agreement import Disagreement, Disagreements, Sightings
from keeper.chain.awaiting import RecentBlocks
from keeper.chain.standing import (
    Answered,
    Event,
    Failed,
    Garbled,
    Identified,
    Lacked,
    Lagged,
    Limited,
    Offended,
    Rules,
    Standing,
    State,
    moved,
    preferred,
    usable,
)
from keeper.domain.errors import RpcBusy, RpcMalformed, RpcUnavailable
from keeper.domain.head import Head

log = logging.getLogger(__name__)

QUORUM: Final = 2
"""So many endpoints have to say the same before something is signed, where there are as many."""
HEAD: Final = "head"
FINALIZED: Final = "finalized"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """A changed endpoint state. With ``clings`` it stays in use as the last one."""

    endpoint: int
    state: State
    clings: bool
    reason: str


News = StateChange | Disagreement


class Pool:
    """Endpoints by their position in the settings, from 0.

    ``current`` is the newest head of the pipeline. An endpoint that has not announced it or a later
    one gets no pinned reads while another endpoint has. State changes and disagreements are
    reported to a callback.
    """

    def __init__(
        self,
        names: Sequence[str],
        rules: Rules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = names
        self.rules = rules or Rules()
        self.clock = clock
        self.standings: tuple[Standing, ...] = tuple(Standing() for _ in names)
        self.sightings = [Sightings() for _ in names]
        self.told: Callable[[News], None] = _ignore
        self.disagreements = Disagreements(clock=clock, told=self._report_disagreement)
        self.blocks = RecentBlocks()
        self.current: Head | None = None
        self.finalized: Head | None = None
        """The newest block that an endpoint called final."""
        self.finality: dict[int, bool] = {}
        """Whether an endpoint knows the finalized tag, where it was asked."""
        self._active: int | None = None
        self._head_at: list[float | None] = [None] * len(names)

    def __len__(self) -> int:
        return len(self.names)

    def happened(self, at: int, event: Event) -> None:
        """Apply an event of an endpoint."""
        before = self.standings
        one = before[at]
        owes = one.failures or one.clings or one.heat or one.garbled
        quiet = one.state is State.ALIVE and not owes
        if quiet and isinstance(event, Answered):
            return
        self.standings = moved(before, at, event, self.clock(), self.rules)
        for place, (old, new) in enumerate(zip(before, self.standings, strict=True)):
            if (old.state, old.clings) != (new.state, new.clings):
                self._report_change(place, old, new)

    def answered(self, at: int) -> None:
        """Record an answer."""
        self.happened(at, Answered())

    def failed(self, at: int, error: RpcUnavailable) -> None:
        """Record a missing answer, or a rate limit."""
        if isinstance(error, RpcBusy):
            spread = random.random()  # noqa: S311 - no secret
            self.happened(at, Limited(error.seconds, spread))
        else:
            self.happened(at, Failed(str(error)))

    def garbled(self, at: int, error: RpcMalformed) -> None:
        """Record an invalid answer, or an excessive one."""
        reason = str(error)
        # mutation: G28 bomb
        self.happened(at, Offended(reason) if error.excessive else Garbled(reason))

    def pass_over(self, place: int, reason: str) -> None:
        """Prefer other endpoints for a while, after one failed a request that another answered."""
        before = self.standings[place]
        self.happened(place, Lacked())
        after = self.standings[place]
        if after.late_until > before.late_until:
            self._active = None
            seconds = round(after.late_until - self.clock())
            log.info(
                'endpoint_passed_over endpoint=%d seconds=%d reason="%s"', place, seconds, reason
            )

    def identified(self, at: int, fault: str) -> None:
        """Record the check of an endpoint's chain. ``fault`` is empty if it is the right one."""
        if fault:
            self.sightings[at].forget()
        self.happened(at, Identified(fault))

    def heard(self, at: int, head: Head) -> None:
        """Record an endpoint's newest block."""
        self.blocks.note(head)
        self.sightings[at].saw(head)
        self._head_at[at] = self.clock()
        if len(self) == 1:
            return
        self._measure_lags()
        self._compare_heads()

    def alive(self) -> list[int]:
        """Return the usable endpoints, best first."""
        now = self.clock()
        return preferred(self.standings, [self._has_current(at) for at in range(len(self))], now)

    def best(self, avoid: int | None = None) -> int:
        """Return the endpoint to use, not ``avoid``, which just failed, if there is another.

        Raises:
            RpcBusy: all usable endpoints limit the rate of requests.
            RpcUnavailable: none is on the right chain.
        """
        if avoid is None and self._active is not None and self._is_still_best(self._active):
            return self._active
        places = self.alive()
        others = [at for at in places if at != avoid]
        chosen = (others or places or self._list_last_resorts(avoid))[0]
        self._active = chosen
        return chosen

    @property
    def active(self) -> int:
        """The endpoint in use."""
        if self._active is not None:
            return self._active
        return next(iter(self.alive()), 0)

    def hand_on(self, head: Head) -> None:
        """Record the pipeline's head, which reads refer to from now on."""
        self.current = head
        self.blocks.hand_on(head)
        self._active = None

    def patience(self) -> float:
        """Return the seconds until an endpoint may be asked. 0 if one may be asked now."""
        now = self.clock()
        if any(usable(one, now) or one.state is State.UNDIALLED for one in self.standings):
            return 0.0
        waits = [
            one.rests_until - now for one in self.standings if one.state is not State.WRONG_CHAIN
        ]
        return max(0.0, min(waits, default=0.0))

    def head_age(self, at: int) -> float | None:
        """Return the seconds since an endpoint's newest block arrived."""
        heard = self._head_at[at]
        return None if heard is None else self.clock() - heard

    def concern(self) -> str:
        """Return why the endpoints forbid signing now. Empty if they do not."""
        reasons = list(self.disagreements.reasons())
        if not self.alive():
            reasons += [f"endpoint {at}: {one.reason}" for at, one in enumerate(self.standings)]
        return "; ".join(reasons)

    def _is_still_best(self, at: int) -> bool:
        one = self.standings[at]
        if one.state is not State.ALIVE:
            return False
        return len(self) == 1 or (not one.failures and self._has_current(at))

    def _has_current(self, at: int) -> bool:
        """Return whether an endpoint announced the current block or a later one."""
        if self.current is None or len(self) == 1:
            return True
        head = self.sightings[at].head
        return head is not None and head.number >= self.current.number

    def _list_last_resorts(self, avoid: int | None) -> list[int]:
        """Return the endpoints to try if none is known to be good."""
        now = self.clock()
        reachable = [
            at
            for at, one in enumerate(self.standings)
            if one.state in (State.UNDIALLED, State.UNREACHABLE) and now >= one.rests_until
        ]
        if reachable:
            states = self.standings
            return sorted(reachable, key=lambda at: (at == avoid, states[at].failures, at))
        if any(one.rests_until > now for one in self.standings):
            raise RpcBusy("every endpoint asked for patience", seconds=max(self.patience(), 0.001))
        raise RpcUnavailable(
            "no endpoint is fit: " + "; ".join(one.reason for one in self.standings)
        )

    def _measure_lags(self) -> None:
        """Compare heights. A single endpoint far ahead of all others does not make them late."""
        heights = {
            at: head.number
            for at, one in enumerate(self.sightings)
            if (head := one.head) is not None and _is_counted(self.standings[at])
        }
        if not heights:
            return
        ranked = sorted(heights.values(), reverse=True)
        reference = ranked[1] if len(ranked) > QUORUM else ranked[0]
        for at, height in heights.items():
            lag = max(0, reference - height)
            if lag != self.standings[at].lag or self.standings[at].clings:
                self.happened(at, Lagged(lag))

    def _compare_heads(self) -> None:
        """Compare the chains of the endpoints in use, pair by pair."""
        live = {at for at, one in enumerate(self.standings) if one.state is State.ALIVE}
        for first in range(len(self)):
            for second in range(first + 1, len(self)):
                about = f"{first}/{second}"
                height = (
                    self.sightings[first].contradiction(self.sightings[second])
                    if {first, second} <= live
                    else None
                )
                if height is None:
                    self.disagreements.settled(HEAD, about)
                else:
                    detail = f"{first} and {second} have different blocks {height}"
                    self.disagreements.found(HEAD, about, detail, lasting=True)

    def _report_change(self, at: int, old: Standing, new: Standing) -> None:
        if self._active == at:
            self._active = None
        if new.clings:
            log.critical(
                "endpoint_last endpoint=%d reason=%s hint=%s",
                at,
                new.reason,
                "it is used because there is no other: add or repair one",
            )
        elif old.state is not State.UNDIALLED or new.state is not State.ALIVE:
            level = logging.INFO if new.state is State.ALIVE else logging.WARNING
            log.log(
                level, "endpoint_state endpoint=%d state=%s reason=%s", at, new.state, new.reason
            )
        self.told(StateChange(endpoint=at, state=new.state, clings=new.clings, reason=new.reason))
        if len(self) > 1 and new.state is not old.state:
            self._compare_heads()

    def _report_disagreement(self, found: Disagreement) -> None:
        if found.over:
            log.info("endpoints_agree what=%s before=%s", found.what, found.detail)
        else:
            log.error("endpoints_disagree what=%s detail=%s", found.what, found.detail)
        self.told(found)


def _is_counted(standing: Standing) -> bool:
    """Return whether an endpoint's height counts for the lag of the others."""
    clings = standing.clings and standing.failures > 0
    return not clings and standing.state in (State.ALIVE, State.BEHIND, State.COOLING)


def _ignore(_: News) -> None:
    """Do nothing."""
