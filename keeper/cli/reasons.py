"""Skip reasons as text that a person can act on."""

from collections.abc import Mapping
from typing import Final

from keeper.domain.decision import SkipReason

REASON_WORDS: Final[Mapping[SkipReason, str]] = {
    SkipReason.DUST: "the whole bonus does not pay the gas",
    SkipReason.BELOW_MIN_PROFIT: "it pays its gas, but less than the policy's minimum profit",
    SkipReason.NO_EXIT_ROUTE: "no configured exchange sells the collateral for the debt token",
    SkipReason.EXIT_TOO_SHALLOW: "the exit pools are too shallow to sell it at a profit",
    SkipReason.NO_FUNDING: "no known lender offers a flash loan in the debt token",
    SkipReason.FLASH_LOAN_DISABLED: "flash loans of the debt token are switched off",
    SkipReason.RESERVE_ILLIQUID: "the protocol cannot pay out the collateral now",
    SkipReason.POOL_LOCKED: "the only known lender is a pool that the sale must pass through",
    SkipReason.RESERVE_PAUSED: "the reserve is paused",
    SkipReason.RESERVE_INACTIVE: "the reserve is not active",
    SkipReason.GRACE_PERIOD: "the reserve is in a liquidation grace period",
    SkipReason.SENTINEL: "the sequencer sentinel forbids it now",
    SkipReason.NOT_COLLATERAL: "none of what it holds counts as collateral",
    SkipReason.NO_COLLATERAL: "there is no collateral left to seize",
    SkipReason.PRICE_UNAVAILABLE: "a needed price is not available",
    SkipReason.MUST_NOT_LEAVE_DUST: "the protocol forbids the remainder that it would leave",
    SkipReason.UNCERTAIN_THRESHOLD: "a threshold may be crossed before the transaction lands",
    SkipReason.UNSUPPORTED_REVISION: "the contract's revision is unknown, so it is only watched",
    SkipReason.SIMULATION_FAILED: "the transaction failed when it was simulated",
    SkipReason.NO_LONGER_LIQUIDATABLE: "it is healthy again, or owes nothing any more",
    SkipReason.IN_FLIGHT: "one of our transactions for it is pending",
    SkipReason.COOLING_DOWN: "it failed on chain recently and is skipped for a while",
    SkipReason.GAS_TOO_EXPENSIVE: "gas costs more than it earns, or more than the cap allows",
    SkipReason.NOT_SENT: "the transaction was not sent",
    SkipReason.PARITY: "our data differ from the contract; the account is being read again",
    SkipReason.POLICY_GRACE: "the policy's grace period is still running",
    SkipReason.SPIKE_UNCONFIRMED: "the price move may be a short spike and is not confirmed yet",
    SkipReason.ORACLE_SUSPECT: "a price that it depends on is not trusted now",
}


def in_words(reason: str) -> str:
    """Return a reason as text. An unknown one is returned unchanged."""
    try:
        return REASON_WORDS[SkipReason(reason)]
    except ValueError:
        return reason
