"""Log of decisions, with an entry for every change and a digest of every block."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select

from keeper.audit.canonical import Documents, Part, canonical, plain, sha256
from keeper.audit.chain import Entry, NewEntry
from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision, Liquidate
from keeper.domain.head import Head
from keeper.domain.units import Address, MarketKey, Timestamp, Wei, mul_div_floor
from keeper.ports import Given
from keeper.storage import submissions
from keeper.storage.database import Database
from keeper.storage.inputs import Recorder
from keeper.storage.record import DAY, append, entries_of, prune_older
from keeper.storage.schema import entries
from keeper.strategy.rounds import liquidate

DECISION: Final = "decision"
DIGEST: Final = "digest"

Key = tuple[MarketKey, Address]

Verdict = tuple[str, str, Wei | None]
"""Action, reason and net profit, as stored."""


def is_news(before: Verdict | None, now: Verdict) -> bool:
    """Whether an account's decision differs from the stored one.

    Action and reason count. A profit counts once it leaves the band from half to double the stored
    one, so that small fluctuations are stored once.
    """
    if before is None or before[:2] != now[:2]:
        return True
    was, profit = before[2], now[2]
    if was is None or profit is None:
        return was is not profit
    near = profit < 0 if was < 0 else profit >= 0
    return not (near and 2 * abs(profit) >= abs(was) and abs(profit) <= 2 * abs(was))


def profit_band(net_profit: Wei | None) -> int | None:
    """Return the power of two above the profit, with the profit's sign.

    A band contains the profits from half of its power up to it. Zero has its own band.
    """
    if net_profit is None:
        return None
    return -abs(net_profit).bit_length() if net_profit < 0 else net_profit.bit_length()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """One stored change of an account's decision. ``entry`` is its number in the record."""

    entry: int
    block_number: int
    market: MarketKey
    action: str
    reason: str
    detail: str
    net_profit: Wei | None
    health_factor: int | None


def history(connection: Connection, account: Address) -> list[StoredDecision]:
    """Return the stored decisions about an account, oldest first."""
    return decisions_among(entries_of(connection, account, DECISION))


def decisions_among(entries: Sequence[Entry]) -> list[StoredDecision]:
    """Select the decisions among entries, in their order."""
    return [_parse_stored_decision(one) for one in entries if one.kind == DECISION]


class DecisionJournal:
    """The journal's decision log. A permanent skip is one entry, not one per block."""

    def __init__(
        self, database: Database, recorder: Recorder | None = None, keep_days: int | None = None
    ) -> None:
        """Take the database. Without a recorder the inputs of decisions are not stored."""
        self._database = database
        self._recorder = recorder
        self._keep_days = keep_days
        self._pruned_at = 0
        self._last: dict[Key, Verdict] = {}

    async def start(self) -> None:
        """Record the decisions that an earlier process acted on and did not record."""
        await self._database.write(_record_unrecorded)

    async def record(
        self,
        head: Head,
        decisions: Sequence[Decision],
        health: Mapping[Key, AccountHealth],
        given: Given | None = None,
    ) -> None:
        """Record the changed decisions with their inputs, and the block's digest."""
        block = _BlockEntries(head=head, health=health, given=given, recorder=self._recorder)
        await asyncio.to_thread(block.read, decisions, self._last)
        await self._database.write(append, block.entries, block.documents)
        self._last = block.verdicts
        if self._keep_days is not None and abs(head.timestamp - self._pruned_at) >= DAY:
            self._pruned_at = head.timestamp
            await self._database.write(prune_older, self._keep_days)


@dataclass(slots=True, kw_only=True)
class _BlockEntries:
    """Entries of one block."""

    head: Head
    health: Mapping[Key, AccountHealth]
    given: Given | None
    recorder: Recorder | None
    entries: list[NewEntry] = field(default_factory=list)
    documents: Documents = field(default_factory=dict)
    verdicts: dict[Key, Verdict] = field(default_factory=dict)

    def read(self, decisions: Sequence[Decision], last: Mapping[Key, Verdict]) -> None:
        """Find the changes since the ``last`` verdicts, and build their entries."""
        ordered = sorted(decisions, key=lambda one: (one.market, one.account))
        news: list[Decision] = []
        for one in ordered:
            key, verdict = (one.market, one.account), _get_verdict(one)
            before = last.get(key)
            if before is None or is_news(before, verdict):
                news.append(one)
                before = verdict
            self.verdicts[key] = before
        inputs = self._store_inputs(news)
        self.entries += [self._build_decision_entry(one, inputs) for one in news]
        self.entries.append(self._build_entry(DIGEST, _build_digest(self.head, ordered)))

    def _store_inputs(self, news: Sequence[Decision]) -> object | None:
        """Return a reference to the inputs of the changed decisions, None if unknown."""
        if not news or self.recorder is None or self.given is None:
            return None
        subjects = [(one.market, one.account) for one in news]
        document = self.recorder.document(self.head, self.given, subjects)
        return None if document is None else plain(Part(document), self.documents)

    def _build_decision_entry(self, decision: Decision, inputs: object | None) -> NewEntry:
        action, reason, net_profit = _get_verdict(decision)
        health = self.health.get((decision.market, decision.account))
        body = {
            "block_hash": self.head.hash,
            "action": action,
            "reason": reason,
            "detail": "" if isinstance(decision, Liquidate) else decision.detail,
            "net_profit": net_profit,
            "profit_band": profit_band(net_profit),
            "health_factor": None if health is None else health.health_factor,
            "health": health,
            "debt_usd_e8": None if health is None else self._compute_debt_usd_e8(health),
            "decision": decision,
            "inputs": inputs,
        }
        return self._build_entry(DECISION, body, decision.market, decision.account)

    def _compute_debt_usd_e8(self, health: AccountHealth) -> int | None:
        """Return the debt in 1e-8 dollars, rounded down, None without a dollar price."""
        inputs = None if self.given is None else self.given.inputs
        native = None if inputs is None else inputs.native.get(health.market)
        if native is None:
            return None
        numerator, denominator = native.usd_per_base
        return mul_div_floor(health.debt_base, numerator, denominator)

    def _build_entry(
        self,
        kind: str,
        body: Mapping[str, object],
        market: MarketKey | None = None,
        account: Address | None = None,
    ) -> NewEntry:
        return NewEntry(
            kind=kind,
            block_number=self.head.number,
            block_time=self.head.timestamp,
            market=market,
            account=account,
            body=canonical(plain(body, self.documents)),
        )


def _record_unrecorded(connection: Connection) -> None:
    """Record the liquidations of the newest block with transactions, if it has no entry."""
    block = submissions.newest_block(connection)
    if block is None:
        return
    kinds = entries.c.kind.in_((DECISION, DIGEST))
    told = select(entries.c.id).where(entries.c.block_number >= block, kinds)
    if connection.execute(told.limit(1)).first() is None:
        plans = submissions.plans_at(connection, block)
        sent = liquidate([one for one in plans if not (one.is_cure or one.is_clearance)])
        append(connection, [_build_adopted_entry(block, one) for one in sent])


def _build_adopted_entry(block: int, decision: Liquidate) -> NewEntry:
    """Build the entry of a decision with known transaction and unknown inputs."""
    action, reason, net_profit = _get_verdict(decision)
    body = {
        "action": action,
        "reason": reason,
        "detail": "",
        "net_profit": net_profit,
        "health_factor": decision.plan.health_factor,
        "decision": decision,
        "adopted": True,
        "inputs": None,
    }
    return NewEntry(
        kind=DECISION,
        block_number=block,
        block_time=Timestamp(0),
        market=decision.market,
        account=decision.account,
        body=canonical(body),
    )


def _parse_stored_decision(entry: Entry) -> StoredDecision:
    body: dict[str, Any] = json.loads(entry.body)
    profit, health = body["net_profit"], body["health_factor"]
    return StoredDecision(
        entry=entry.id,
        block_number=entry.block_number,
        market=entry.market or MarketKey(""),
        action=body["action"],
        reason=body["reason"],
        detail=body["detail"],
        net_profit=None if profit is None else Wei(int(profit)),
        health_factor=None if health is None else int(health),
    )


def _get_verdict(decision: Decision) -> Verdict:
    action = "liquidate" if isinstance(decision, Liquidate) else "skip"
    return action, _get_reason(decision), _get_net_profit(decision)


def _get_reason(decision: Decision) -> str:
    return "profitable" if isinstance(decision, Liquidate) else str(decision.reason)


def _get_net_profit(decision: Decision) -> Wei | None:
    return decision.plan.net_profit if isinstance(decision, Liquidate) else decision.net_profit


def _build_digest(head: Head, ordered: Sequence[Decision]) -> dict[str, object]:
    counts = Counter(_get_reason(one) for one in ordered)
    document = canonical([[_get_verdict(one)[0], one] for one in ordered])
    return {"block_hash": head.hash, "counts": counts, "sha256_of_all": sha256(document)}
