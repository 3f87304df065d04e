"""What the operator wants of margin calls and of restraint, as data for the pure rooms."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.units import USD_E8, WAD, Address, Bps, Wad
from keeper.risk.tiers import Tier

HOUR: Final = 3_600
DAY: Final = 86_400

_TWO: Final = Wad(2 * WAD)
_NO_FLOOR: Final = Wad(0)
_SPIKE: Final = Bps(2_000)
_APART: Final = Bps(5_000)
_SHOCK: Final = Bps(1_000)

SEVERITY: Final[Mapping[Tier, int]] = {
    Tier.HEALTHY: 0,
    Tier.WATCH: 1,
    Tier.CALL: 2,
    Tier.URGENT: 3,
    Tier.LIQUIDATABLE: 4,
}
"""How bad a tier is; whoever is in one is in every lesser one, too."""


class Measure(enum.StrEnum):
    """What a tier's thresholds are in."""

    HEALTH = "health"  # the health factor
    VOLATILITY = "volatility"  # standard deviations of the account's own recent health


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A tier: entered below ``enter``, left at ``leave`` or above (wad, see ``Measure``)."""

    tier: Tier
    enter: int
    leave: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Volatility:
    """
    How far liquidation is, in standard deviations of what the prices did lately.

    Looks back ``window_seconds`` in ``samples`` steps and scales to ``horizon_seconds``; never
    less than ``least_bps`` per horizon. Only accounts below ``look_below`` are looked at.
    """

    window_seconds: int = DAY
    horizon_seconds: int = DAY
    samples: int = 24
    least_bps: int = 100
    look_below: Wad = _TWO


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """
    The tiers, worst first; the first is the protocol's own verdict and its ``enter`` is 1.

    ``closing_after_blocks``: so many blocks in a row out of every tier end an episode.
    """

    measure: Measure = Measure.HEALTH
    bands: tuple[Band, ...] = (
        Band(tier=Tier.LIQUIDATABLE, enter=WAD, leave=1_005 * WAD // 1_000),
        Band(tier=Tier.URGENT, enter=103 * WAD // 100, leave=10_403 * WAD // 10_000),
        Band(tier=Tier.CALL, enter=110 * WAD // 100, leave=1_111 * WAD // 1_000),
        Band(tier=Tier.WATCH, enter=125 * WAD // 100, leave=12_625 * WAD // 10_000),
    )
    volatility: Volatility = field(default_factory=Volatility)
    closing_after_blocks: int = 3

    @property
    def look_below(self) -> Wad:
        """The health factor from which on nobody is in a tier."""
        if self.measure is Measure.VOLATILITY:
            return self.volatility.look_below
        return Wad(max(one.leave for one in self.bands))

    def band(self, tier: Tier) -> Band:
        """Return a tier's thresholds."""
        return next(one for one in self.bands if one.tier is tier)


class Confirms(enum.StrEnum):
    """What shows that a breach is no spike."""

    BLOCKS = "blocks"  # so many blocks in a row
    SECONDS = "seconds"  # so long without a break
    WINDOW = "window"  # the price is near its median of a window, or the median breaches, too
    SECOND_SOURCE = "second_source"  # likewise by another source's price


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """
    The spike guard: by which methods a breach is confirmed, all of them or any.

    ``tiers`` and ``acting`` say what it guards. ``deviation_bps`` is the largest move of the
    price away from its reference that is no spike, as a share of the account's own equity: the
    limit on the price is this divided by the account's leverage.
    """

    confirm: tuple[Confirms, ...] = ()
    every: bool = False
    blocks: int = 3
    seconds: int = 30
    window_seconds: int = 600
    deviation_bps: Bps = _SPIKE
    tiers: bool = False
    acting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A wait that ends when both have passed."""

    blocks: int = 0
    seconds: int = 0


NO_WAIT: Final = Span()


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """
    Below either no waiting counts.

    ``bad_debt_bps`` is how much more the collateral must be worth, with the bonus taken off, than
    the debt: at 0 a liquidation leaves bad debt.
    """

    health: Wad = _NO_FLOOR
    bad_debt_bps: int = 0


class Order(enum.StrEnum):
    """Who is liquidated first."""

    PROFIT = "profit"
    BAD_DEBT = "bad_debt"  # who would leave most bad debt if prices fell by the shock


@dataclass(frozen=True, slots=True, kw_only=True)
class Subsidy:
    """What small positions may cost to clear, in 1e-8 dollars; nothing by default."""

    per_day_usd_e8: int = 0
    per_account_usd_e8: int = 0
    debt_at_most_usd_e8: int = 0


class Check(enum.StrEnum):
    """What may be wrong with a price; stable, since people count them."""

    FAILING = "failing"
    NOT_POSITIVE = "not_positive"
    INCOMPLETE = "incomplete"
    STALE = "stale"
    AGE_UNKNOWN = "age_unknown"
    AT_BOUND = "at_bound"
    DECIMALS = "decimals"
    DEVIATION = "deviation"
    JUMP = "jump"


class Response(enum.StrEnum):
    """What follows from a suspicious price."""

    SKIP = "skip"  # whom it values is left alone, and somebody is told
    ALERT = "alert"  # somebody is told, and everything goes on
    EXECUTE = "execute"  # everything goes on; it is counted


DEFAULT_RESPONSES: Final[Mapping[Check, Response]] = {
    **dict.fromkeys(Check, Response.SKIP),
    Check.AGE_UNKNOWN: Response.EXECUTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleRules:
    """
    When a price is suspicious, and what follows.

    A feed is stale when its answer is older than its heartbeat and the slack; one without a
    heartbeat, its own or the common one, never is. ``deviation_bps``
    bounds the difference to a second source, as a share of the account's equity (see ``Guard``);
    ``factor_bps`` bounds it for every account, whatever its leverage. ``jump`` is the factor
    to its median of the guard's window beyond which a price is suspicious, whoever confirms it.
    """

    responses: Mapping[Check, Response] = field(default_factory=lambda: DEFAULT_RESPONSES)
    heartbeat_seconds: int | None = DAY
    slack_seconds: int = HOUR
    heartbeats: Mapping[Address, int] = field(default_factory=dict)
    deviation_bps: Bps = _APART
    factor_bps: Bps = _SPIKE
    jump: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """When somebody is told again; 0 is never. Nobody is, once a call is acknowledged."""

    remind_seconds: Mapping[Tier, int] = field(
        default_factory=lambda: {
            Tier.WATCH: 0,
            Tier.CALL: 6 * HOUR,
            Tier.URGENT: HOUR,
            Tier.LIQUIDATABLE: HOUR,
        }
    )
    escalate_seconds: Mapping[Tier, int] = field(
        default_factory=lambda: {
            Tier.WATCH: 0,
            Tier.CALL: 12 * HOUR,
            Tier.URGENT: HOUR // 4,
            Tier.LIQUIDATABLE: HOUR // 12,
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginSettings:
    """
    Everything that margin calls and restraint go by.

    ``both_clocks``: a wait ends when the chain's clock and this machine's both say so, so that
    neither alone can cut it short; off where the chain has a clock of its own.
    """

    name: str = "competitive"
    chain_id: int = 1
    tiers: Tiers = field(default_factory=Tiers)
    guard: Guard = field(default_factory=Guard)
    grace: Mapping[Tier, Span] = field(default_factory=dict)
    floor: Floor = field(default_factory=Floor)
    order: Order = Order.PROFIT
    shock_bps: Bps = _SHOCK
    subsidy: Subsidy = field(default_factory=Subsidy)
    oracle: OracleRules = field(default_factory=OracleRules)
    telling: Telling = field(default_factory=Telling)
    both_clocks: bool = True

    @property
    def waits(self) -> bool:
        """Whether anybody is ever let wait, or ranked, for another reason than a bad price."""
        return bool(
            (self.guard.acting and self.guard.confirm)
            or any(one != NO_WAIT for one in self.grace.values())
            or self.order is not Order.PROFIT
            or self.subsidy.per_day_usd_e8
        )


COMPETITIVE: Final = MarginSettings()
"""Acts at once, on raw prices, by profit."""

GUARDIAN: Final = MarginSettings(
    name="guardian",
    guard=Guard(confirm=(Confirms.BLOCKS,), tiers=True, acting=True),
    grace={Tier.LIQUIDATABLE: Span(blocks=25, seconds=300)},
    floor=Floor(health=Wad(95 * WAD // 100), bad_debt_bps=200),
    order=Order.BAD_DEBT,
    subsidy=Subsidy(
        per_day_usd_e8=100 * USD_E8,
        per_account_usd_e8=10 * USD_E8,
        debt_at_most_usd_e8=2_000 * USD_E8,
    ),
)
"""For a protocol's own keeper: confirms, grants time, clears the small, minds bad debt."""
