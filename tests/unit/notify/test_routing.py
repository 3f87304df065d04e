from decimal import Decimal

import pytest

from keeper.config.subscriptions import Subscription, Subscriptions, everything_to
from keeper.domain.notice import NoticeKind
from keeper.domain.units import USD_E8
from keeper.notify.routing import channels_of
from tests.support.notices import ACCOUNT, MARKET, notice

OTHER = "0x00000000000000000000000000000000000000A2"


def asked(**wanted):
    return Subscriptions(subscription=(Subscription(channels=("ops",), **wanted),))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({}, True),
        ({"accounts": (ACCOUNT,)}, True),
        ({"accounts": (OTHER,)}, False),
        ({"markets": (MARKET,)}, True),
        ({"markets": ("aave_v3",)}, True),
        ({"markets": ("aave",)}, False),
        ({"tiers": ("urgent", "liquidatable")}, False),
        ({"kinds": (NoticeKind.CURED,)}, False),
        ({"debt_above_usd": Decimal(2_500)}, True),
        ({"debt_above_usd": Decimal("2500.01")}, False),
    ],
)
def test_a_subscription_asks_for_accounts_markets_tiers_kinds_and_size(wanted, told):
    """Each narrows what the channel is told."""
    assert bool(channels_of(notice(), asked(**wanted))) is told


def test_a_debt_that_nobody_can_price_is_told_rather_than_not():
    """The price that failed may be the reason for the call."""
    unknown = notice(debt_usd_e8=None)

    assert channels_of(unknown, asked(debt_above_usd=Decimal(10**9))) == ["ops"]


def test_alarms_go_to_who_asks_for_no_account_of_his_own():
    """A borrower cannot mend the keeper's node."""
    alarm = notice(kind=NoticeKind.ALARM, tier="", account=None, market=None)

    assert channels_of(alarm, asked(tiers=("urgent",), markets=("aave_v3",))) == ["ops"]
    assert channels_of(alarm, asked(accounts=(ACCOUNT,))) == []
    assert channels_of(alarm, asked(kinds=(NoticeKind.CALLED,))) == []


def test_a_channel_of_two_subscriptions_is_told_once():
    """In the order of the file."""
    both = Subscriptions(
        subscription=(
            Subscription(channels=("mail", "ops")),
            Subscription(channels=("ops", "phone"), debt_above_usd=Decimal(1)),
        )
    )

    assert channels_of(notice(debt_usd_e8=2 * USD_E8), both) == ["mail", "ops", "phone"]


def test_without_a_file_every_channel_is_told_of_every_call():
    """The tier watch is for those who ask for it."""
    assert channels_of(notice(), everything_to(["a", "b"])) == ["a", "b"]
    assert channels_of(notice(tier="watch"), everything_to(["a"])) == []
    assert channels_of(notice(), everything_to([])) == []
