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
    advice = None if raw["advice"] is None else _decode_advice_fields(raw["advice"])
    return Notice(**{**raw, **numbers, "kind": NoticeKind(raw["kind"]), "advice": advice})


def advice_document(advice: Advice) -> str:
    """Encode an advice as canonical JSON."""
    return canonical(advice)


def advice_from(document: str) -> Advice:
    """Decode the JSON of an advice."""
    return _decode_advice_fields(json.loads(document))


def _decode_advice_fields(raw: Mapping[str, Any]) -> Advice:
    return Advice(
        **{
            **raw,
            **_parse_integers(raw, "target", "holds_until"),
            "cures": tuple(_decode_cure(one) for one in raw["cures"]),
            **_parse_optional_integers(raw, "untreated", "block_number", "timestamp"),
            "prices": tuple(_decode_price(one) for one in raw["prices"]),
            "impossible": tuple(raw["impossible"]),
        }
    )


def _decode_price(raw: Mapping[str, Any]) -> LiquidationPrice:
    ratio = raw.get("ratio")
    exact = None if ratio is None else (int(ratio[0]), int(ratio[1]))
    return LiquidationPrice(**{**raw, **_parse_integers(raw, "price", "now"), "ratio": exact})


def _decode_cure(raw: Mapping[str, Any]) -> Cure:
    numbers = _parse_integers(raw, "decimals", "amount", "value")
    return Cure(**{**raw, **numbers, "kind": CureKind(raw["kind"])})


def _parse_integers(raw: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: int(raw[name]) for name in names}


def _parse_optional_integers(raw: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Parse the present numbers, each of which may be null or missing."""
    return {name: None if raw[name] is None else int(raw[name]) for name in names if name in raw}
