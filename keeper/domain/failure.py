"""Classifies failures of reverted plans by their reason text.

A race is lost if the account was healthy, repaid or gone by then. Another liquidator was faster,
and the plan had no fault. In a moved market the sale brought less than the executor enforces. Every
other failure is a defect of the keeper, or of a market that behaves differently in simulations.
"""

import enum
import re
from collections.abc import Iterable
from typing import Final


class FailureKind(enum.StrEnum):
    """Consequence of a failed plan for the next one. The values are stable."""

    RACE = "race"  # the account was healthy, paid, or gone at that block
    MOVED = "moved"  # the sale brought less than the minimum that protects the profit
    LATE = "late"  # mined after its deadline
    DEFECT = "defect"  # anything else


MOVED_MEANWHILE: Final = "others traded in its pools in the same block"
"""A revert that cannot be repeated on the state that its block left, where others acted."""

TOUCHED: Final = " (others acted on the account in the same block)"
UNTOUCHED: Final = " (nobody else acted on the account in that block)"
"""What is added to a failure's reason by the logs of its block."""
LIED: Final = (
    " (nobody else acted in that block, and the same call works in a simulation on the state it"
    " left)"
)
"""What is added where a market or a token tells a simulation from the chain."""
OVERTAKEN: Final = " (the same call fails alike in a simulation on the state that its block left)"
"""Suffix of a reason that is no race's, where prices or pools moved on the way to the block."""
BEHIND: Final = " (an earlier liquidation of the account worked in the same transaction)"
"""Suffix of a reason of a further round. What the first round leaves depends on the price."""

_SIGNS: Final = (
    (
        FailureKind.RACE,
        (
            "NotLiquidatable(",
            "HealthFactorNotBelowThreshold",
            "SpecifiedCurrencyNotBorrowedByUser",
            "CollateralCannotBeLiquidated",
            "position is healthy",
        ),
    ),
    (
        FailureKind.MOVED,
        ("BelowMinProfit(", "SaleBelowFloor(", "Shortfall(", "PartialFill(", MOVED_MEANWHILE),
    ),
    (FailureKind.LATE, ("DeadlinePassed(",)),
)
_OWN_REFUSALS: Final = (
    "NotOperator(",
    "NotOwner(",
    "NotAllowed(",
    "IsPaused(",
    "NotEnoughGas(",
    "NotSelf(",
    "Reentered(",
    "UnknownModule(",
    "UnknownFunding(",
    "UnknownKind(",
    "NotItsModule(",
    "UnexpectedCallback(",
    "CallbackMissing(",
    "ForeignInitiator(",
    "BadPath(",
)
"""Errors of the keeper's own contracts about roles, settings and calldata, whatever prices are."""
_AAVE_NUMBERS: Final = {
    "45": FailureKind.RACE,  # HEALTH_FACTOR_NOT_BELOW_THRESHOLD
    "46": FailureKind.RACE,  # COLLATERAL_CANNOT_BE_LIQUIDATED
    "47": FailureKind.RACE,  # SPECIFIED_CURRENCY_NOT_BORROWED_BY_USER
}
"""Aave v3.0 to 3.3 revert with a number as text. Source: aave-v3-core ``Errors.sol``."""
_FRAME: Final = re.compile(r"^(the whole transaction reverted: )?(nothing worked: )?")


def classify_failure(reason: str) -> FailureKind:
    """Return the kind of a failure by its reason, as ``failure_reason`` words it.

    A transaction of several plans lists their reasons. It is a defect if one of them is.
    """
    if reason.endswith(LIED):
        return FailureKind.DEFECT
    if reason.endswith((OVERTAKEN, BEHIND)):
        return FailureKind.MOVED
    kinds = [_classify(part.strip()) for part in plain_reason(reason).split(";")]
    return max(kinds, key=_WORST.index)


def plain_reason(reason: str) -> str:
    """Return a reason without the transaction's frame and without the suffix about its block."""
    return _FRAME.sub("", reason.removesuffix(TOUCHED).removesuffix(UNTOUCHED))


def is_own_refusal(reason: str) -> bool:
    """Return whether the keeper's own contract refused the call for its caller or its form."""
    return any(sign in plain_reason(reason) for sign in _OWN_REFUSALS)


def has_defect(reasons: Iterable[str]) -> bool:
    """Return whether one of several failures is a defect. An empty reason is no failure."""
    return any(classify_failure(reason) is FailureKind.DEFECT for reason in reasons if reason)


_WORST: Final = (FailureKind.LATE, FailureKind.RACE, FailureKind.MOVED, FailureKind.DEFECT)


def _classify(reason: str) -> FailureKind:
    known = _AAVE_NUMBERS.get(reason)
    if known is not None:
        return known
    for kind, signs in _SIGNS:
        if any(sign in reason for sign in signs):
            return kind
    # The end of a long list of reasons is cut off: what is left of a word is no reason.
    return (
        FailureKind.RACE
        if reason.endswith("…") and _is_beginning(reason[:-1])
        else (FailureKind.DEFECT)
    )


def _is_beginning(cut: str) -> bool:
    """Return whether a truncated reason is the beginning of a race's."""
    races = _SIGNS[0][1]
    return not cut or any(sign.startswith(cut) for sign in races)
