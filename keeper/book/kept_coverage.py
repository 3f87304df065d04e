"""Codec of the coverage in the book's file."""

import json
from collections.abc import Mapping
from typing import Any

from keeper.book.explaining import KeptCoverage, Unexplained
from keeper.book.kept import Damaged, log_from_row, log_row, opened, sealed
from keeper.domain.figures import Figure
from keeper.domain.units import BlockHash, MarketKey


def packed_coverage(coverage: KeptCoverage) -> bytes:
    """Encode the coverage as bytes."""
    document = {
        "covered_to": coverage.covered_to,
        "looked_to": coverage.looked_to,
        "learnt_from": coverage.learnt_from,
        "stretches": [_encode_stretch(stretch) for stretch in coverage.stretches],
    }
    return sealed(json.dumps(document).encode())


def unpacked_coverage(raw: bytes) -> KeptCoverage:
    """Decode the coverage. Raises Damaged for corrupt bytes."""
    try:
        document = json.loads(opened(raw))
        return KeptCoverage(
            covered_to=document["covered_to"],
            looked_to=document.get("looked_to"),
            learnt_from=document["learnt_from"],
            stretches=tuple(_decode_stretch(plain) for plain in document["stretches"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(f"a coverage that cannot be read: {error}") from None


def _encode_stretch(stretch: Unexplained) -> Mapping[str, Any]:
    return {
        "market": stretch.market,
        "first": stretch.first,
        "last": stretch.last,
        "last_hash": stretch.last_hash,
        "changes": [
            [*figure, str(before), str(after)]
            for figure, (before, after) in stretch.changes.items()
        ],
        "logs": [log_row(log) for log in stretch.logs],
        "is_rest": stretch.is_rest,
        "is_hint": stretch.is_hint,
    }


def _decode_stretch(plain: Mapping[str, Any]) -> Unexplained:
    return Unexplained(
        market=MarketKey(plain["market"]),
        first=plain["first"],
        last=plain["last"],
        last_hash=BlockHash(plain["last_hash"]),
        changes={
            Figure(what, subject): (int(before), int(after))
            for what, subject, before, after in plain["changes"]
        },
        logs=tuple(log_from_row(row) for row in plain["logs"]),
        is_rest=plain["is_rest"],
        is_hint=plain["is_hint"],
    )
