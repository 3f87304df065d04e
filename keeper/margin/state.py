"""Everything that margin calls and restraint remember from block to block."""

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
    """A moment by all its clocks: the block's number, the chain's time, this machine's time."""

    number: int
    timestamp: int
    wall: int

    @classmethod
    def of(cls, facts: BlockFacts) -> "Mark":
        """Return a block's moment."""
        return cls(number=facts.number, timestamp=facts.timestamp, wall=facts.wall)

    def later(self, other: "Mark") -> "Mark":
        """Return the later of both by each clock: no deadline that counts from it comes nearer."""
        return Mark(
            number=max(self.number, other.number),
            timestamp=max(self.timestamp, other.timestamp),
            wall=max(self.wall, other.wall),
        )

    def is_over(self, span: Span, facts: BlockFacts, *, both_clocks: bool) -> bool:
        """Whether a wait that began here has ended."""
        return (
            facts.number - self.number >= span.blocks
            and facts.timestamp - self.timestamp >= span.seconds
            and not (both_clocks and facts.wall - self.wall < span.seconds)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """
    Something that has been so in every block that was seen since a moment.

    ``count`` is the number of those blocks; it stops where nobody counts any further.
    """

    since: Mark
    count: int = 1

    def again(self) -> "Breach":
        """Return it with one more block."""
        return Breach(since=self.since, count=self.count + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    One account: its tier, and its episode if it has one.

    ``entered`` says since when the account is in each tier that it is in, ``breaches`` since when
    it has been below the line of those that it is not in, or not known to be in beyond doubt.
    ``episode`` is 0 outside of one; ``told`` are the episode's tiers that somebody was told of,
    ``reminded`` how often since, ``escalated`` those that others were told of. ``out`` is since
    when it has been out of every tier. ``health`` and ``guarded`` are those of the last change.
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
        """The worst tier of the episode that somebody was told of."""
        return max(self.told, key=SEVERITY.__getitem__, default=Tier.HEALTHY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A price as it was from a block on, until the next step."""

    number: int
    timestamp: Timestamp
    price: int


Prices = Mapping[Address, tuple[Step, ...]]
"""What each token's price was, oldest first; only changes are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """
    Something that fails: for the ``number``-th time, since when, and in words.

    ``over`` is since when it has been well again; it ends when that has lasted.
    """

    number: int
    since: Mark
    detail: str
    market: MarketKey | None = None
    over: Breach | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """
    What was set aside of the subsidy for one liquidation, in 1e-8 dollars.

    ``block_number`` is 0 where an earlier version kept it. Blocks may share a timestamp.
    """

    market: MarketKey
    account: Address
    timestamp: Timestamp
    usd_e8: int
    block_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Accounts whose standing is of a block already, of which the rest is not yet known."""

    number: int
    hash: BlockHash
    subjects: frozenset[Subject]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginState:
    """
    What is known between two blocks. ``hash`` is empty before the first one.

    ``numbers`` is how many episodes each account has had. ``ahead`` are those that were acted on
    in the block after it. ``first`` is the first block that was ever seen; 0 if not known.
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
        """Return the state as if these accounts were all."""
        wanted = tuple(subjects)
        return replace(
            self,
            standings=among(wanted, self.standings),
            numbers=among(wanted, self.numbers),
        )

    @property
    def is_new(self) -> bool:
        """Whether no block was seen yet."""
        return not self.hash


def among(subjects: Iterable[Subject], known: Mapping[Subject, Known]) -> dict[Subject, Known]:
    """Return what is known of these accounts alone."""
    return {one: known[one] for one in subjects if one in known}
