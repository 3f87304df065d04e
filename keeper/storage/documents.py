"""JSON codec of plans and their outcomes, with integers as decimal strings."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from keeper.audit.canonical import canonical
from keeper.domain.curve import Hop, Route
from keeper.domain.plan import Funding, FundingKind, Plan
from keeper.domain.submission import PlanOutcome
from keeper.domain.units import Pips

__all__ = ["canonical", "outcomes_document", "outcomes_from", "plan_document", "plan_from"]

_PLAN_NUMBERS = frozenset(
    field.name
    for field in dataclasses.fields(Plan)
    if field.name
    in {
        "amount", "spend", "receive", "module", "gross_profit", "gross_profit_wei", "gas",
        "gas_price", "net_profit", "min_profit", "health_factor", "deadline", "step_gas",
        "sure_profit", "bad_debt", "data_fee", "native_usd_e8", "native_base", "subsidy", "episode",
        "bid", "least_net",
    }
)  # fmt: skip


_OUTCOME_NUMBERS = frozenset({"profit", "profit_wei", "log_index"})


def plan_document(plan: Plan) -> str:
    """Encode a plan as canonical JSON."""
    return canonical(plan)


def plan_from(document: str) -> Plan:
    """Decode the JSON of a plan."""
    raw: dict[str, Any] = json.loads(document)
    numbers = {name: int(raw[name]) for name in _PLAN_NUMBERS & raw.keys()}
    return Plan(
        **{
            **raw,
            **numbers,
            "step_data": bytes.fromhex(raw["step_data"][2:]),
            "route": _decode_route(raw["route"]),
            "funding": _decode_funding(raw["funding"]),
            "alternatives": tuple(raw["alternatives"]),
        }
    )


def outcomes_document(plans: Sequence[PlanOutcome]) -> str:
    """Encode plan outcomes as canonical JSON."""
    return canonical(list(plans))


def outcomes_from(document: str) -> tuple[PlanOutcome, ...]:
    """Decode the JSON of plan outcomes."""
    return tuple(
        PlanOutcome(**{**one, **{name: int(one[name]) for name in _OUTCOME_NUMBERS & one.keys()}})
        for one in json.loads(document)
    )


def _decode_route(raw: Mapping[str, Any]) -> Route:
    hops = tuple(Hop(**{**hop, "fee": Pips(int(hop["fee"]))}) for hop in raw["hops"])
    return Route(venue=raw["venue"], factory=raw["factory"], hops=hops)


def _decode_funding(raw: Mapping[str, Any]) -> Funding:
    numbers = {name: int(raw[name]) for name in ("source", "amount", "fee")}
    return Funding(**{**raw, **numbers, "kind": FundingKind(raw["kind"])})
