"""Circuit breakers of a running node, counted from the journal."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from keeper.domain.breaker import PROBE, Breaker, BreakerState, OpenBreaker, Spent
from keeper.domain.errors import ChainError
from keeper.domain.head import Basis, Head
from keeper.domain.units import Address, Timestamp, Wei
from keeper.execution.chain import Emit
from keeper.execution.guard import (
    Nonces,
    Parts,
    Priced,
    named,
    not_open,
    paused_at,
    whole_only,
)
from keeper.execution.limits import (
    DAY_SECONDS,
    Allowed,
    History,
    Limit,
    Limits,
    Tripped,
    ether,
    has_passed,
    pause_before_probe,
    room_left,
    shortfall,
    verdict,
)
from keeper.execution.reserving import (
    base_fee_reserved,
    batch_cost,
    in_flight_cost,
    largest_within,
    least_cost,
)
from keeper.execution.told import breaker_event

log = logging.getLogger(__name__)

BALANCE_BLOCKS: Final = 50
"""Blocks between two reads of the wallet's balance. Gas costs since then are subtracted."""
BALANCE_SECONDS: Final = 2.0
"""Timeout of the balance read. Sends wait as long."""

_NOTHING: Final = Wei(0)


class BreakerJournal(Protocol):
    """Stored receipts and breaker states. Each method may raise JournalError."""

    async def spent(self, since: Timestamp, newest: int) -> list[Spent]:
        """Return the costs of transactions mined since a time, and of the newest liquidations."""
        ...

    async def breakers(self) -> list[BreakerState]:
        """Return every breaker's state."""
        ...

    async def open_breaker(self, opened: OpenBreaker) -> None:
        """Persist that a breaker is open."""
        ...

    async def close_breaker(self, name: Breaker, by: str, *, forgive: bool) -> bool:
        """Persist that a breaker is closed. Returns whether it was open."""
        ...


class Balances(Protocol):
    """The balance read of the limits. It may raise ``ChainError``."""

    async def balance(self, address: Address, basis: Basis) -> Wei:
        """Return an account's native balance."""
        ...


@dataclass(slots=True)
class Dates:
    """Corrects mined times to be no earlier than the block at which the nonce was pending.

    A node with a clock that is an hour late would otherwise move their cost out of the hourly
    window.
    """

    observed_at: int = 0
    _earliest: dict[int, int] | None = None

    def corrected(self, spent: Sequence[Spent]) -> list[Spent]:
        """Return the costs with corrected times. New ones were mined since the last observation."""
        known = self._earliest
        earliest = 0 if known is None else self.observed_at
        self._earliest = {one.nonce: (known or {}).get(one.nonce, earliest) for one in spent}
        return [
            replace(one, timestamp=Timestamp(max(one.timestamp, self._earliest[one.nonce])))
            for one in spent
        ]


@dataclass(slots=True, kw_only=True)
class Breakers:
    """Guard of a key by its limits and by the breakers stored in its journal.

    ``observe`` reads the journal only if a receipt was noted since, and the balance every
    ``BALANCE_BLOCKS`` blocks (each block while it is too low). ``allowed`` reads nothing.
    """

    limits: Limits
    journal: BreakerJournal
    chain: Balances
    sender: Address
    emit: Emit
    _states: dict[Breaker, BreakerState] = field(default_factory=dict)
    _spent: Sequence[Spent] = ()
    _counted: int = -1
    _counted_at: int = 0
    _dates: Dates = field(default_factory=Dates)
    _balance: tuple[int, Wei] | None = None
    _too_high: bool = False
    _short: Tripped | None = None
    _refused: Tripped | None = None
    _to_keep: OpenBreaker | None = None

    @property
    def held(self) -> str:
        """Reason why a limit holds new transactions, or held some of the last ones, else empty."""
        return self.refusal() or (_format_tripped(self._refused) if self._refused else "")

    def refusal(self) -> str:
        """Return why nothing new may be sent. Empty if sending is possible."""
        told = [f"breaker {one.name} is open: {one.detail}" for one in self._list_open()]
        return "; ".join(told + ([_format_tripped(self._short)] if self._short else []))

    def allowed(
        self, wanted: Sequence[Priced], nonces: Nonces, head: Head, parts: Parts = whole_only
    ) -> list[Priced]:
        """Return the transactions that may be sent, in order, without any request.

        Each allowed one counts as in flight for the next. One that costs too much is made smaller:
        ``parts`` splits it after a number of plans, and its first plans, the best ones, are sent as
        far as they fit. Where only the limit per transaction is exceeded, the other plans follow in
        further transactions. A tripped breaker stops all that follow.
        """
        self._refused = None
        bound, base_fee = nonces.bound(), base_fee_reserved(head)
        history, in_flight = self._build_history(head), in_flight_cost(bound, base_fee)
        passed, left = list[Priced](), list(wanted)
        if history.is_probing:
            left = [] if bound else left[:1]
        while left:
            batch, fees = left.pop(0)
            cost = batch_cost(batch, fees, base_fee)
            found = verdict(history, in_flight, cost, self.limits)
            if isinstance(found, Allowed):
                in_flight = Wei(in_flight + cost)
                passed.append((batch, fees))
                continue
            room = self._compute_room(history, in_flight)
            smaller = largest_within(batch, room, base_fee, parts) if room else ()
            if smaller and found.breaker is Limit.GAS_PER_TRANSACTION:
                left[:0] = smaller
                continue
            self._refused = found
            if smaller:
                passed.append(smaller[0])
                in_flight = Wei(in_flight + batch_cost(*smaller[0], base_fee))
            self._to_keep = _build_open_breaker(
                found, least_cost(batch, fees, base_fee, parts), head
            )
            if self._to_keep is not None:
                break
        return passed

    def _compute_room(self, history: History, in_flight: Wei) -> Wei:
        """Compute the most that one more transaction may cost. 0 if none may be sent."""
        if not isinstance(verdict(history, in_flight, _NOTHING, self.limits), Allowed):
            return _NOTHING
        return room_left(history, in_flight, self.limits)

    async def take_up(self, nonces: Nonces, head: Head) -> None:
        """Count everything from the journal, and report the breakers left open.

        Raises:
            JournalError: it could not be read or written.
        """
        await self._load()
        for one in self._list_open():
            self._report_breaker(one.name, "open", one.detail, head)
        await self.observe(nonces, head)

    async def observe(self, nonces: Nonces, head: Head) -> None:
        """Count the newly mined transactions, and open or close breakers accordingly.

        Raises:
            JournalError: it could not be read or written.
        """
        # A head may be older than the one before; then its day began earlier.
        if nonces.settlements != self._counted or head.timestamp < self._counted_at:
            since = Timestamp(head.timestamp - 2 * DAY_SECONDS)
            mined = await self.journal.spent(since, self.limits.max_consecutive_reverts)
            self._spent = self._dates.corrected(mined)
            self._counted, self._counted_at = nonces.settlements, head.timestamp
        self._dates.observed_at = head.timestamp
        await self._check_balance(head)
        history = self._build_history(head)
        in_flight = in_flight_cost(nonces.bound(), base_fee_reserved(head))
        for one in self._list_open():
            if has_passed(one.name, history, in_flight, one.wanted, self.limits):
                await self.journal.close_breaker(one.name, "window", forgive=False)
                await self._load()
                self._report_breaker(one.name, "closed", "its window has passed", head)
        await self._close_for_probe(head)
        history = self._build_history(head)
        spent = verdict(history, _NOTHING, _NOTHING, self.limits)
        if isinstance(spent, Tripped):
            self._to_keep = _build_open_breaker(spent, _NOTHING, head)
            await self.keep(head)

    async def _close_for_probe(self, head: Head) -> None:
        """Close the ``reverts`` breaker for one probing transaction once its pause has passed."""
        state = self._states[Breaker.REVERTS]
        if state.open is None:
            return
        pause = pause_before_probe(state.probes)
        if head.timestamp < state.open.timestamp + pause:
            return
        await self.journal.close_breaker(Breaker.REVERTS, PROBE, forgive=True)
        await self._load()
        detail = f"after {pause} s one transaction may probe whether it works again"
        self._report_breaker(Breaker.REVERTS, "closed", detail, head)

    async def keep(self, head: Head | None) -> None:
        """Persist the tripped breaker, if there is one.

        Raises:
            JournalError: it could not be written.
        """
        tripped, self._to_keep = self._to_keep, None
        if tripped is not None and self._states[tripped.name].open is None:
            await self.journal.open_breaker(tripped)
            await self._load()
            self._report_breaker(tripped.name, "open", tripped.detail, head)

    def is_open(self, breaker: Breaker) -> bool:
        """Whether a breaker holds new transactions."""
        return any(one.name is breaker for one in self._list_open())

    async def hold(self, opened: OpenBreaker, head: Head | None) -> None:
        """Open a breaker and persist it for later processes.

        Raises:
            JournalError: it could not be written. Nothing changed.
        """
        if not self.is_open(opened.name):
            await self.journal.open_breaker(opened)
            await self._load()
            self._report_breaker(opened.name, "open", opened.detail, head)

    async def release(self, breaker: Breaker, why: str, head: Head | None) -> None:
        """Close a breaker once its cause has ceased.

        Raises:
            JournalError: it could not be written. Nothing changed.
        """
        if await self.journal.close_breaker(breaker, "chain", forgive=False):
            await self._load()
            self._report_breaker(breaker, "closed", why, head)

    async def pause(self, head: Head | None) -> None:
        """Hold new transactions until ``reset``, also in later processes.

        Raises:
            JournalError: it could not be written. Nothing changed.
        """
        self._to_keep = paused_at(head)
        await self.keep(head)

    async def reset(self, name: str, head: Head | None) -> None:
        """Close a breaker by an operator's command, excluding from its count all mined so far.

        Raises:
            ConfigError: there is no such breaker, or it is not open.
            JournalError: it could not be written. Nothing changed.
        """
        breaker = named(name)
        if not await self.journal.close_breaker(breaker, "reset", forgive=True):
            raise not_open(breaker)
        await self._load()
        self._refused = None
        self._report_breaker(breaker, "closed", "reset by the operator", head)

    def _list_open(self) -> list[OpenBreaker]:
        return [one.open for one in self._states.values() if one.open is not None]

    async def _load(self) -> None:
        self._states = {one.name: one for one in await self.journal.breakers()}

    def _build_history(self, head: Head) -> History:
        return History(
            now=head.timestamp,
            spent=self._spent,
            forgiven={one.name: one.settled_through for one in self._states.values()},
            balance=self._estimate_balance(),
            probes=self._states[Breaker.REVERTS].probes if self._states else 0,
        )

    def _estimate_balance(self) -> Wei | None:
        """Return the balance read last, less the gas cost of the blocks after it."""
        if self._balance is None:
            return None
        block, read = self._balance
        return Wei(read - sum(one.cost for one in self._spent if one.block_number > block))

    async def _check_balance(self, head: Head) -> None:
        """Read the balance if due, and report when it leaves or enters its allowed range."""
        fresh = self._balance is not None and head.number - self._balance[0] < BALANCE_BLOCKS
        if not fresh or shortfall(self._build_history(head), self.limits) is not None:
            try:
                async with asyncio.timeout(BALANCE_SECONDS):
                    read = await self.chain.balance(self.sender, Basis(block_hash=head.hash))
            except (ChainError, TimeoutError) as error:
                reason = error or "no answer"
                log.warning("balance_unknown block=%d reason=%s", head.number, reason)
                return
            self._balance = (head.number, read)
        short, before = shortfall(self._build_history(head), self.limits), self._short
        self._short = short
        if short is not None and before is None:
            self._report_breaker(Limit.MIN_BALANCE, "open", short.detail, head)
        elif short is None and before is not None:
            self._report_breaker(Limit.MIN_BALANCE, "closed", "the wallet was topped up", head)
        self._warn_of_high_balance(head)

    def _warn_of_high_balance(self, head: Head) -> None:
        holds, most = self._estimate_balance() or _NOTHING, self.limits.max_balance
        if holds > most and not self._too_high:
            log.warning(
                "balance_high block=%d balance_eth=%s max_balance_eth=%s",
                head.number,
                ether(holds),
                ether(most),
            )
        self._too_high = holds > most

    def _report_breaker(
        self, name: Breaker | Limit, state: str, detail: str, head: Head | None
    ) -> None:
        hint = f" reset with: keeper breaker reset {name}" if _needs_reset(name, state) else ""
        log.warning("breaker_%s name=%s reason=%s%s", state, name, detail, hint)
        self.emit(breaker_event(name, state, detail, head))


def _build_open_breaker(found: Tripped, wanted: Wei, head: Head) -> OpenBreaker | None:
    """Build the breaker that a limit trips. None if the limit has no breaker."""
    if not isinstance(found.breaker, Breaker):
        return None
    return OpenBreaker(
        name=found.breaker,
        detail=found.detail,
        block_number=head.number,
        timestamp=head.timestamp,
        wanted=wanted,
    )


def _format_tripped(found: Tripped) -> str:
    return f"limit {found.breaker}: {found.detail}"


def _needs_reset(name: Breaker | Limit, state: str) -> bool:
    return state == "open" and name in {Breaker.PAUSED, Breaker.FINALITY}
