"""Cooldown of accounts, markets and routes after a transaction failed for a defect.

The time grows with the number of failures in a row. A lost race or a market move causes no
cooldown. The account is sized again in the next block.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from keeper.domain.curve import Route
from keeper.domain.decision import SkipReason
from keeper.domain.failure import TOUCHED, UNTOUCHED, FailureKind, classify_failure
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.restraint import Wait
from keeper.domain.submission import PlanOutcome, Submission
from keeper.domain.units import MarketKey, deployment

log = logging.getLogger(__name__)

DOUBLINGS: Final = 6
"""How often the cooldown doubles at most."""
MARKET_TIMES: Final = 100
"""Cooldown of an isolated market as a multiple of an account's."""

K = TypeVar("K")


@dataclass(slots=True, kw_only=True)
class Cooling:
    """Failures by account, isolated market and route, with block and count in a row.

    After the n-th failure an account waits ``blocks`` times 2**(n - 1) blocks. 0 disables it. An
    isolated market can be created by any party, and its token or oracle may work in simulations
    only. It waits ``MARKET_TIMES`` as long as a whole. In a shared market the route waits along
    with the account, so that other accounts use another route. In an isolated market it does not,
    since the creator could make honest pools wait. A success ends each cooldown.

    An account that its block called healthy although no transaction touched it is doubted. If the
    market still calls it liquidatable at that block, it answers reads and transactions differently.
    """

    blocks: int = 0
    _failed: dict[Subject, tuple[int, int]] = field(default_factory=dict)
    _markets: dict[MarketKey, tuple[int, int]] = field(default_factory=dict)
    _routes: dict[Route, tuple[int, int]] = field(default_factory=dict)
    _doubts: dict[Subject, int] = field(default_factory=dict)
    _block: int = 0

    @property
    def longest_wait(self) -> int:
        """Longest possible cooldown, in blocks."""
        return MARKET_TIMES * (self.blocks << DOUBLINGS)

    def note(self, mined: Submission) -> Mapping[MarketKey, str]:
        """Note the outcome of each plan of a mined transaction. Returns markets put aside."""
        inclusion = mined.inclusion
        if inclusion is None:
            return {}
        before = dict(self._markets)
        planned = mined.batch.plans if mined.batch is not None else ()
        routes: list[Route | None] = [plan.route for plan in planned]
        if len(routes) != len(inclusion.plans):
            routes = [None] * len(inclusion.plans)
        failed = set[Subject]()
        for plan, route in zip(inclusion.plans, routes, strict=True):
            subject = (plan.market, plan.account)
            if subject not in failed:  # an account's later rounds rest on the one that failed
                self._note_outcome(plan, route, inclusion.block_number)
            failed |= {subject} if plan.failure else set()
        return {
            market: self._format_market_reason(block, times)
            for market, (block, times) in self._markets.items()
            if before.get(market) != (block, times)
        }

    def _note_outcome(self, plan: PlanOutcome, route: Route | None, block: int) -> None:
        subject, market = (plan.market, plan.account), plan.market
        kind = classify_failure(plan.failure) if plan.failure else None
        if kind is None:
            self._failed.pop(subject, None)
            self._markets.pop(market, None)
            if route is not None:
                self._routes.pop(route, None)
        elif kind is FailureKind.DEFECT:
            self._start_cooldown(subject, block, market_too=not plan.failure.endswith(TOUCHED))
            if route is not None and route.hops and deployment(market) == market:
                _count_failure(self._routes, route, block)
        elif kind is FailureKind.RACE and plan.failure.endswith(UNTOUCHED):
            self._doubts[subject] = block

    def _start_cooldown(self, subject: Subject, block: int, *, market_too: bool) -> None:
        """Start the cooldown of an account, and of its market if that is isolated."""
        market = subject[0]
        _count_failure(self._failed, subject, block)
        if market_too and deployment(market) != market:
            _count_failure(self._markets, market, block)
            until = self._compute_market_end(*self._markets[market])
            log.warning("market_put_aside market=%s block=%d until=%d", market, block, until)

    def doubted(self, head: Head) -> list[Subject]:
        """Return the doubted accounts to check at a block. At a later block prices differ."""
        self._doubts = {
            subject: block for subject, block in self._doubts.items() if block >= head.number
        }
        return [subject for subject, block in self._doubts.items() if block == head.number]

    def settle(self, subject: Subject, *, lies: bool) -> None:
        """Settle a doubt by the market's answer about the account at that block."""
        block = self._doubts.pop(subject)
        if lies:
            self._start_cooldown(subject, block, market_too=True)

    def take_up(self, mined: Iterable[Submission]) -> None:
        """Restore the state from an earlier process's mined transactions, oldest first."""
        for one in mined:
            self.note(one)

    def market_waits(self, head: Head) -> Mapping[MarketKey, Wait]:
        """Return the isolated markets in cooldown at a block."""
        found: dict[MarketKey, Wait] = {}
        for market, (block, times) in self._markets.items():
            until = self._compute_market_end(block, times)
            if head.number < until:
                found[market] = Wait(
                    reason=SkipReason.COOLING_DOWN,
                    detail=self._format_market_reason(block, times),
                    until_block=until,
                )
        return found

    def _format_market_reason(self, block: int, times: int) -> str:
        return (
            f"what worked in simulation failed on chain in this market in block {block},"
            f" {times} in a row: left alone until block {self._compute_market_end(block, times)}"
        )

    def is_barred(self, route: Route) -> bool:
        """Return whether a route is in cooldown at the block passed to ``waits`` last."""
        failed = self._routes.get(route)
        return failed is not None and self._block < self._compute_end(*failed)

    def _compute_market_end(self, block: int, times: int) -> int:
        return block + MARKET_TIMES * (self._compute_end(block, times) - block)

    def _compute_end(self, block: int, times: int) -> int:
        return block + (self.blocks << min(times - 1, DOUBLINGS))  # mutation: G20 cooling

    def waits(self, head: Head) -> Mapping[Subject, Wait]:
        """Return the accounts in cooldown at a block."""
        self._block = head.number
        found: dict[Subject, Wait] = {}
        for subject, (block, times) in self._failed.items():
            until = self._compute_end(block, times)
            if head.number < until:
                found[subject] = Wait(
                    reason=SkipReason.COOLING_DOWN,
                    detail=f"it failed on chain in block {block}, {times} in a row:"
                    f" left alone until block {until}",
                    until_block=until,
                )
        return found


def _count_failure(failed: dict[K, tuple[int, int]], key: K, block: int) -> None:
    _, before = failed.get(key, (0, 0))
    failed[key] = (block, before + 1)
