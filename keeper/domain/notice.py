"""What is told to people: one notice, said once per channel, whatever happens in between."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.advice import Advice
from keeper.domain.units import Address, BlockHash, MarketKey, Timestamp, Wad


class NoticeKind(enum.StrEnum):
    """Why somebody is told; stable, since people filter by it."""

    CALLED = "called"  # the account entered a tier
    REMINDER = "reminder"  # it is still there
    ESCALATED = "escalated"  # it is still there, and others are told now
    CURED = "cured"  # it left every tier without having been liquidated
    LIQUIDATED = "liquidated"
    ALARM = "alarm"  # the keeper itself, a market or a feed is in trouble


CLOSING: Final = frozenset({NoticeKind.CURED, NoticeKind.LIQUIDATED})
"""What ends an episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """
    One message to be told, before it is known to whom.

    ``key`` is stable: the same news after a restart or a reorganisation has the same key, and
    is told once per channel. ``deadline`` is when waiting ends, None where nothing waits.
    ``debt_usd_e8`` and ``collateral_usd_e8`` are 1e-8 dollars, None where no dollar price is known.
    ``liquidatable`` is the protocol's verdict at the block; None where nothing is owed, and in what
    an earlier version stored. ``detail`` is for people: one line, without addresses of endpoints.
    """

    key: str
    kind: NoticeKind
    tier: str
    block_number: int
    block_hash: BlockHash
    timestamp: Timestamp
    market: MarketKey | None = None
    account: Address | None = None
    episode: int | None = None
    health_factor: Wad | None = None
    guarded_health_factor: Wad | None = None
    debt_usd_e8: int | None = None
    collateral_usd_e8: int | None = None
    deadline: Timestamp | None = None
    advice: Advice | None = None
    detail: str = ""
    liquidatable: bool | None = None
