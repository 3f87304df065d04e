"""Margin-call state between blocks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from keeper.domain.parity import Subject
from keeper.domain.units import Address, BlockHash, MarketKey, Timestamp, Wad
from keeper.margin.facts import BlockFacts
from keeper.margin.settings import SEVERITY, Span
from keeper.risk.tiers import Tier

_NO_BLOCK: Final = BlockHash("")
_NEVER: Final = Timestamp(0)

Known = TypeVar("Known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment as block number, chain time and this machine's time."""

    number: int
    timestamp: int
    wall: int

    @classmethod
    def of(cls, facts: BlockFacts) -> "Mark":
        """Return a block's time."""
        return cls(number=facts.number, timestamp=facts.timestamp, wall=facts.wall)

    def later(self, other: "Mark") -> "Mark":
        """Return the component-wise maximum, which shortens no wait."""
        return Mark(
            number=max(self.number, other.number),
            timestamp=max(self.timestamp, other.timestamp),
            wall=max(self.wall, other.wall),
        )

    def is_over(self, span: Span, facts: BlockFacts, *, both_clocks: bool) -> bool:
        """Whether a wait that began at this moment has ended."""
        return (
            facts.number - self.number >= span.blocks
            and facts.timestamp - self.timestamp >= span.seconds
            and not (both_clocks and facts.wall - self.wall < span.seconds)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A condition that has held in every observed block since a moment.

    ``count`` is the number of those blocks. It stops once it is high enough.
    """

    since: Mark
    count: int = 1

    def again(self) -> "Breach":
        """Return the breach with one more block."""
        return Breach(since=self.since, count=self.count + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Margin-call state of one account, with its episode if any.

    ``entered`` is the time of entering each tier that the account is in. ``breaches`` is the time
    since the account has been below the threshold of a tier that it has not entered or that is not
    confirmed. ``episode`` is 0 outside of one. ``reminded`` counts the reminders by notified tier,
    ``escalated`` the escalated tiers. ``out`` is the time outside all tiers. ``health`` and
    ``guarded`` are those of the last change.
    """

    tier: Tier = Tier.HEALTHY
    entered: Mapping[Tier, Mark] = field(default_factory=dict)
    breaches: Mapping[Tier, Breach] = field(default_factory=dict)
    episode: int = 0
    opened: Mark | None = None
    told: frozenset[Tier] = frozenset()
    reminded: Mapping[Tier, int] = field(default_factory=dict)
    escalated: frozenset[Tier] = frozenset()
    acknowledged: Mark | None = None
    out: Breach | None = None
    liquidated: bool = False
    health: Wad | None = None
    guarded: Wad | None = None

    @property
    def worst_told(self) -> Tier:
        """The worst tier notified in the episode."""
        return max(self.told, key=SEVERITY.__getitem__, default=Tier.HEALTHY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A price in effect from a block until the next point."""

    number: int
    timestamp: Timestamp
    price: int


Prices = Mapping[Address, tuple[Step, ...]]
"""Price history of each token, oldest first, with changes only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A failure, numbered by occurrence.

    ``over`` is the time since it recovered. The alarm ends when the recovery has lasted.
    """

    number: int
    since: Mark
    detail: str
    market: MarketKey | None = None
    over: Breach | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A reserved part of the subsidy for one liquidation, in 1e-8 dollars.

    ``block_number`` is 0 where an earlier version stored it. Blocks may share a timestamp.
    """

    market: MarketKey
    account: Address
    timestamp: Timestamp
    usd_e8: int
    block_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Accounts that have been advanced by a block before the others."""

    number: int
    hash: BlockHash
    subjects: frozenset[Subject]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginState:
    """Margin-call state between two blocks. ``hash`` is empty before the first one.

    ``numbers`` counts the episodes of each account. ``ahead`` are the accounts already advanced by
    the next block. ``first`` is the first block ever seen, 0 if unknown.
    """

    number: int = 0
    hash: BlockHash = _NO_BLOCK
    timestamp: Timestamp = _NEVER
    standings: Mapping[Subject, Standing] = field(default_factory=dict)
    numbers: Mapping[Subject, int] = field(default_factory=dict)
    prices: Mapping[MarketKey, Prices] = field(default_factory=dict)
    alarms: Mapping[str, Alarm] = field(default_factory=dict)
    reservations: tuple[Reservation, ...] = ()
    ahead: Ahead | None = None
    first: int = 0

    def of(self, subjects: Iterable[Subject]) -> "MarginState":
        """Return the state restricted to the given accounts."""
        wanted = tuple(subjects)
        return replace(
            self,
            standings=among(wanted, self.standings),
            numbers=among(wanted, self.numbers),
        )

    @property
    def is_new(self) -> bool:
        """Whether no block has been seen yet."""
        return not self.hash


def among(subjects: Iterable[Subject], known: Mapping[Subject, Known]) -> dict[Subject, Known]:
    """Return the entries of the given accounts."""
    return {one: known[one] for one in subjects if one in known}
