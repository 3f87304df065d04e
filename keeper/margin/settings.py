"""Margin-call and policy settings as data."""

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
"""Severity of a tier. An account in a tier is also in every less severe one."""


class Measure(enum.StrEnum):
    """The unit of tier thresholds."""

    HEALTH = "health"  # the health factor
    VOLATILITY = "volatility"  # standard deviations of the account's own recent health


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Thresholds of a tier. Entered below ``enter``, left at ``leave`` or above (wad)."""

    tier: Tier
    enter: int
    leave: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Volatility:
    """Parameters of the distance to liquidation in standard deviations of recent prices.

    The window is sampled in ``samples`` steps and scaled to ``horizon_seconds``. The deviation is
    at least ``least_bps`` per horizon. Accounts at or above ``look_below`` are not measured.
    """

    window_seconds: int = DAY
    horizon_seconds: int = DAY
    samples: int = 24
    least_bps: int = 100
    look_below: Wad = _TWO


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiers:
    """The tiers, worst first. The first one is entered by the protocol's own verdict.

    An episode ends after ``closing_after_blocks`` consecutive blocks outside all tiers.
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
        """The health factor at or above which no account is in a tier."""
        if self.measure is Measure.VOLATILITY:
            return self.volatility.look_below
        return Wad(max(one.leave for one in self.bands))

    def band(self, tier: Tier) -> Band:
        """Return a tier's thresholds."""
        return next(one for one in self.bands if one.tier is tier)


class Confirms(enum.StrEnum):
    """Methods that confirm that a breach is no spike."""

    BLOCKS = "blocks"  # a number of consecutive blocks
    SECONDS = "seconds"  # an uninterrupted time
    WINDOW = "window"  # the price is near its window median, or the median breaches too
    SECOND_SOURCE = "second_source"  # likewise with another source's price


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The spike guard, with the methods that confirm a breach.

    ``every`` requires all methods instead of any. ``tiers`` and ``acting`` choose what is guarded.
    ``deviation_bps`` is the largest deviation from the reference price that is no spike, as a share
    of the account's equity. The limit on the price is this value divided by the leverage.
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
    """A wait that ends when both its blocks and its seconds have passed."""

    blocks: int = 0
    seconds: int = 0


NO_WAIT: Final = Span()


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Thresholds below which nothing is waited for.

    ``bad_debt_bps`` is the required excess of the collateral, net of the bonus, over the debt. At 0
    a liquidation leaves bad debt.
    """

    health: Wad = _NO_FLOOR
    bad_debt_bps: int = 0


class Order(enum.StrEnum):
    """The order of liquidations."""

    PROFIT = "profit"
    BAD_DEBT = "bad_debt"  # most bad debt after a fall by the shock


@dataclass(frozen=True, slots=True, kw_only=True)
class Subsidy:
    """Limits of the subsidy for small positions, in 1e-8 dollars. Nothing by default."""

    per_day_usd_e8: int = 0
    per_account_usd_e8: int = 0
    debt_at_most_usd_e8: int = 0


class Check(enum.StrEnum):
    """Checks of a price. The values are stable, since they are counted."""

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
    """Responses to a failed price check."""

    SKIP = "skip"  # skip its accounts, and notify
    ALERT = "alert"  # notify, and continue
    EXECUTE = "execute"  # continue, and count


DEFAULT_RESPONSES: Final[Mapping[Check, Response]] = {
    **dict.fromkeys(Check, Response.SKIP),
    Check.AGE_UNKNOWN: Response.EXECUTE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleRules:
    """Limits of the price checks, and the responses.

    A feed is stale when its answer is older than its heartbeat plus the slack. A feed without a
    heartbeat, its own or the common one, is never stale. ``deviation_bps`` bounds the difference to
    a second source, as a share of the account's equity. ``factor_bps`` bounds it for every account.
    ``jump`` is the largest factor between a price and its median of the guard's window.
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
    """Delays of reminders and escalations, 0 for never. None follow an acknowledgement."""

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
    """Settings of margin calls and of the policy.

    With ``both_clocks`` a wait ends only when the chain's clock and this machine's have both passed
    it, so that neither alone shortens it. Off where the chain has a clock of its own.
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
        """Whether the policy ever delays or reorders accounts, untrusted prices aside."""
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
"""For a protocol's own keeper. Confirms breaches, grants grace, subsidises small accounts."""
