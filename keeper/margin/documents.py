"""JSON codec of the margin-call state. Integers only, lossless."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from keeper.domain.units import Address, BlockHash, MarketKey, Timestamp, Wad
from keeper.margin.state import (
    Ahead,
    Alarm,
    Breach,
    MarginState,
    Mark,
    Prices,
    Reservation,
    Standing,
    Step,
)
from keeper.risk.tiers import Tier

Plain = Mapping[str, Any]


def standing_document(standing: Standing) -> str:
    """Encode one account's state as JSON."""
    return _text(
        {
            "tier": standing.tier,
            "entered": {tier: _mark(mark) for tier, mark in standing.entered.items()},
            "breaches": {tier: _breach(one) for tier, one in standing.breaches.items()},
            "episode": standing.episode,
            "opened": _maybe(standing.opened),
            "told": sorted(standing.told),
            "reminded": dict(standing.reminded),
            "escalated": sorted(standing.escalated),
            "acknowledged": _maybe(standing.acknowledged),
            "out": None if standing.out is None else _breach(standing.out),
            "liquidated": standing.liquidated,
            "health": standing.health,
            "guarded": standing.guarded,
        }
    )


def standing_from(document: str) -> Standing:
    """Decode one account's state from JSON."""
    raw = json.loads(document)
    return Standing(
        tier=Tier(raw["tier"]),
        entered={Tier(tier): _mark_from(mark) for tier, mark in raw["entered"].items()},
        breaches={Tier(tier): _breach_from(one) for tier, one in raw["breaches"].items()},
        episode=raw["episode"],
        opened=_maybe_from(raw["opened"]),
        told=frozenset(Tier(tier) for tier in raw["told"]),
        reminded={Tier(tier): count for tier, count in raw["reminded"].items()},
        escalated=frozenset(Tier(tier) for tier in raw["escalated"]),
        acknowledged=_maybe_from(raw["acknowledged"]),
        out=None if raw["out"] is None else _breach_from(raw["out"]),
        liquidated=raw["liquidated"],
        health=_maybe_wad(raw["health"]),
        guarded=_maybe_wad(raw["guarded"]),
    )


def rest_document(state: MarginState) -> str:
    """Encode the margin state as JSON, without its accounts."""
    return _text(
        {
            "number": state.number,
            "hash": state.hash,
            "timestamp": state.timestamp,
            "prices": {market: _prices(one) for market, one in state.prices.items()},
            "alarms": {name: _alarm(one) for name, one in state.alarms.items()},
            "reservations": [
                [one.market, one.account, one.timestamp, one.usd_e8, one.block_number]
                for one in state.reservations
            ],
            "ahead": None if state.ahead is None else _ahead(state.ahead),
            "first": state.first,
        }
    )


def rest_from(document: str) -> MarginState:
    """Decode the margin state from JSON. The result has no accounts."""
    raw = json.loads(document)
    return MarginState(
        number=raw["number"],
        hash=BlockHash(raw["hash"]),
        timestamp=Timestamp(raw["timestamp"]),
        prices={MarketKey(market): _prices_from(one) for market, one in raw["prices"].items()},
        alarms={name: _alarm_from(one) for name, one in raw["alarms"].items()},
        reservations=tuple(
            Reservation(
                market=MarketKey(market),
                account=Address(account),
                timestamp=Timestamp(timestamp),
                usd_e8=usd_e8,
                block_number=number[0] if number else 0,
            )
            for market, account, timestamp, usd_e8, *number in raw["reservations"]
        ),
        ahead=_ahead_from(raw["ahead"]) if raw.get("ahead") else None,
        first=raw.get("first", 0),
    )


def _ahead(ahead: Ahead) -> list[Any]:
    return [ahead.number, ahead.hash, sorted(ahead.subjects)]


def _ahead_from(raw: Sequence[Any]) -> Ahead:
    subjects = frozenset((MarketKey(market), Address(account)) for market, account in raw[2])
    return Ahead(number=raw[0], hash=BlockHash(raw[1]), subjects=subjects)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _mark(mark: Mark) -> list[int]:
    return [mark.number, mark.timestamp, mark.wall]


def _mark_from(raw: Sequence[int]) -> Mark:
    return Mark(number=raw[0], timestamp=raw[1], wall=raw[2])


def _maybe(mark: Mark | None) -> list[int] | None:
    return None if mark is None else _mark(mark)


def _maybe_from(raw: Sequence[int] | None) -> Mark | None:
    return None if raw is None else _mark_from(raw)


def _maybe_wad(raw: int | None) -> Wad | None:
    return None if raw is None else Wad(raw)


def _breach(breach: Breach) -> list[Any]:
    return [_mark(breach.since), breach.count]


def _breach_from(raw: Sequence[Any]) -> Breach:
    return Breach(since=_mark_from(raw[0]), count=raw[1])


def _prices(prices: Prices) -> Plain:
    return {
        token: [[one.number, one.timestamp, one.price] for one in steps]
        for token, steps in prices.items()
    }


def _prices_from(raw: Mapping[str, Sequence[Sequence[int]]]) -> Prices:
    return {
        Address(token): tuple(
            Step(number=number, timestamp=Timestamp(timestamp), price=price)
            for number, timestamp, price in steps
        )
        for token, steps in raw.items()
    }


def _alarm(alarm: Alarm) -> Plain:
    return {
        "number": alarm.number,
        "since": _mark(alarm.since),
        "detail": alarm.detail,
        "market": alarm.market,
        "over": None if alarm.over is None else _breach(alarm.over),
        "ended": alarm.ended,
    }


def _alarm_from(raw: Plain) -> Alarm:
    return Alarm(
        number=raw["number"],
        since=_mark_from(raw["since"]),
        detail=raw["detail"],
        market=None if raw["market"] is None else MarketKey(raw["market"]),
        over=None if raw["over"] is None else _breach_from(raw["over"]),
        ended=raw["ended"],
    )
