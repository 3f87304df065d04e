"""Tiers: an account is in exactly one, and the protocol's verdict goes first."""

import pytest

from keeper.domain.account import AccountHealth
from keeper.domain.units import WAD
from keeper.risk.tiers import Tier, tier_of


def an_account(health_factor=2 * WAD, *, liquidatable=False, unpriced=""):
    return AccountHealth(
        market="m:1",
        account="0xb0",
        health_factor=health_factor,
        collateral_base=1,
        debt_base=1,
        liquidatable=liquidatable,
        unpriced=unpriced,
    )


@pytest.mark.parametrize(
    ("health_factor", "tier"),
    [
        (125 * WAD // 100, Tier.HEALTHY),
        (125 * WAD // 100 - 1, Tier.WATCH),
        (110 * WAD // 100, Tier.WATCH),
        (110 * WAD // 100 - 1, Tier.CALL),
        (103 * WAD // 100 - 1, Tier.URGENT),
        (WAD, Tier.URGENT),
    ],
)
def test_a_tier_begins_just_below_its_threshold(health_factor, tier):
    """The threshold itself still belongs to the better tier."""
    assert tier_of(an_account(health_factor)) is tier


def test_only_the_protocol_says_who_is_liquidatable():
    """In some protocols an account exactly at the line can be liquidated, in others not."""
    assert tier_of(an_account(WAD, liquidatable=True)) is Tier.LIQUIDATABLE
    assert tier_of(an_account(WAD - 1)) is Tier.URGENT


def test_an_account_without_a_price_is_not_called_healthy():
    """Unknown is told as unknown."""
    assert tier_of(an_account(0, unpriced="WETH: source reverts")) is Tier.UNPRICED
