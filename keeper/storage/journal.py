"""The journal of one key on one chain. Without it nothing is signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, insert, select, update

from keeper.domain.breaker import Breaker, BreakerState, OpenBreaker, Spent
from keeper.domain.errors import JournalError
from keeper.domain.plan import News
from keeper.domain.submission import Attempt, Inclusion, NonceState, Submission
from keeper.domain.units import Address, BlockHash, Timestamp
from keeper.storage import breakers, outcomes, submissions
from keeper.storage.database import Database, opened, read, reader
from keeper.storage.lock import SigningLock
from keeper.storage.recognition import refuse_foreign_file
from keeper.storage.schema import control_actions, identity

LEASE_EPOCH = 0
"""Unused epoch of leases, since a flock selects the single signing process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """The journal's first nonce, and an anchor block that identifies its chain."""

    first_nonce: int
    anchor: tuple[int, BlockHash] | None


class Journal:
    """Journal of bound nonces, signed transactions and their outcomes.

    Each method returns once its transaction is on disk. After a ``JournalError`` nothing may be
    sent.
    """

    def __init__(
        self,
        path: Path,
        database: Database,
        lock: SigningLock,
        chain_id: int,
        identified: "_Identity",
    ) -> None:
        self.path = path
        self.database = database
        self.first_nonce = identified.first_nonce
        self.anchor = identified.anchor
        self._lock = lock
        self._chain_id = chain_id
        self._water: int | None = None
        self._knows_water = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        chain_id: int,
        sender: Address | None,
        chain_nonce: int = 0,
        init: bool = False,
    ) -> Self:
        """Open the journal for this process, for its lifetime.

        ``sender`` is None where nothing is signed (dry run). ``chain_nonce`` is the key's
        transaction count. A journal is only created where that is 0, or with ``init``.

        Raises:
            JournalError: another process holds it, it belongs to another chain or key, it is
                missing although the key was used, or it is foreign or damaged.
        """
        refuse_foreign_file(path)
        lock = SigningLock(path)
        try:
            _refuse_missing(path, chain_nonce, init=init)
            database = opened(path, lock)
        except JournalError:
            lock.release()
            raise
        try:
            found = database.write_now(
                _identify, path, chain_id, sender or "", chain_nonce, init=init
            )
        except JournalError:
            database.close()
            lock.release()
            raise
        return cls(path, database, lock, chain_id, found)

    def close(self) -> None:
        """Release the journal."""
        self.database.close()
        self._lock.release()

    async def open_submissions(self) -> list[Submission]:
        """Return every nonce that is not final, lowest first."""
        states = (NonceState.BOUND, NonceState.INCLUDED)
        return await self.database.write(submissions.submissions_in, states)

    async def high_water(self) -> int | None:
        """Return the highest bound nonce, None without one.

        Read from the file once, and again after an interrupted ``record``. There is no other
        writer.
        """
        if not self._knows_water:
            self._water = await self.database.write(submissions.high_water)
            self._knows_water = True
        return self._water

    async def record(self, bound: Sequence[Submission], news: News | None = None) -> None:
        """Bind nonces to intents, and persist the signed bytes and facts in one transaction."""
        before = await self.high_water()
        self._knows_water = False
        await self.database.write(submissions.record, bound, self._chain_id, LEASE_EPOCH, news)
        nonces = [one.nonce for one in bound]
        self._water = max(nonces if before is None else [before, *nonces], default=None)
        self._knows_water = True

    async def add_attempt(self, attempt: Attempt) -> None:
        """Persist the bytes of a replacement."""
        await self.database.write(submissions.add_attempt, attempt, LEASE_EPOCH)

    async def release(self, cancellation: Attempt) -> None:
        """Release a nonce that no node accepted, free its intents, and persist its cancellation."""
        await self.database.write(submissions.release, cancellation, LEASE_EPOCH)

    async def mark_sent(self, sent: Sequence[Attempt], results: Sequence[str]) -> None:
        """Persist the node's answer to each send."""
        await self.database.write(submissions.mark_sent, sent, results)

    async def include(self, nonce: int, inclusion: Inclusion) -> None:
        """Persist a nonce's receipt. An earlier one of the same nonce is orphaned."""
        await self.database.write(outcomes.include, nonce, inclusion)

    async def reopen(self, nonce: int) -> None:
        """Remove a receipt after a reorg."""
        await self.database.write(outcomes.reopen, nonce)

    async def finalise(self, nonce: int) -> None:
        """Persist that a receipt is final."""
        await self.database.write(outcomes.finalise, nonce)

    async def final_above(self, block_number: int) -> list[Submission]:
        """Return the final nonces above a block, lowest first."""
        return await self.database.write(submissions.final_above, block_number)

    async def mined_since(self, block_number: int) -> list[Submission]:
        """Return the nonces included at this block or above, those that failed in full."""
        return await self.database.write(submissions.mined_since, block_number)

    async def unbound(self, first: int, last: int) -> list[int]:
        """Return the nonces from ``first`` to ``last``, both included, that were never bound."""
        return await self.database.write(submissions.unbound, first, last)

    async def keep_anchor(self, number: int, block_hash: BlockHash) -> None:
        """Persist a deep block that identifies the chain."""
        await self.database.write(_keep_anchor, number, block_hash)
        self.anchor = (number, block_hash)

    async def probe(self) -> None:
        """Write without a change. Raises JournalError where nothing can be persisted."""
        await self.database.write(_write_nothing)

    async def spent(self, since: Timestamp, newest: int) -> list[Spent]:
        """Return the costs mined since a time, and the newest liquidations, by nonce."""
        return await self.database.write(breakers.spent, since, newest)

    async def breakers(self) -> list[BreakerState]:
        """Return every breaker's state."""
        return await self.database.write(breakers.states)

    async def open_breaker(self, opened: OpenBreaker) -> None:
        """Persist that a breaker is open."""
        await self.database.write(breakers.open_breaker, opened)

    async def close_breaker(self, name: Breaker, by: str, *, forgive: bool) -> bool:
        """Persist that a breaker is closed. Return whether it was open."""
        return await self.database.write(breakers.close_breaker, name, by, forgive=forgive)

    async def record_control(self, action: str, argument: str, result: str) -> None:
        """Persist an operator's command to the running node, with its result."""
        await self.database.write(_record_control, action, argument, result)


def sender_of(path: Path) -> Address | None:
    """Return the journal's key address, None without a journal or a key."""
    if not path.is_file() or path.stat().st_size == 0:
        return None
    engine = reader(path)
    try:
        row = read(engine, lambda one: one.execute(select(identity.c.sender)).first())
    finally:
        engine.dispose()
    return Address(row.sender) if row is not None and row.sender else None


def _refuse_missing(path: Path, chain_nonce: int, *, init: bool) -> None:
    if not path.exists() or path.stat().st_size == 0:
        _refuse_used(path, chain_nonce, init=init)


def _refuse_used(path: Path, chain_nonce: int, *, init: bool) -> None:
    if chain_nonce > 0 and not init:  # mutation: F24 lost-journal
        raise JournalError(
            f"there is no journal at {path}, but the key has sent {chain_nonce} transactions",
            hint="point journal.path at the key's journal; if there is none and nothing of"
            " this key is pending, start once with --init-journal",
        )


def _identify(
    connection: Connection, path: Path, chain_id: int, sender: str, chain_nonce: int, *, init: bool
) -> _Identity:
    """Check the journal's identity, or set it in a new one."""
    row = connection.execute(select(identity)).first()
    if row is None:
        _refuse_used(path, chain_nonce, init=init)
        connection.execute(
            insert(identity).values(
                id=1,
                chain_id=chain_id,
                sender=sender,
                first_nonce=chain_nonce,
                created_at=submissions.now(),
            )
        )
        return _Identity(first_nonce=chain_nonce, anchor=None)
    if row.chain_id != chain_id:
        raise JournalError(
            f"the journal belongs to chain {row.chain_id}, not to chain {chain_id}",
            hint="give every chain a journal of its own (journal.path)",
        )
    if row.sender != sender:
        owner = row.sender or "a dry run"
        raise JournalError(
            f"the journal belongs to {owner}, not to {sender or 'a dry run'}",
            hint="give every key a journal of its own (journal.path)",
        )
    anchored = row.anchor_number is not None
    return _Identity(
        first_nonce=int(row.first_nonce),
        anchor=(row.anchor_number, BlockHash(row.anchor_hash)) if anchored else None,
    )


def _keep_anchor(connection: Connection, number: int, block_hash: BlockHash) -> None:
    connection.execute(update(identity).values(anchor_number=number, anchor_hash=block_hash))


def _write_nothing(connection: Connection) -> None:
    connection.execute(update(identity).values(id=identity.c.id))


def _record_control(connection: Connection, action: str, argument: str, result: str) -> None:
    connection.execute(
        insert(control_actions).values(
            at=submissions.now(), action=action, argument=argument, result=result
        )
    )
