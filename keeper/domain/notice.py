"""Notices to people. Each is delivered once per channel, even after restarts and reorgs."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.advice import Advice
from keeper.domain.units import Address, BlockHash, MarketKey, Timestamp, Wad


class NoticeKind(enum.StrEnum):
    """Reasons for a notice. The values are stable, since subscriptions filter by them."""

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
    """One notice, independent of its recipients.

    ``key`` is stable. The same event after a restart or a reorganisation has the same key, and is
    delivered once per channel. ``deadline`` is the end of a policy's wait, None without one.
    ``debt_usd_e8`` and ``collateral_usd_e8`` are 1e-8 dollars, None without a dollar price.
    ``liquidatable`` is the protocol's verdict at the block. It is None for an account without debt,
    and in data that an earlier version stored. ``detail`` is one line of text without endpoint
    URLs.
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
