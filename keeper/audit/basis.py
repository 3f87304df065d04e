"""Inputs of the policy's restraint, reducible to those that affect some accounts.

An account's wait depends on the settings, on the state of its margin calls and of prices, and on
the block. All accounts share the budget of the subsidy.
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
    """The policy's settings, the state before the block and the block's facts."""

    settings: MarginSettings
    state: MarginState
    facts: BlockFacts

    @property
    def restraint(self) -> Restraint:
        """The policy's restraint, computed by the program's own rules."""
        return restrained(self.settings, self.state, self.facts)

    def only(self, kept: frozenset[Subject]) -> "Basis":
        """Return the smallest inputs that give the same restraint for these accounts.

        Accounts with a subsidy are retained too, since they share its budget. Where the reduced
        inputs give another restraint, all inputs are returned.
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
        """Build the document for the record. Settings and each market's prices are parts."""
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
    """Restrict a restraint to some accounts."""
    return Restraint(
        waits=only(restraint.waits, subjects),
        ranks=only(restraint.ranks, subjects),
        subsidies=only(restraint.subsidies, subjects),
    )


def only(found: Mapping[Subject, T], subjects: frozenset[Subject]) -> dict[Subject, T]:
    """Return the entries of some accounts, in their order."""
    return {one: found[one] for one in sorted(subjects & found.keys())}
