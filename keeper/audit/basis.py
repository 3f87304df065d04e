"""
What a policy's restraint was reckoned from, and as much of it as gives the same again.

An account's waiting rests on the settings, on what was remembered of it and of prices, and on what
the block says; the subsidy's budget is one for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from keeper.audit.canonical import Part
from keeper.domain.parity import Subject
from keeper.domain.restraint import Restraint
from keeper.margin.facts import BlockFacts
from keeper.margin.restraint import restrained
from keeper.margin.settings import MarginSettings
from keeper.margin.state import MarginState

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The policy's settings, what was known before the block, and what the block says."""

    settings: MarginSettings
    state: MarginState
    facts: BlockFacts

    @property
    def restraint(self) -> Restraint:
        """Whom the policy lets wait, by the program's own rules."""
        return restrained(self.settings, self.state, self.facts)

    def only(self, kept: frozenset[Subject]) -> "Basis":
        """
        Return as little of it as says the same about these accounts.

        Those that a subsidy was granted to are kept too, for they share its budget. Where that is
        not enough, all of it.
        """
        whole = self.restraint
        subjects = kept | whole.subsidies.keys()
        state = replace(
            self.state,
            standings=only(self.state.standings, subjects),
            numbers={},
            alarms={},
        )
        facts = replace(
            self.facts,
            accounts=only(self.facts.accounts, subjects),
            exposures=only(self.facts.exposures, subjects),
        )
        less = replace(self, state=state, facts=facts)
        return less if only_of(less.restraint, kept) == only_of(whole, kept) else self

    def document(self) -> Mapping[str, object]:
        """Return it for the record; settings and each market's prices are parts."""
        state = {
            "number": self.state.number,
            "hash": self.state.hash,
            "timestamp": self.state.timestamp,
            "standings": self.state.standings,
            "prices": {market: Part(one) for market, one in self.state.prices.items()},
            "reservations": self.state.reservations,
        }
        if self.state.ahead is not None:
            state["ahead"] = self.state.ahead
        facts = {
            "number": self.facts.number,
            "hash": self.facts.hash,
            "timestamp": self.facts.timestamp,
            "wall": self.facts.wall,
            "fork": self.facts.fork,
            "markets": {market: Part(one) for market, one in self.facts.markets.items()},
            "accounts": self.facts.accounts,
            "exposures": self.facts.exposures,
        }
        return {"settings": Part(self.settings), "state": state, "facts": facts}


def only_of(restraint: Restraint, subjects: frozenset[Subject]) -> Restraint:
    """Return what a restraint says of some accounts."""
    return Restraint(
        waits=only(restraint.waits, subjects),
        ranks=only(restraint.ranks, subjects),
        subsidies=only(restraint.subsidies, subjects),
    )


def only(found: Mapping[Subject, T], subjects: frozenset[Subject]) -> dict[Subject, T]:
    """Return what is there of some accounts, in their order."""
    return {one: found[one] for one in sorted(subjects & found.keys())}
