"""Precedence of skip reasons, where the reason nearest to being sent counts."""

from collections.abc import Iterable
from typing import Final

from keeper.domain.decision import Skip, SkipReason
from keeper.strategy.candidate import Candidate
from keeper.strategy.pricing import Miss

_NEAREST: Final = (
    SkipReason.BELOW_MIN_PROFIT,
    SkipReason.EXIT_TOO_SHALLOW,
    SkipReason.GAS_TOO_EXPENSIVE,
    SkipReason.RESERVE_ILLIQUID,
    SkipReason.POOL_LOCKED,
    SkipReason.NO_FUNDING,
    SkipReason.FLASH_LOAN_DISABLED,
    SkipReason.NO_EXIT_ROUTE,
    SkipReason.MUST_NOT_LEAVE_DUST,
    SkipReason.DUST,
    SkipReason.UNCERTAIN_THRESHOLD,
    SkipReason.PRICE_UNAVAILABLE,
    SkipReason.GRACE_PERIOD,
    SkipReason.SENTINEL,
    SkipReason.RESERVE_PAUSED,
    SkipReason.RESERVE_INACTIVE,
    SkipReason.NOT_COLLATERAL,
    SkipReason.NO_COLLATERAL,
)
_PLACES: Final = {reason: place for place, reason in enumerate(_NEAREST)}


def skipped(candidate: Candidate, priced: Iterable[Miss], refused: Iterable[Miss]) -> Skip:
    """Build the skip of ``candidate`` with the most relevant reason.

    ``priced`` are the options sized on curves, of which the most profitable comes first.
    ``refused`` are pairs that were not sized.
    """
    numbered = [miss for miss in priced if miss.net_profit is not None]
    unpriced = [miss for miss in priced if miss.net_profit is None]
    others = sorted([*unpriced, *refused], key=_get_precedence)
    best = max(numbered, key=_get_net_or_zero, default=None) or next(iter(others), None)
    if best is None:
        best = Miss(reason=SkipReason.NO_COLLATERAL, detail="the market offers nothing to take")
    return Skip(
        market=candidate.market,
        account=candidate.account,
        reason=best.reason,
        detail=best.detail,
        net_profit=best.net_profit,
    )


def _get_precedence(miss: Miss) -> int:
    return _PLACES.get(miss.reason, len(_PLACES))


def _get_net_or_zero(miss: Miss) -> int:
    return 0 if miss.net_profit is None else miss.net_profit
