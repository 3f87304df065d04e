"""Accounts that have been liquidatable for long without action, with reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keeper.chain.concurrent import each
from keeper.cli.picking import Row
from keeper.cli.reasons import in_words
from keeper.composition.session import Session
from keeper.config import Settings
from keeper.domain.errors import JournalError
from keeper.domain.head import Head
from keeper.domain.units import Address
from keeper.storage import database
from keeper.storage.decisions import StoredDecision, history

IN_FLIGHT = 4
UNKNOWN = "the journal has nothing of it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A liquidatable account without action for ``seconds``, with the newest reason.

    ``seconds`` is None if the journal has no data of the account. ``reason_block`` is the block of
    that reason, which may be old.
    """

    row: Row
    seconds: int | None
    reason: str
    detail: str
    reason_block: int | None = None

    @property
    def fields(self) -> dict[str, object]:
        """The JSON fields."""
        return {
            "overdue_seconds": self.seconds,
            "reason": self.reason,
            "detail": self.detail,
            "reason_block": self.reason_block,
        }

    @property
    def cells(self) -> tuple[str, str]:
        """The table's cells."""
        when = "" if self.reason_block is None else f" (at block {self.reason_block})"
        left = "?" if self.seconds is None else f"{self.seconds} s"
        return left, f"{in_words(self.reason)}{when}"


async def overdue(session: Session, head: Head, rows: Sequence[Row], seconds: int) -> list[Overdue]:
    """Return the liquidatable rows without action for longer than ``seconds``.

    The time counts from the block at which the journal first skipped the account, unless there was
    another decision since. If it was recorded again unchanged (it was healthy in between, or the
    keeper was restarted), it counts from then.
    """
    unhealthy = [row for row in rows if row.health.liquidatable]
    past = _read_decisions(session.settings, {row.health.account for row in unhealthy})
    refused = [
        (
            row,
            _list_skips(
                [one for one in past[row.health.account] if one.market == row.health.market]
            ),
        )
        for row in unhealthy
    ]
    blocks = sorted({found[0].block_number for _, found in refused if found})
    heads = await each(blocks, session.reader.head, in_flight=IN_FLIGHT)
    times = {one.number: one.timestamp for one in heads}
    made = [
        Overdue(
            row=row,
            seconds=head.timestamp - times[found[0].block_number] if found else None,
            reason=found[-1].reason if found else UNKNOWN,
            detail=found[-1].detail if found else "",
            reason_block=found[-1].block_number if found else None,
        )
        for row, found in refused
    ]
    return [one for one in made if one.seconds is None or one.seconds > seconds]


def _list_skips(past: Sequence[StoredDecision]) -> list[StoredDecision]:
    """Return the latest consecutive skips, oldest first."""
    found: list[StoredDecision] = []
    for one in past:
        if one.action != "skip":
            found = []
            continue
        again = bool(found) and (found[-1].reason, found[-1].net_profit) == (
            one.reason,
            one.net_profit,
        )
        found = [one] if again else [*found, one]
    return found


def _read_decisions(
    settings: Settings, accounts: set[Address]
) -> dict[Address, list[StoredDecision]]:
    """Read the recorded decisions about these accounts. Empty without a journal."""
    path = _find_journal(settings.journal.path)
    if path is None:
        return {one: [] for one in accounts}
    engine = database.reader(path)
    try:
        return database.read(
            engine, lambda connection: {one: history(connection, one) for one in accounts}
        )
    except JournalError:
        return {one: [] for one in accounts}
    finally:
        engine.dispose()


def _find_journal(path: Path) -> Path | None:
    """Return the live run's journal, else the dry run's, else None."""
    dry = path.with_name(f"{path.stem}.dry-run{path.suffix}")
    return next((one for one in (path, dry) if one.exists() and one.stat().st_size), None)
