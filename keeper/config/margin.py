"""Settings of margin calls and of the policy. Unset values default to the policy's."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import Field, model_validator

from keeper.config.section import Section
from keeper.config.types import AddressText, Exact, Flag, Whole, refuse
from keeper.domain.units import BPS, USD_E8, WAD, Address, Bps, Wad
from keeper.margin.settings import (
    COMPETITIVE,
    DAY,
    GUARDIAN,
    Band,
    Check,
    Confirms,
    Floor,
    Guard,
    MarginSettings,
    Measure,
    OracleRules,
    Order,
    Response,
    Span,
    Subsidy,
    Telling,
    Tiers,
    Volatility,
)
from keeper.risk.tiers import Thresholds, Tier

MOST_BLOCKS: Final = 1_000_000
MOST_SECONDS: Final = 365 * DAY
LEAVE_BPS: Final = 100
"""Default distance between a tier's entry threshold and its exit threshold."""
LINE_LEAVE: Final = Decimal("1.005")

T = TypeVar("T")

Factor = Annotated[Exact, Field(gt=1, le=10)]
Deviations = Annotated[Exact, Field(gt=0, le=100)]
Blocks = Annotated[Whole, Field(ge=0, le=MOST_BLOCKS)]
Seconds = Annotated[Whole, Field(ge=0, le=MOST_SECONDS)]
Share = Annotated[Whole, Field(ge=0, le=BPS)]
Dollars = Annotated[Exact, Field(ge=0, le=10**12)]
Answer = Literal["skip", "alert", "execute"]

_WORST_FIRST: Final = (Tier.URGENT, Tier.CALL, Tier.WATCH)


class TierLines(Section):
    """Thresholds of the tiers watch, call and urgent. Liquidatable is the protocol's own verdict.

    A tier is entered below its threshold and left at ``*_leave``, 1 % above by default. With
    ``measure = "volatility"`` margin calls use the thresholds ``*_deviations``, the distance to
    liquidation in standard deviations of the account's own health over ``horizon_hours``.
    """

    measure: Literal["health", "volatility"] = "health"
    watch: Factor = Decimal("1.25")
    watch_leave: Factor | None = None
    call: Factor = Decimal("1.10")
    call_leave: Factor | None = None
    urgent: Factor = Decimal("1.03")
    urgent_leave: Factor | None = None
    liquidatable_leave: Factor = LINE_LEAVE
    watch_deviations: Deviations = Decimal(6)
    watch_deviations_leave: Deviations | None = None
    call_deviations: Deviations = Decimal(3)
    call_deviations_leave: Deviations | None = None
    urgent_deviations: Deviations = Decimal(1)
    urgent_deviations_leave: Deviations | None = None
    volatility_hours: Whole = Field(default=24, ge=1, le=24 * 60)
    horizon_hours: Whole = Field(default=24, ge=1, le=24 * 60)
    least_volatility_bps: Whole = Field(default=100, ge=1, le=BPS)
    look_below: Factor = Decimal(2)
    closing_after_blocks: Whole = Field(default=3, ge=1, le=10_000)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.watch > self.call > self.urgent:
            refuse("the tiers are not in order", hint="watch > call > urgent > 1")
        if not self.watch_deviations > self.call_deviations > self.urgent_deviations:
            refuse(
                "the tiers are not in order",
                hint="watch_deviations > call_deviations > urgent_deviations",
            )
        _refuse_overlap(self._list_bands("", self.liquidatable_leave), "")
        _refuse_overlap(self._list_bands("_deviations", Decimal(0)), "_deviations")
        return self

    @property
    def thresholds(self) -> Thresholds:
        """The entry thresholds of the tiers, as health factors."""
        return Thresholds(
            watch=_convert_to_wad(self.watch),
            call=_convert_to_wad(self.call),
            urgent=_convert_to_wad(self.urgent),
        )

    @property
    def tiers(self) -> Tiers:
        """The tiers of margin calls."""
        by_health = self.measure == "health"
        bands = self._list_bands("", self.liquidatable_leave)
        if not by_health:
            bands = self._list_bands("_deviations", Decimal(0))
        return Tiers(
            measure=Measure(self.measure),
            bands=tuple(
                Band(tier=tier, enter=_convert_to_wad(enter), leave=_convert_to_wad(leave))
                for tier, enter, leave in bands
            ),
            volatility=Volatility(
                window_seconds=3_600 * self.volatility_hours,
                horizon_seconds=3_600 * self.horizon_hours,
                least_bps=self.least_volatility_bps,
                look_below=_convert_to_wad(self.look_below),
            ),
            closing_after_blocks=self.closing_after_blocks,
        )

    def _list_bands(self, suffix: str, line_leave: Decimal) -> list[tuple[Tier, Decimal, Decimal]]:
        """Return tier, enter and leave, worst first."""
        found = [(Tier.LIQUIDATABLE, Decimal(1), line_leave)]
        for tier in _WORST_FIRST:
            enter: Decimal = getattr(self, f"{tier}{suffix}")
            leave: Decimal | None = getattr(self, f"{tier}{suffix}_leave")
            found.append((tier, enter, leave or enter + enter * LEAVE_BPS / BPS))
        return found


def _refuse_overlap(bands: Iterable[tuple[Tier, Decimal, Decimal]], suffix: str) -> None:
    """Refuse a tier that is left below its own threshold or above the next one's."""
    ordered = list(bands)
    for at, (tier, enter, leave) in enumerate(ordered):
        name = f"{tier}{suffix}_leave"
        if tier is not Tier.LIQUIDATABLE and leave < enter:
            refuse(f"{name} is below {tier}{suffix}", hint=f"{enter} or more")
        if at + 1 < len(ordered) and leave > ordered[at + 1][1]:
            outer, line, _ = ordered[at + 1]
            refuse(
                f"{name} overlaps the tier {outer}: {leave} is above its {line}",
                hint=f"{line} at most",
            )


class SpikeGuard(Section):
    """Confirmation methods of a breach, and whether tiers and liquidations wait for them."""

    confirm: tuple[Literal["blocks", "seconds", "window", "second_source"], ...] | None = None
    combine: Literal["any", "all"] | None = None
    blocks: Whole | None = Field(default=None, ge=1, le=10_000)
    seconds: Whole | None = Field(default=None, ge=1, le=DAY)
    window_seconds: Whole | None = Field(default=None, ge=60, le=DAY)
    deviation_bps: Share | None = None
    tiers: Flag | None = None
    acting: Flag | None = None


class Graces(Section):
    """Grace periods by tier. They end when both blocks and seconds have passed."""

    watch_blocks: Blocks | None = None
    watch_seconds: Seconds | None = None
    call_blocks: Blocks | None = None
    call_seconds: Seconds | None = None
    urgent_blocks: Blocks | None = None
    urgent_seconds: Seconds | None = None
    liquidatable_blocks: Blocks | None = None
    liquidatable_seconds: Seconds | None = None


class Floors(Section):
    """Thresholds of health factor and distance to bad debt, below which nothing is waited for."""

    health: Exact | None = Field(default=None, ge=0, lt=1)
    bad_debt_bps: Share | None = None


class Subsidies(Section):
    """Limits of the subsidy for small positions."""

    per_day_usd: Dollars | None = None
    per_account_usd: Dollars | None = None
    debt_at_most_usd: Dollars | None = None


class Feed(Section):
    """One price feed with its heartbeat."""

    address: AddressText
    heartbeat_seconds: Whole = Field(ge=1, le=MOST_SECONDS)


class Second(Section):
    """Another price source of a token, a feed in the market's currency or a Uniswap v3 pool.

    A pool gives its time-weighted price over ``window_seconds``, converted by the market's price of
    the pool's other token.
    """

    token: AddressText
    feed: AddressText | None = None
    pool: AddressText | None = None
    window_seconds: Whole = Field(default=1_800, ge=1, le=DAY)

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.feed is None) == (self.pool is None):
            refuse("a second source is a feed or a pool", hint="set one of feed and pool")
        return self


class Oracle(Section):
    """Limits of the price checks, and the response to each (skip, alert or execute).

    ``heartbeat_seconds`` defaults to a day. It is unknown on a chain with a clock of its own, where
    feeds are not updated.
    """

    heartbeat_seconds: Whole | None = Field(default=None, ge=1, le=MOST_SECONDS)
    slack_seconds: Whole = Field(default=3_600, ge=0, le=MOST_SECONDS)
    deviation_bps: Share = 5_000
    factor_bps: Share = 2_000
    jump: Whole = Field(default=10, ge=2, le=1_000_000)
    failing: Answer = "skip"
    not_positive: Answer = "skip"
    incomplete: Answer = "skip"
    stale: Answer = "skip"
    age_unknown: Answer = "execute"
    at_bound: Answer = "skip"
    decimals: Answer = "skip"
    deviation: Answer = "skip"
    jumped: Answer = "skip"
    feed: tuple[Feed, ...] = ()
    second: tuple[Second, ...] = ()

    @property
    def rules(self) -> OracleRules:
        """The price checks of a block."""
        names = {Check.JUMP: "jumped"}
        return OracleRules(
            responses={
                check: Response(getattr(self, names.get(check, str(check)))) for check in Check
            },
            heartbeat_seconds=self.heartbeat_seconds,
            slack_seconds=self.slack_seconds,
            heartbeats={Address(one.address): one.heartbeat_seconds for one in self.feed},
            deviation_bps=Bps(self.deviation_bps),
            factor_bps=Bps(self.factor_bps),
            jump=self.jump,
        )


class Calls(Section):
    """Delays of reminders and escalations since the tier was entered, in seconds, 0 for never.

    A call advises how to bring the account to ``target`` (by default the end of its episode), valid
    for ``holds_hours`` of interest.
    """

    watch_remind_seconds: Seconds = 0
    call_remind_seconds: Seconds = 21_600
    urgent_remind_seconds: Seconds = 3_600
    liquidatable_remind_seconds: Seconds = 3_600
    watch_escalate_seconds: Seconds = 0
    call_escalate_seconds: Seconds = 43_200
    urgent_escalate_seconds: Seconds = 900
    liquidatable_escalate_seconds: Seconds = 300
    target: Factor | None = None
    holds_hours: Whole = Field(default=24, ge=0, le=24 * 365)

    @property
    def telling(self) -> Telling:
        """The delays of reminders and escalations."""
        tiers = (*_WORST_FIRST, Tier.LIQUIDATABLE)
        return Telling(
            remind_seconds={one: getattr(self, f"{one}_remind_seconds") for one in tiers},
            escalate_seconds={one: getattr(self, f"{one}_escalate_seconds") for one in tiers},
        )


class Restraints(Section):
    """The part of ``[policy]`` that holds accounts back."""

    name: Literal["competitive", "guardian"] = "competitive"
    order: Literal["profit", "bad_debt"] | None = None
    tiers: TierLines = TierLines()
    guard: SpikeGuard = SpikeGuard()
    grace: Graces = Graces()
    floor: Floors = Floors()
    subsidy: Subsidies = Subsidies()

    def margin(self, chain_id: int, oracle: Oracle, calls: Calls) -> MarginSettings:
        """Combine the policy's own margin settings with the configured ones."""
        base = GUARDIAN if self.name == GUARDIAN.name else COMPETITIVE
        return replace(
            base,
            chain_id=chain_id,
            tiers=self.tiers.tiers,
            guard=_merge_guard(base.guard, self.guard),
            grace=_merge_graces(base.grace, self.grace),
            floor=Floor(
                health=_get_or_default(_convert_optional_wad(self.floor.health), base.floor.health),
                bad_debt_bps=_get_or_default(self.floor.bad_debt_bps, base.floor.bad_debt_bps),
            ),
            order=base.order if self.order is None else Order(self.order),
            subsidy=_merge_subsidy(base.subsidy, self.subsidy),
            oracle=oracle.rules,
            telling=calls.telling,
        )


def _merge_guard(base: Guard, wanted: SpikeGuard) -> Guard:
    confirm = wanted.confirm
    return Guard(
        confirm=base.confirm if confirm is None else tuple(Confirms(one) for one in confirm),
        every=base.every if wanted.combine is None else wanted.combine == "all",
        blocks=_get_or_default(wanted.blocks, base.blocks),
        seconds=_get_or_default(wanted.seconds, base.seconds),
        window_seconds=_get_or_default(wanted.window_seconds, base.window_seconds),
        deviation_bps=Bps(_get_or_default(wanted.deviation_bps, base.deviation_bps)),
        tiers=_get_or_default(wanted.tiers, base.tiers),
        acting=_get_or_default(wanted.acting, base.acting),
    )


def _merge_graces(base: Mapping[Tier, Span], wanted: Graces) -> Mapping[Tier, Span]:
    found = dict[Tier, Span]()
    for tier in (*_WORST_FIRST, Tier.LIQUIDATABLE):
        own = base.get(tier, Span())
        span = Span(
            blocks=_get_or_default(getattr(wanted, f"{tier}_blocks"), own.blocks),
            seconds=_get_or_default(getattr(wanted, f"{tier}_seconds"), own.seconds),
        )
        if span != Span():
            found[tier] = span
    return found


def _merge_subsidy(base: Subsidy, wanted: Subsidies) -> Subsidy:
    return Subsidy(
        per_day_usd_e8=_get_or_default(_convert_to_usd_e8(wanted.per_day_usd), base.per_day_usd_e8),
        per_account_usd_e8=_get_or_default(
            _convert_to_usd_e8(wanted.per_account_usd), base.per_account_usd_e8
        ),
        debt_at_most_usd_e8=_get_or_default(
            _convert_to_usd_e8(wanted.debt_at_most_usd), base.debt_at_most_usd_e8
        ),
    )


def _get_or_default(value: T | None, default: T) -> T:
    return default if value is None else value


def _convert_to_usd_e8(dollars: Decimal | None) -> int | None:
    return None if dollars is None else int(dollars * USD_E8)


def _convert_to_wad(factor: Decimal) -> Wad:
    return Wad(int(factor * WAD))


def _convert_optional_wad(factor: Decimal | None) -> Wad | None:
    return None if factor is None else _convert_to_wad(factor)
