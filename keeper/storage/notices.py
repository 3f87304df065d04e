"""JSON codec of notices, with integers as decimal strings."""

import json
from collections.abc import Mapping
from typing import Any

from keeper.domain.advice import Advice, Cure, CureKind, LiquidationPrice
from keeper.domain.notice import Notice, NoticeKind
from keeper.storage.documents import canonical

_NUMBERS = (
    "block_number", "timestamp", "episode", "health_factor", "guarded_health_factor",
    "debt_usd_e8", "collateral_usd_e8", "deadline",
)  # fmt: skip


def notice_document(notice: Notice) -> str:
    """Encode a notice as canonical JSON."""
    return canonical(notice)


def notice_from(document: str) -> Notice:
    """Decode the JSON of a notice."""
    raw: dict[str, Any] = json.loads(document)
    numbers = {name: None if raw[name] is None else int(raw[name]) for name in _NUMBERS}
    advice = None if raw["advice"] is None else _advice(raw["advice"])
    return Notice(**{**raw, **numbers, "kind": NoticeKind(raw["kind"]), "advice": advice})


def advice_document(advice: Advice) -> str:
    """Encode an advice as canonical JSON."""
    return canonical(advice)


def advice_from(document: str) -> Advice:
    """Decode the JSON of an advice."""
    return _advice(json.loads(document))


def _advice(raw: Mapping[str, Any]) -> Advice:
    return Advice(
        **{
            **raw,
            **_whole(raw, "target", "holds_until"),
            "cures": tuple(_cure(one) for one in raw["cures"]),
            **_whole_or_none(raw, "untreated", "block_number", "timestamp"),
            "prices": tuple(_price(one) for one in raw["prices"]),
            "impossible": tuple(raw["impossible"]),
        }
    )


def _price(raw: Mapping[str, Any]) -> LiquidationPrice:
    ratio = raw.get("ratio")
    exact = None if ratio is None else (int(ratio[0]), int(ratio[1]))
    return LiquidationPrice(**{**raw, **_whole(raw, "price", "now"), "ratio": exact})


def _cure(raw: Mapping[str, Any]) -> Cure:
    numbers = _whole(raw, "decimals", "amount", "value")
    return Cure(**{**raw, **numbers, "kind": CureKind(raw["kind"])})


def _whole(raw: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: int(raw[name]) for name in names}


def _whole_or_none(raw: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Parse the present numbers, each of which may be null or missing."""
    return {name: None if raw[name] is None else int(raw[name]) for name in names if name in raw}
