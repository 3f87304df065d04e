"""Who is to be left alone at one block, until when and why; and who of the others comes first."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.decision import SkipReason
from keeper.domain.parity import Subject
from keeper.domain.units import Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """
    An account past the line is not acted upon yet.

    ``until`` is the chain's time before which waiting does not end, ``until_block`` the block;
    None where no clock decides (a price that has to be confirmed first).
    """

    reason: SkipReason
    detail: str
    until: Timestamp | None = None
    until_block: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restraint:
    """
    What the operator's policy says of a block's unhealthy accounts.

    ``waits`` has those to be left alone; whoever is not in it is acted upon. ``ranks`` is the
    order in which accounts are taken, less first; equal ones, and all where it is empty, go by
    profit. ``subsidies`` is the most that liquidating an account may lose, in 1e-8 dollars.
    """

    waits: Mapping[Subject, Wait] = field(default_factory=dict)
    ranks: Mapping[Subject, int] = field(default_factory=dict)
    subsidies: Mapping[Subject, int] = field(default_factory=dict)


FREE: Final = Restraint()
"""Everybody past the line is acted upon at once, by profit."""
