"""Policy result for one block. Accounts that wait, with reasons, and the order of the others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.decision import SkipReason
from keeper.domain.parity import Subject
from keeper.domain.units import Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A liquidatable account that the policy holds back.

    ``until`` is the earliest block timestamp at which the wait can end, ``until_block`` the
    earliest block. They are None if the end does not depend on time (a price that has to be
    confirmed first).
    """

    reason: SkipReason
    detail: str
    until: Timestamp | None = None
    until_block: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restraint:
    """The operator's policy for the liquidatable accounts of a block.

    ``waits`` holds the accounts to skip for now. All others are acted upon. ``ranks`` is the order
    of accounts, lowest first. Equal ranks, and all accounts if it is empty, are ordered by profit.
    ``subsidies`` is the most that liquidating an account may lose, in 1e-8 dollars.
    """

    waits: Mapping[Subject, Wait] = field(default_factory=dict)
    ranks: Mapping[Subject, int] = field(default_factory=dict)
    subsidies: Mapping[Subject, int] = field(default_factory=dict)


FREE: Final = Restraint()
"""Everybody past the line is acted upon at once, by profit."""
