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
    return _dump_json(
        {
            "tier": standing.tier,
            "entered": {tier: _encode_block_time(mark) for tier, mark in standing.entered.items()},
            "breaches": {tier: _encode_breach(one) for tier, one in standing.breaches.items()},
            "episode": standing.episode,
            "opened": _encode_optional_time(standing.opened),
            "told": sorted(standing.told),
            "reminded": dict(standing.reminded),
            "escalated": sorted(standing.escalated),
            "acknowledged": _encode_optional_time(standing.acknowledged),
            "out": None if standing.out is None else _encode_breach(standing.out),
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
        entered={Tier(tier): _decode_block_time(mark) for tier, mark in raw["entered"].items()},
        breaches={Tier(tier): _decode_breach(one) for tier, one in raw["breaches"].items()},
        episode=raw["episode"],
        opened=_decode_optional_time(raw["opened"]),
        told=frozenset(Tier(tier) for tier in raw["told"]),
        reminded={Tier(tier): count for tier, count in raw["reminded"].items()},
        escalated=frozenset(Tier(tier) for tier in raw["escalated"]),
        acknowledged=_decode_optional_time(raw["acknowledged"]),
        out=None if raw["out"] is None else _decode_breach(raw["out"]),
        liquidated=raw["liquidated"],
        health=_decode_optional_wad(raw["health"]),
        guarded=_decode_optional_wad(raw["guarded"]),
    )


def rest_document(state: MarginState) -> str:
    """Encode the margin state as JSON, without its accounts."""
    return _dump_json(
        {
            "number": state.number,
            "hash": state.hash,
            "timestamp": state.timestamp,
            "prices": {market: _encode_prices(one) for market, one in state.prices.items()},
            "alarms": {name: _encode_alarm(one) for name, one in state.alarms.items()},
            "reservations": [
                [one.market, one.account, one.timestamp, one.usd_e8, one.block_number]
                for one in state.reservations
            ],
            "ahead": None if state.ahead is None else _encode_partial_block(state.ahead),
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
        prices={MarketKey(market): _decode_prices(one) for market, one in raw["prices"].items()},
        alarms={name: _decode_alarm(one) for name, one in raw["alarms"].items()},
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
        ahead=_decode_partial_block(raw["ahead"]) if raw.get("ahead") else None,
        first=raw.get("first", 0),
    )


def _encode_partial_block(ahead: Ahead) -> list[Any]:
    return [ahead.number, ahead.hash, sorted(ahead.subjects)]


def _decode_partial_block(raw: Sequence[Any]) -> Ahead:
    subjects = frozenset((MarketKey(market), Address(account)) for market, account in raw[2])
    return Ahead(number=raw[0], hash=BlockHash(raw[1]), subjects=subjects)


def _dump_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _encode_block_time(mark: Mark) -> list[int]:
    return [mark.number, mark.timestamp, mark.wall]


def _decode_block_time(raw: Sequence[int]) -> Mark:
    return Mark(number=raw[0], timestamp=raw[1], wall=raw[2])


def _encode_optional_time(mark: Mark | None) -> list[int] | None:
    return None if mark is None else _encode_block_time(mark)


def _decode_optional_time(raw: Sequence[int] | None) -> Mark | None:
    return None if raw is None else _decode_block_time(raw)


def _decode_optional_wad(raw: int | None) -> Wad | None:
    return None if raw is None else Wad(raw)


def _encode_breach(breach: Breach) -> list[Any]:
    return [_encode_block_time(breach.since), breach.count]


def _decode_breach(raw: Sequence[Any]) -> Breach:
    return Breach(since=_decode_block_time(raw[0]), count=raw[1])


def _encode_prices(prices: Prices) -> Plain:
    return {
        token: [[one.number, one.timestamp, one.price] for one in steps]
        for token, steps in prices.items()
    }


def _decode_prices(raw: Mapping[str, Sequence[Sequence[int]]]) -> Prices:
    return {
        Address(token): tuple(
            Step(number=number, timestamp=Timestamp(timestamp), price=price)
            for number, timestamp, price in steps
        )
        for token, steps in raw.items()
    }


def _encode_alarm(alarm: Alarm) -> Plain:
    return {
        "number": alarm.number,
        "since": _encode_block_time(alarm.since),
        "detail": alarm.detail,
        "market": alarm.market,
        "over": None if alarm.over is None else _encode_breach(alarm.over),
        "ended": alarm.ended,
    }


def _decode_alarm(raw: Plain) -> Alarm:
    return Alarm(
        number=raw["number"],
        since=_decode_block_time(raw["since"]),
        detail=raw["detail"],
        market=None if raw["market"] is None else MarketKey(raw["market"]),
        over=None if raw["over"] is None else _decode_breach(raw["over"]),
        ended=raw["ended"],
    )
