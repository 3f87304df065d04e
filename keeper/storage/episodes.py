"""Rows of margin-call state and episodes, inside the caller's transaction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from keeper.audit.canonical import canonical
from keeper.audit.chain import NewEntry
from keeper.domain.advice import Advice
from keeper.domain.notice import Notice
from keeper.domain.parity import Subject
from keeper.domain.units import Address, MarketKey
from keeper.margin.documents import rest_document, rest_from, standing_document, standing_from
from keeper.margin.episodes import Change
from keeper.margin.facts import BlockFacts
from keeper.margin.settings import SEVERITY
from keeper.margin.state import MarginState, Mark, Standing
from keeper.storage.notices import advice_document, advice_from
from keeper.storage.record import append
from keeper.storage.schema import episodes, margin_state, standings

EPISODE: Final = "episode"
CALL: Final = "call"
CURED: Final = "cured"
LIQUIDATED: Final = "liquidated"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCall:
    """An account in an episode, with its state and the advice of its newest call."""

    market: MarketKey
    account: Address
    standing: Standing
    block_number: int
    advice: Advice | None


def state_of(connection: Connection) -> MarginState:
    """Load the margin-call state, a new state where none is stored."""
    document = connection.execute(select(margin_state.c.document)).scalar()
    state = MarginState() if document is None else rest_from(document)
    counted = select(episodes.c.market, episodes.c.account, func.max(episodes.c.number)).group_by(
        episodes.c.market, episodes.c.account
    )
    kept = connection.execute(select(standings))
    return replace(
        state,
        standings={_get_subject(row): standing_from(row.document) for row in kept},
        numbers={
            (MarketKey(market), Address(account)): int(number)
            for market, account, number in connection.execute(counted)
        },
    )


def keep(
    connection: Connection,
    state: MarginState,
    changes: Sequence[Change],
    facts: BlockFacts,
    advice: Mapping[Subject, Advice],
) -> None:
    """Persist a block's changes in one transaction."""
    keep_rest(connection, state, facts.wall)
    _persist_account_states(connection, changes, facts, advice)
    _persist_episodes(connection, changes, facts)
    append(connection, [one for change in changes for one in _build_change_entries(change, facts)])


def keep_rest(connection: Connection, state: MarginState, seen_at: int | None = None) -> None:
    """Persist the state apart from the accounts.

    ``seen_at`` is the time at which the block was seen. Without it the stored time remains.
    """
    if seen_at is None:
        seen_at = connection.execute(select(margin_state.c.seen_at)).scalar()
    connection.execute(delete(margin_state))
    connection.execute(
        insert(margin_state).values(
            block_number=state.number,
            block_hash=state.hash,
            document=rest_document(state),
            seen_at=seen_at,
        )
    )


def keep_standing(connection: Connection, subject: Subject, standing: Standing) -> None:
    """Persist one account's state, which has a row already."""
    connection.execute(
        update(standings)
        .where(standings.c.market == subject[0], standings.c.account == subject[1])
        .values(document=standing_document(standing))
    )


def open_calls(connection: Connection) -> list[OpenCall]:
    """Return every account in an episode with a notified tier, by market and account."""
    rows = connection.execute(select(standings).order_by(standings.c.market, standings.c.account))
    found = (
        OpenCall(
            market=MarketKey(row.market),
            account=Address(row.account),
            standing=standing_from(row.document),
            block_number=row.block_number,
            advice=None if row.advice is None else advice_from(row.advice),
        )
        for row in rows
    )
    return [one for one in found if one.standing.episode]


def unadvised(connection: Connection) -> list[Subject]:
    """Return the accounts with a call without advice."""
    return [(one.market, one.account) for one in open_calls(connection) if one.advice is None]


def _persist_account_states(
    connection: Connection,
    changes: Sequence[Change],
    facts: BlockFacts,
    advice: Mapping[Subject, Advice],
) -> None:
    known = set(_find_known(connection, [one.subject for one in changes]))
    gone = [one.subject for one in changes if one.after is None and one.subject in known]
    kept = [one for one in changes if one.after is not None]
    rows = [_build_state_row(one, facts) for one in kept]
    new = [row for row in rows if (row["market"], row["account"]) not in known]
    old = [row for row in rows if (row["market"], row["account"]) in known]
    if new:
        connection.execute(insert(standings), new)
    if old:
        changed = update(standings).where(
            standings.c.market == bindparam("market_"), standings.c.account == bindparam("account_")
        )
        connection.execute(
            changed.values(
                document=bindparam("document_"), block_number=bindparam("block_number_")
            ),
            [{f"{name}_": value for name, value in row.items()} for row in old],
        )
    for market, account in gone:
        connection.execute(
            delete(standings).where(standings.c.market == market, standings.c.account == account)
        )
    for (market, account), one in advice.items():
        connection.execute(
            update(standings)
            .where(standings.c.market == market, standings.c.account == account)
            .values(advice=advice_document(one))
        )


def _find_known(connection: Connection, subjects: Sequence[Subject]) -> Iterator[Subject]:
    """Yield the accounts that have a row."""
    accounts = sorted({account for _, account in subjects})
    for at in range(0, len(accounts), _AT_ONCE):
        rows = connection.execute(
            select(standings.c.market, standings.c.account).where(
                standings.c.account.in_(accounts[at : at + _AT_ONCE])
            )
        )
        yield from (_get_subject(row) for row in rows)


def _persist_episodes(connection: Connection, changes: Sequence[Change], facts: BlockFacts) -> None:
    opened, closed = list[dict[str, Any]](), list[tuple[Change, Standing]]()
    for one in changes:
        if one.after is not None and one.after.episode and not one.before.episode:
            opened.append(_build_episode_row(one, one.after.opened or Mark.of(facts)))
        if one.after is None and one.before.episode:
            closed.append((one, one.before))
    if opened:
        connection.execute(insert(episodes), opened)
    for one, before in closed:
        liquidated = before.liquidated or one.subject in facts.liquidated
        connection.execute(
            update(episodes)
            .where(
                episodes.c.market == one.subject[0],
                episodes.c.account == one.subject[1],
                episodes.c.number == before.episode,
            )
            .values(
                closed_block=facts.number,
                closed_time=facts.timestamp,
                closed_at=facts.wall,
                outcome=LIQUIDATED if liquidated else CURED,
            )
        )


def _build_episode_row(change: Change, opened: Mark) -> dict[str, Any]:
    return {
        "market": change.subject[0],
        "account": change.subject[1],
        "number": change.after.episode if change.after else 0,
        "opened_block": opened.number,
        "opened_time": opened.timestamp,
        "opened_at": opened.wall,
    }


def _build_state_row(change: Change, facts: BlockFacts) -> dict[str, Any]:
    return {
        "market": change.subject[0],
        "account": change.subject[1],
        "block_number": facts.number,
        "document": standing_document(change.after or change.before),
    }


def _build_change_entries(change: Change, facts: BlockFacts) -> Iterator[NewEntry]:
    """Yield the entries of a change, for its tier and for an episode's beginning and end."""
    before, after = change.before, change.after or Standing()
    moved = SEVERITY[after.tier] - SEVERITY[before.tier]
    if after.episode and not before.episode:
        yield _build_change_entry(change, facts, "opened")
    if moved:
        yield _build_change_entry(change, facts, "entered" if moved > 0 else "left")
    if before.episode and not after.episode:
        yield _build_change_entry(change, facts, "closed")


def _build_change_entry(change: Change, facts: BlockFacts, news: str) -> NewEntry:
    after = change.after or Standing()
    health = facts.accounts.get(change.subject)
    liquidated = change.before.liquidated or change.subject in facts.liquidated
    body = {
        "episode": after.episode or change.before.episode,
        "change": news,
        "before": str(change.before.tier),
        "tier": str(after.tier),
        "health_factor": None if health is None else health.health_factor,
        "guarded_health_factor": after.guarded,
        "wall": facts.wall,
        "block_hash": facts.hash,
    }
    if news == "closed":
        body["outcome"] = LIQUIDATED if liquidated else CURED
    return NewEntry(
        kind=EPISODE,
        block_number=facts.number,
        block_time=facts.timestamp,
        market=change.subject[0],
        account=change.subject[1],
        body=canonical(body),
    )


def _build_cheapest_cure(advice: Advice | None) -> dict[str, object] | None:
    """Return the cheapest advised cure with its validity."""
    if advice is None or not advice.cures:
        return None
    cure = advice.cures[0]
    return {
        "kind": str(cure.kind),
        "token": cure.token,
        "symbol": cure.symbol,
        "decimals": cure.decimals,
        "amount": cure.amount,
        "target": advice.target,
        "holds_until": advice.holds_until,
    }


def call_entry(notice: Notice, channels: int) -> NewEntry:
    """Build the entry of a due notice.

    ``channels`` is the number of configured channels. Their deliveries are entries of their own.
    """
    body = {
        "kind": str(notice.kind),
        "episode": notice.episode,
        "tier": notice.tier,
        "health_factor": notice.health_factor,
        "guarded_health_factor": notice.guarded_health_factor,
        "debt_usd_e8": notice.debt_usd_e8,
        "deadline": notice.deadline,
        "detail": notice.detail,
        "key": notice.key,
        "cure": _build_cheapest_cure(notice.advice),
        "channels": channels,
    }
    return NewEntry(
        kind=CALL,
        block_number=notice.block_number,
        block_time=notice.timestamp,
        market=notice.market,
        account=notice.account,
        body=canonical(body),
    )


def _get_subject(row: Any) -> Subject:  # noqa: ANN401 (SQLAlchemy's row)
    return (MarketKey(row.market), Address(row.account))


_AT_ONCE: Final = 500
"""Maximum of values in one statement, below the limits of SQLite and PostgreSQL."""
