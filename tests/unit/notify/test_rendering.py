from dataclasses import replace

import pytest

from keeper.domain.advice import CureKind, LiquidationPrice
from keeper.domain.notice import NoticeKind
from keeper.domain.telling import Severity
from keeper.domain.units import UINT256_MAX, WAD
from keeper.notify.rendering import ITEMS, LISTED, message_of
from tests.support.notices import ACCOUNT, MARKET, TOKEN, advice, notice


def test_a_call_says_what_happened_how_much_time_and_what_to_do():
    """The holder of the account reads nothing else before acting."""
    told = notice(advice=advice(), deadline=1_700_000_600)

    message = message_of("ops", [told])

    deadline = "2023-11-14 22:23:20 UTC"
    until = "2023-11-15 22:13:20 UTC if prices and rates stay"
    assert message.title == "0x0000…00A1 is in tier call, health 1.0800"
    assert message.text.splitlines() == [
        f"Account {ACCOUNT} is in tier call.",
        f"Market: {MARKET}",
        "Health: 1.0800; it can be liquidated below 1.",
        "Debt: 2,500.00 USD, against collateral of 3,100.00 USD.",
        "",
        (
            "Time: only below a health of 1 anybody may liquidate it; then by its policy this"
            f" keeper waits until {deadline} (10 min after this was read), unless it gets much"
            " worse, and others need not."
        ),
        "",
        f"What to do, any one of these (health 1.2500 at {until}):",
        f"- repay 12.5 USDC ({TOKEN})",
        "It can be liquidated if WETH alone falls by 76.00 %.",
        "",
        "Read at block 7, 2023-11-14 22:13:20 UTC.",
    ]


def test_the_cheapest_of_several_cures_is_named_and_the_impossible_are_explained():
    """A person has one transaction to make, and little time."""
    (repay,) = advice().cures
    add = replace(repay, kind=CureKind.ADD_COLLATERAL, symbol="W<b>", amount=1)
    told = notice(
        advice=advice(cures=(repay, add), impossible=("adding WBTC: supply cap reached",))
    )

    text = message_of("ops", [told]).text

    assert f"- repay 12.5 USDC ({TOKEN}) (the least in value)" in text
    assert f"- add 0.000001 W?b? ({TOKEN})" in text
    assert "Not possible: adding WBTC: supply cap reached" in text


def test_none_of_several_cures_is_called_the_least_where_their_value_is_not_known():
    """A market without a dollar price orders them by nothing."""
    (repay,) = advice().cures
    unknown = replace(repay, value=0)
    told = notice(advice=advice(cures=(unknown, replace(unknown, kind=CureKind.ADD_COLLATERAL))))

    text = message_of("ops", [told]).text

    assert f"- repay 12.5 USDC ({TOKEN})\n" in text
    assert "the least in value" not in text


def test_what_is_told_is_escaped_for_html():
    """Details may quote what a contract said."""
    message = message_of("ops", [notice(detail='<script>alert("x")</script>\u202e')])

    assert "<script>" not in message.html
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in message.html
    assert "\u202e" not in message.text


@pytest.mark.parametrize(
    ("changed", "severity", "opening"),
    [
        ({"tier": "liquidatable"}, Severity.CRITICAL, "is in tier liquidatable"),
        ({"tier": "urgent", "kind": NoticeKind.REMINDER}, Severity.CRITICAL, "is still in tier"),
        ({"tier": "watch"}, Severity.INFO, "is in tier watch"),
        ({"kind": NoticeKind.ESCALATED}, Severity.WARNING, "no acknowledgement on record"),
        ({"kind": NoticeKind.CURED}, Severity.INFO, "has left every warning tier"),
        ({"kind": NoticeKind.LIQUIDATED}, Severity.WARNING, "was liquidated"),
        ({"kind": NoticeKind.ALARM, "detail": "no node"}, Severity.CRITICAL, "no node"),
    ],
)
def test_each_kind_has_its_words_and_its_loudness(changed, severity, opening):
    """People route by severity and read the first line."""
    message = message_of("ops", [notice(**changed)])

    assert message.severity is severity
    assert opening in message.title


def test_who_owes_nothing_any_more_is_told_of_no_unknown_amounts():
    """After a full liquidation there is no debt and no health to tell."""
    told = notice(
        kind=NoticeKind.LIQUIDATED,
        health_factor=None,
        debt_usd_e8=None,
        collateral_usd_e8=None,
        detail="it owes nothing in this market any more",
    )

    assert message_of("ops", [told]).text.splitlines() == [
        f"Account {ACCOUNT} was liquidated.",
        f"Market: {MARKET}",
        "It owes nothing in this market any more.",
        "",
        "Read at block 7, 2023-11-14 22:13:20 UTC.",
    ]


def test_an_account_that_cannot_be_valued_is_not_told_to_be_past_the_line():
    """A failing price source is no liquidation, and zeros are no figures."""
    unknown = {"health_factor": None, "debt_usd_e8": None, "collateral_usd_e8": None}
    told = notice(
        kind=NoticeKind.REMINDER, detail="its health is not known: no price of WETH", **unknown
    )

    lines = message_of("ops", [told]).text.splitlines()
    digest = message_of("ops", [told, notice(key="b", market="m:2")]).text

    assert lines == [
        f"Account {ACCOUNT} is still in tier call.",
        f"Market: {MARKET}",
        "Its health is not known: no price of WETH.",
        "",
        (
            "Time: not known; below a health of 1 anybody may liquidate it unless the protocol"
            " itself is paused or grants time."
        ),
        "",
        "Read at block 7, 2023-11-14 22:13:20 UTC.",
    ]
    assert f"- {ACCOUNT} is still in tier call, health not known, in aave" in digest


def test_a_digest_says_where_and_until_when_since_an_account_may_be_in_several_markets():
    """Its lines are all that its readers get."""
    told = [notice(deadline=1_700_000_600, advice=advice()), notice(key="b", market="m:2")]

    first, second = (one for one in message_of("o", told).text.splitlines() if one[:2] == "- ")

    assert first.endswith(
        ", in aave_v3:0x0000…00B1; this keeper waits until 2023-11-14 22:23:20 UTC;"
        " for a health of 1.2500 at 2023-11-15 22:13:20 UTC if prices and rates stay:"
        f" repay 12.5 USDC ({TOKEN})"
    )
    assert second.endswith("debt 2,500.00 USD, in m:2")


def test_a_digest_says_of_an_account_only_what_came_last():
    """Hours of reminders in one message would list one account many times, at old prices."""
    told = [
        notice(key="1", tier="urgent", block_number=5),
        notice(key="2", tier="liquidatable", kind=NoticeKind.REMINDER, block_number=6),
        notice(key="3", tier="urgent", kind=NoticeKind.REMINDER, block_number=7),
        notice(key="4", tier="call", block_number=7, account="0xb"),
        notice(key="5", kind=NoticeKind.LIQUIDATED, block_number=6),
        notice(key="6", tier="call", block_number=5, account="0xc"),
        notice(key="7", kind=NoticeKind.CURED, block_number=6, account="0xc"),
    ]

    message = message_of("o", told)

    assert (
        message.title
        == "Margin calls: 3 accounts, 1 urgent, 1 call, 1 liquidated, 1 out of every tier"
    )
    listed = [line for line in message.text.splitlines() if line.startswith("- ")]
    assert [" ".join(line.split()[2:6]) for line in listed] == [
        "is still in tier",
        "is in tier call,",
        "was liquidated, health 1.0800,",
        "has left every warning",
    ]
    assert (message.count, len(message.items)) == (7, 7)


def test_html_has_paragraphs_and_lists_and_nothing_of_what_was_told_is_markup():
    """A wall of paragraphs that begin with hyphens is hard to read."""
    told = notice(advice=advice(impossible=("adding <i>X</i>: full",)))

    html = message_of("ops", [told]).html

    assert html.startswith(f"<p>Account {ACCOUNT} is in tier call.<br>Market: ")
    assert f"<ul><li>repay 12.5 USDC ({TOKEN})</li></ul>" in html
    assert "&lt;i&gt;X&lt;/i&gt;" in html


def test_machines_get_the_cures_to_the_unit():
    """Who answers a call by program must not read prose."""
    (item,) = message_of("ops", [notice(advice=advice())]).items

    assert item.cures == (
        {"kind": "repay_debt", "token": TOKEN, "amount": "12500000", "decimals": "6"},
    )
    assert item.fields["target_health_factor_wad"] == str(125 * WAD // 100)


def test_without_cures_a_call_says_so():
    """Silence would be read as "wait"."""
    assert "Nothing that can be added" in message_of("o", [notice(advice=advice(cures=()))]).text


WETH_AT = LiquidationPrice(token=TOKEN, symbol="WETH", price=2_400 * 10**8, now=2_301 * 10**8)
USDC_AT = LiquidationPrice(token=TOKEN, symbol="USDC", price=96 * 10**6, now=10**8)


@pytest.mark.parametrize("is_stored", [False, True], ids=["new", "stored by an earlier version"])
def test_past_the_line_it_is_said_what_would_end_it(is_stored):
    """A borrower who reads "starts if WETH rises" does the opposite of what helps."""
    sides = (None, None) if is_stored else (True, False)
    prices = [replace(p, is_floor=at) for p, at in zip((WETH_AT, USDC_AT), sides, strict=True)]
    told = notice(health_factor=95 * WAD // 100, advice=advice(prices=tuple(prices)))

    text = message_of("ops", [told]).text

    assert "It would be healthy again if WETH alone rose by 4.31 %." in text
    assert "It would be healthy again if USDC alone fell by 4.01 %." in text
    assert "It can be liquidated if" not in text


def test_a_price_that_was_stored_at_the_line_itself_is_not_guessed_at():
    """Whether a rise or a fall ends it was not kept then."""
    there = replace(WETH_AT, now=WETH_AT.price)
    told = notice(health_factor=WAD - 1, advice=advice(prices=(there,)))

    assert "WETH alone" not in message_of("ops", [told]).text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"liquidatable": True, "health_factor": WAD - 1}, "Time: none; it was past the line when"),
        ({"health_factor": WAD - 1}, "Time: none; it was past the line when"),
        ({"liquidatable": False, "health_factor": WAD + 1}, "Time: it was healthy again, short of"),
        ({"tier": "call", "liquidatable": False}, "Time: as soon as its health falls below 1"),
    ],
)
def test_the_time_left_follows_the_protocols_verdict_and_not_the_tier(changed, said):
    """A tier is left above its line only: an account in it may be healthy."""
    text = message_of("ops", [notice(**{"tier": "liquidatable", **changed})]).text

    assert said in text


def test_what_needs_no_cure_is_not_called_incurable():
    """A target below the tier's line is reached by doing nothing."""
    untreated = advice(cures=(), untreated=126 * WAD // 100)

    text = message_of("ops", [notice(advice=untreated)]).text

    assert "Nothing has to be done for a health of 1.2500: at 2023-11-15 22:13:20 UTC" in text
    assert "it is 1.2600 if prices and rates stay." in text


def test_an_account_that_cannot_be_valued_is_not_called_incurable_either():
    """Nobody knows what would help."""
    unvalued = advice(cures=(), prices=(), impossible=("the price source fails",))

    lines = message_of("ops", [notice(advice=unvalued)]).text.splitlines()

    assert "What would cure it is not known." in lines
    assert "Reason: the price source fails" in lines


def test_a_whole_debt_is_repaid_as_such():
    """An amount that is rounded up would be more than is owed, which some contracts refuse."""
    (repay,) = advice().cures

    text = message_of("ops", [notice(advice=advice(cures=(replace(repay, clears=True),)))]).text

    assert f"- repay all of the USDC, at most 12.5 USDC ({TOKEN})" in text


def test_amounts_of_a_later_block_say_so():
    """After a crash the advice is that of the block in which the account is seen again."""
    later = advice(block_number=9, timestamp=1_700_000_024)

    last = message_of("ops", [notice(advice=later)]).text.splitlines()[-1]

    assert last == (
        "Read at block 7, 2023-11-14 22:13:20 UTC."
        " Amounts and distances: at block 9, 2023-11-14 22:13:44 UTC."
    )


def test_news_that_lay_in_the_outbox_says_for_how_long():
    """A keeper that was stopped for hours tells what was so before."""
    one, two = notice(key="a"), notice(key="b")

    assert "was made" not in message_of("ops", [one], 119).text
    assert message_of("ops", [one], 7_260).text.endswith(
        "This message was made 2 h 1 min after that."
    )
    assert message_of("ops", [one, two], 120).text.endswith(
        "This message was made 2 min after the oldest of these was read."
    )


def test_a_debt_too_small_to_have_a_value_has_no_endless_number():
    """The contract's health is then the largest number that there is."""
    message = message_of("ops", [notice(health_factor=UINT256_MAX, liquidatable=False)])

    assert message.title.endswith(", health beyond counting")
    assert "Health: beyond counting; it can be liquidated below 1." in message.text


def test_steadied_prices_are_told_beside_the_raw_ones():
    """Who looks at the chain sees the raw one."""
    told = notice(guarded_health_factor=112 * WAD // 100)

    assert "Health: 1.0800, 1.1200 at the steadied prices" in message_of("ops", [told]).text


@pytest.mark.slow
def test_many_accounts_are_one_digest_the_worst_first():
    """In a crash nobody reads ten thousand pages."""
    many = [
        notice(key=f"k{at}", account=f"0x{at:040x}", health_factor=WAD + at, tier="urgent")
        for at in range(10_000)
    ]

    message = message_of("ops", [*many, notice(kind=NoticeKind.CURED, key="cured", account="0xc")])

    assert message.title == "Margin calls: 10,001 accounts, 10,000 urgent, 1 out of every tier"
    assert message.count == 10_001
    assert len(message.items) == ITEMS
    listed = [line for line in message.text.splitlines() if line.startswith("- ")]
    assert len(listed) == LISTED
    assert listed[0].startswith(f"- 0x{0:040x} is in tier urgent, health 1.0000, debt 2,500.00 USD")
    assert f"And {10_001 - LISTED:,} more" in message.text


def test_the_same_news_has_the_same_key_whatever_the_order():
    """A retry after a crash is recognised where it arrives."""
    one, two = notice(key="a"), notice(key="b")

    assert message_of("ops", [one, two]).key == message_of("ops", [two, one]).key
    assert message_of("ops", [one]).key != message_of("mail", [one]).key
