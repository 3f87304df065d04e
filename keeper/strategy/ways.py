"""Execution options of one account by pair, route and funding, with refusals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.curve import Route
from keeper.domain.decision import SkipReason
from keeper.domain.exits import Exits
from keeper.domain.opportunity import FlashLender, Opportunity, Outcome, Refusal
from keeper.domain.units import Address, TokenUnits
from keeper.strategy.candidate import Candidate, Terms, Tried, dust
from keeper.strategy.pricing import Miss
from keeper.strategy.sizing import Way

NO_SWAP: Final = Route(venue="", factory=Address("0x" + "0" * 40), hops=())
"""The route of a pair whose two tokens are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Options of one account in a stable order, and refusals with reasons."""

    ways: tuple[Way, ...]
    misses: tuple[Miss, ...]


def ways_of(candidate: Candidate, exits: Exits, terms: Terms) -> Ways:
    """Build the options of ``candidate``, every pair with every route and kind of funding.

    Pairs with a bonus that cannot pay are refused without checking the exits.
    """
    ways: list[Way] = []
    misses = [Miss(reason=one.reason, detail=one.detail) for one in candidate.refusals]
    for opportunity in candidate.opportunities:
        refused = _check_opportunity(opportunity, terms)
        if refused is not None:
            misses.append(refused)
            continue
        found = _build_pair_options(candidate, opportunity, exits, terms)
        ways.extend(found.ways)
        misses.extend(found.misses)
    return Ways(ways=tuple(ways), misses=tuple(misses))


def described(way: Way, lender: FlashLender | None, terms: Terms) -> str:
    """Describe an option by its pair, the fees of its pools, and its funding."""
    receive = terms.symbol(way.opportunity.receive_token)
    spend = terms.symbol(way.opportunity.spend_token)
    fees = "/".join(str(hop.fee) for hop in way.route.hops)
    sale = f"over {way.route.venue} {fees}" if fees else "without a sale"
    funding = "flash swap" if lender is None else lender.kind
    return f"{receive} for {spend} {sale}, {funding}"


def _check_opportunity(opportunity: Opportunity, terms: Terms) -> Miss | None:
    if opportunity.spend_token not in terms.valuation.prices:
        return Miss(
            reason=SkipReason.PRICE_UNAVAILABLE,
            detail=f"the market has no price of {opportunity.spend_token}",
        )
    skip = dust(opportunity, terms)
    if skip is None:
        return None
    return Miss(reason=skip.reason, detail=skip.detail, net_profit=skip.net_profit)


def _list_routes(opportunity: Opportunity, exits: Exits) -> tuple[Route, ...]:
    pair = (opportunity.receive_token, opportunity.spend_token)
    return (NO_SWAP,) if pair[0] == pair[1] else exits.routes.get(pair, ())


def _build_pair_options(
    candidate: Candidate, opportunity: Opportunity, exits: Exits, terms: Terms
) -> Ways:
    """Build the options of one pair, per route with a flash loan and a flash swap, or refusals."""
    token = opportunity.spend_token
    routes = _list_routes(opportunity, exits)
    if not routes:
        pair = f"{terms.symbol(opportunity.receive_token)} to {terms.symbol(token)}"
        return Ways(
            ways=(), misses=(_build_refusal(SkipReason.NO_EXIT_ROUTE, f"no pool from {pair}"),)
        )
    lenders = (
        *opportunity.own_funding,
        *candidate.lenders.get(token, ()),
        *exits.lenders.get(token, ()),
    )
    outcomes: dict[TokenUnits, Outcome | Refusal] = {}
    ways: list[Way] = []
    misses: list[Miss] = []
    for route in routes:
        free = [
            lender
            for lender in lenders
            if lender.lender not in route.pools
            and _build_loan_key(opportunity, route, lender) not in candidate.barred
        ]
        kinds: list[tuple[Route, tuple[FlashLender, ...] | None]] = [
            *_group_by_factory(route, free, exits)
        ]
        if _can_flash_swap(opportunity, route, candidate, terms):
            kinds.append((route, None))
        if not kinds:
            misses.append(_build_lender_refusal(candidate, opportunity, len(lenders), terms))
        ways.extend(
            Way(opportunity=opportunity, route=taken, lenders=kind, outcomes=outcomes)
            for taken, kind in kinds
        )
    return Ways(ways=tuple(ways), misses=tuple(misses))


def _group_by_factory(
    route: Route, lenders: Sequence[FlashLender], exits: Exits
) -> list[tuple[Route, tuple[FlashLender, ...]]]:
    """Return the route with the lenders that can be combined with it.

    A plan has one factory that verifies every pool in it. A lending pool needs its own factory, so
    pools of another factory than the route's cannot lend.
    """
    groups: dict[Address, list[FlashLender]] = {}
    for lender in lenders:
        factory = exits.factories.get(lender.lender, route.factory)
        if not route.hops or factory == route.factory:
            groups.setdefault(factory, []).append(lender)
    return [(replace(route, factory=one), tuple(group)) for one, group in groups.items()]


def _can_flash_swap(
    opportunity: Opportunity, route: Route, candidate: Candidate, terms: Terms
) -> bool:
    """Return whether the last pool can lend. A pool used twice by the route would be locked."""
    source = terms.policy.flash_swap_sources.get(route.venue)
    if not route.hops or source is None or len(set(route.pools)) != len(route.pools):
        return False
    return _build_key(opportunity, route, source, route.pools[-1]) not in candidate.barred


def _build_loan_key(opportunity: Opportunity, route: Route, lender: FlashLender) -> Tried:
    return _build_key(opportunity, route, lender.source, lender.lender)


def _build_key(opportunity: Opportunity, route: Route, source: int, lender: Address) -> Tried:
    return Tried(
        spend_token=opportunity.spend_token,
        receive_token=opportunity.receive_token,
        pools=route.pools,
        source=source,
        lender=lender,
    )


def _build_lender_refusal(
    candidate: Candidate, opportunity: Opportunity, locked: int, terms: Terms
) -> Miss:
    token = opportunity.spend_token
    if locked:
        return _build_refusal(
            SkipReason.POOL_LOCKED,
            f"every lender of {terms.symbol(token)} is a pool of the route, locked meanwhile",
        )
    for refusal in candidate.lender_refusals.get(token, ()):
        return _build_refusal(refusal.reason, refusal.detail)
    return _build_refusal(SkipReason.NO_FUNDING, f"no known lender has {terms.symbol(token)}")


def _build_refusal(reason: SkipReason, detail: str) -> Miss:
    return Miss(reason=reason, detail=detail)
