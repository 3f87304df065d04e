"""Rules of a pool by its revision.

The revision is ``Pool.POOL_REVISION()``. Sources: ``@aave/core-v3`` 1.19.3 for revision 1. For
revision 3 the published difference of Aave's deployed pool to v3.1.0 (rates, counted underlying and
grace periods only). Aave-dao/aave-v3-origin for the later ones, at the commits in ``RULEBOOK``.
Revisions 1 and 10 are proved against the deployed contracts by the chain tests. The others follow
from reading the source.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Differences between the revisions of the pool.

    ``stable_debt``: debts at a stable rate count. ``emode_bitmaps``: a category lists its assets
    (else each asset names one category, which may have its own price). ``needs_reserve_threshold``:
    collateral without a reserve threshold does not count, not even in an eMode.
    ``polynomial_interest``: how the variable index compounds. ``directed_rounding``: debts round up
    and collateral down (else to nearest, and down in base currency), the health factor is divided
    once, the flash fee and the debt needed round up. ``value_thresholds``: close factor and
    leftovers depend on values. ``floored_seizure``: 3.7's rounding of the seizure.
    ``premium_to_suppliers``: a flash loan's fee raises the liquidity index at once (from 3.4 the
    treasury has it all).
    """

    version: str
    commit: str
    stable_debt: bool = False
    emode_bitmaps: bool = True
    needs_reserve_threshold: bool = True
    polynomial_interest: bool = True
    directed_rounding: bool = True
    value_thresholds: bool = True
    floored_seizure: bool = False
    premium_to_suppliers: bool = False
    grace_periods: bool = True
    virtual_balance: bool = True
    sentinel: bool = True


_CORE: Final = "core-v3 1.19.3"

_V30: Final = Rules(
    version="3.0",
    commit=_CORE,
    stable_debt=True,
    emode_bitmaps=False,
    polynomial_interest=False,
    premium_to_suppliers=True,
    directed_rounding=False,
    value_thresholds=False,
    grace_periods=False,
    virtual_balance=False,
)
_V31: Final = Rules(
    version="3.1",
    commit="e627c742",
    stable_debt=True,
    emode_bitmaps=False,
    polynomial_interest=False,
    premium_to_suppliers=True,
    directed_rounding=False,
    value_thresholds=False,
)


def _build_v32(commit: str) -> Rules:
    return Rules(
        version="3.2",
        commit=commit,
        polynomial_interest=False,
        premium_to_suppliers=True,
        directed_rounding=False,
        value_thresholds=False,
    )


RULEBOOK: Final[dict[int, Rules]] = {
    1: _V30,
    3: _V30,
    4: _V31,
    5: _build_v32("7c6023e6"),
    6: _build_v32("58e60a24"),
    7: Rules(
        version="3.3",
        commit="5431379f",
        polynomial_interest=False,
        premium_to_suppliers=True,
        directed_rounding=False,
    ),
    8: Rules(version="3.4", commit="d7a64127", directed_rounding=False),
    9: Rules(version="3.5", commit="6138e1fd"),
    10: Rules(version="3.6", commit="5a230ec8", needs_reserve_threshold=False),
    11: Rules(
        version="3.7",
        commit="fd1fbd91",
        needs_reserve_threshold=False,
        floored_seizure=True,
        sentinel=False,
    ),
}
"""The rules by pool revision; a revision that is not here is observed only."""

OBSERVED: Final[dict[int, Rules]] = {2: _V30}
"""A patch of 3.0, valued as 3.0; its source was not at hand, so it is never acted upon."""

NEWEST: Final = RULEBOOK[max(RULEBOOK)]
"""What an unknown revision is valued with: a guess, never acted upon."""


def rules_of(revision: int) -> tuple[Rules, bool]:
    """Return the rules to value a pool of this revision, and whether to act on them."""
    if revision in RULEBOOK:
        return RULEBOOK[revision], True
    return OBSERVED.get(revision, NEWEST), False
