"""Decisions about accounts. A skip is a value with its reason."""

import enum
from dataclasses import dataclass

from keeper.domain.plan import Plan
from keeper.domain.units import Address, MarketKey, Timestamp, Wei


class SkipReason(enum.StrEnum):
    """Reasons to skip a liquidatable account. The values are stable."""

    DUST = "dust"
    BELOW_MIN_PROFIT = "below_min_profit"
    NO_EXIT_ROUTE = "no_exit_route"
    EXIT_TOO_SHALLOW = "exit_too_shallow"
    NO_FUNDING = "no_funding"
    FLASH_LOAN_DISABLED = "flash_loan_disabled"
    RESERVE_ILLIQUID = "reserve_illiquid"
    POOL_LOCKED = "pool_locked"
    RESERVE_PAUSED = "reserve_paused"
    RESERVE_INACTIVE = "reserve_inactive"
    GRACE_PERIOD = "grace_period"
    SENTINEL = "sentinel"
    NOT_COLLATERAL = "not_collateral"
    NO_COLLATERAL = "no_collateral"
    PRICE_UNAVAILABLE = "price_unavailable"
    MUST_NOT_LEAVE_DUST = "must_not_leave_dust"
    UNCERTAIN_THRESHOLD = "uncertain_threshold"
    UNSUPPORTED_REVISION = "unsupported_revision"
    SIMULATION_FAILED = "simulation_failed"
    NO_LONGER_LIQUIDATABLE = "no_longer_liquidatable"
    IN_FLIGHT = "in_flight"
    GAS_TOO_EXPENSIVE = "gas_too_expensive"
    NOT_SENT = "not_sent"
    PARITY = "parity"
    POLICY_GRACE = "policy_grace"
    SPIKE_UNCONFIRMED = "spike_unconfirmed"
    ORACLE_SUSPECT = "oracle_suspect"
    COOLING_DOWN = "cooling_down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidate:
    """Decision to send a liquidation, with its plan.

    ``further`` holds the account's next rounds, in order. Each is planned on the account after the
    round before. All rounds are steps of one transaction.
    """

    plan: Plan
    further: tuple[Plan, ...] = ()

    @property
    def market(self) -> MarketKey:
        """The market."""
        return self.plan.market

    @property
    def account(self) -> Address:
        """The borrower."""
        return self.plan.account

    @property
    def rounds(self) -> tuple[Plan, ...]:
        """All of the account's plans, the first one included."""
        return (self.plan, *self.further)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Decision not to liquidate, with its reason.

    ``detail`` states the figures, ``net_profit`` the best option's (negative for a loss, None if
    nothing could be priced). ``until`` is the earliest block timestamp at which a policy's wait can
    end, None if unknown.
    """

    market: MarketKey
    account: Address
    reason: SkipReason
    detail: str = ""
    net_profit: Wei | None = None
    until: Timestamp | None = None


Decision = Liquidate | Skip
