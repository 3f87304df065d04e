"""Replay of a recorded decision from stored inputs, compared with the record.

The planning code is the running keeper's own (``pipeline.decided``). Only its external inputs come
from the record.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keeper.audit.canonical import Documents, plain, resolved
from keeper.audit.chain import Entry
from keeper.composition.restaged import Difference, Stage
from keeper.domain.decision import Decision, Liquidate, Skip, SkipReason
from keeper.domain.errors import JournalError
from keeper.forms import Forms

_UNKNOWN: Final = "what it was made of is not on record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Result of a replayed decision.

    ``missing`` is why it could not be replayed. ``recorded_by`` is the program that made it.
    """

    entry: int
    decision: Decision | None = None
    differences: tuple[Difference, ...] = ()
    missing: str = ""
    recorded_by: str = ""

    @property
    def same(self) -> bool:
        """Whether the replay equals the record exactly."""
        return not (self.missing or self.differences)


async def replayed(entries: Sequence[Entry], texts: Documents, forms: Forms) -> list[Replayed]:
    """Replay recorded decisions of one block and compare every figure.

    All of them refer to the same inputs (``inputs_of``). ``texts`` are all stored texts that these
    refer to, directly or not.

    Raises:
        JournalError: the stored data is no record of this version, or is incomplete.
    """
    stage = stage_of(entries[0], texts, forms)
    if stage is None:
        return [Replayed(entry=one.id, missing=_UNKNOWN) for one in entries]
    bodies = [json.loads(one.body) for one in entries]
    mine = await stage.decided()
    return [
        Replayed(
            entry=one.id,
            decision=found,
            differences=(*stage.complaints, *_compare_decision(found, body["decision"])),
            recorded_by=stage.stored.program.code,
        )
        for one, body in zip(entries, bodies, strict=True)
        for found in [mine.get((one.market, one.account))]
    ]


def stage_of(entry: Entry, texts: Documents, forms: Forms) -> Stage | None:
    """Rebuild the block of a recorded decision. None if it is not on record.

    Raises:
        JournalError: the stored data is no record of this version, or is incomplete.
    """
    if inputs_of(entry) is None:
        return None
    try:
        document: Any = resolved(json.loads(entry.body)["inputs"], texts)
        return Stage.of(document, forms)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise JournalError(
            f"entry {entry.id} cannot be read: {error}",
            hint="verify the record with `keeper audit verify`",
        ) from error


def inputs_of(entry: Entry) -> str | None:
    """Return the hash of a decision's inputs. None if they are not on record."""
    inputs = json.loads(entry.body).get("inputs")
    return None if inputs is None else str(inputs["sha256"])


def _compare_decision(mine: Decision | None, recorded: Mapping[str, Any]) -> list[Difference]:
    """List the differences. An unsent liquidation is compared with its skip."""
    if isinstance(mine, Liquidate) and recorded.get("reason") == SkipReason.NOT_SENT:
        mine = Skip(
            market=mine.market,
            account=mine.account,
            reason=SkipReason.NOT_SENT,
            detail=str(recorded.get("detail")),
            net_profit=mine.plan.net_profit,
        )
    if isinstance(mine, Liquidate) and recorded.get("further") is None:
        recorded = {"further": [], **recorded}  # as it was recorded before there were any
    if mine is None:
        return [Difference(field="decision", recorded="one", replayed="none")]
    return list(_list_differences("", recorded, plain(mine)))


def _list_differences(where: str, recorded: object, mine: object) -> Sequence[Difference]:
    """List every differing leaf by its dotted name."""
    if isinstance(recorded, Mapping) and isinstance(mine, Mapping):
        names = sorted(recorded.keys() | mine.keys())
        pairs = [(name, recorded.get(name), mine.get(name)) for name in names]
    elif isinstance(recorded, list) and isinstance(mine, list) and len(recorded) == len(mine):
        pairs = [(str(at), *pair) for at, pair in enumerate(zip(recorded, mine, strict=True))]
    elif recorded == mine:
        return []
    else:
        return [
            Difference(field=where, recorded=_format_value(recorded), replayed=_format_value(mine))
        ]
    dot = f"{where}." if where else ""
    return [one for name, *pair in pairs for one in _list_differences(f"{dot}{name}", *pair)]


def _format_value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
