"""Words for people: nothing is rounded up, every reason has its sentence."""

import pytest

from keeper.cli.reasons import REASON_WORDS, in_words
from keeper.cli.words import TIER_LOOKS, decimal, event_line, health_text
from keeper.domain.account import HEALTH_FACTOR_NO_DEBT
from keeper.domain.decision import SkipReason
from keeper.domain.units import WAD
from keeper.risk.tiers import Tier


@pytest.mark.parametrize(
    ("amount", "decimals", "shown", "text"),
    [
        (1_234_567_890, 6, None, "1,234.56789"),
        (1, 18, None, "0.000000000000000001"),
        (-1_500_000, 6, None, "-1.5"),
        (42, 0, None, "42"),
        (199_999_999, 8, 2, "1.99"),
    ],
)
def test_amounts_are_exact_or_cut(amount, decimals, shown, text):
    """A rounded-up amount would promise money that is not there."""
    assert decimal(amount, decimals, shown) == text


def test_a_health_factor_just_below_one_does_not_read_one():
    """0.99999 is liquidatable and has to look it."""
    assert health_text(WAD - 1) == "0.9999"
    assert health_text(HEALTH_FACTOR_NO_DEBT) == "no debt"


def test_every_reason_and_every_tier_has_words():
    """A new reason without a sentence would reach people as an identifier."""
    assert set(REASON_WORDS) == set(SkipReason)
    assert set(TIER_LOOKS) == set(Tier)
    assert in_words("of_a_later_version") == "of_a_later_version"


def test_waiting_for_our_own_transaction_is_no_news():
    """It would be said at every block, of every account, and asks nothing of anybody."""
    event = {
        "event": "decision", "action": "skip", "reason": "in_flight", "detail": "",
        "account": "0xb0", "net_profit_wei": None, "block_number": 1,
    }  # fmt: skip

    assert event_line(event) == ""
    assert "dust" in event_line(event | {"reason": "dust"})


def test_cures_and_messages_are_sentences_and_not_lists_of_fields():
    """They are read in a terminal while it burns."""
    cure = {
        "event": "cure", "account": "0xb0", "tier": "urgent", "action": "would_cure",
        "kind": "repay_debt", "amount": "25", "token": "0xc0", "target": str(WAD),
        "block_number": 7,
    }  # fmt: skip
    refused = {**cure, "action": "skip", "reason": "no_money", "detail": "0 to be had"}
    told = {"event": "notification", "channel": "ops", "notices": 2, "attempt": 3}

    assert event_line(cure) == (
        "block 7  would cure 0xb0 (urgent): repay 25 units of 0xc0, to a health of 1.0000"
    )
    assert event_line(refused) == "block 7  no cure for 0xb0 (urgent)  no_money: 0 to be had"
    assert event_line({**told, "result": "failed", "reason": "no answer"}) == (
        "ops: 2 notices failed, attempt 3: no answer"
    )


def test_a_call_in_the_log_of_a_run_is_due_and_a_message_delivered_when_it_was():
    """The event is told when the call is kept; nobody has got it yet."""
    call = {
        "event": "margin_call", "kind": "called", "account": "0xb0", "tier": "urgent",
        "health_factor": str(WAD), "detail": "", "block_number": 7,
    }  # fmt: skip
    sent = {
        "event": "notification", "channel": "ops", "notices": 1, "attempt": 1, "reason": "",
        "result": "sent",
    }  # fmt: skip

    assert event_line(call) == "block 7  call due: 0xb0 urgent, health 1.0000"
    nobody = {"account": None, "tier": "", "health_factor": None, "detail": "a price is stale"}
    assert event_line({**call, **nobody, "kind": "alarm"}) == "block 7  alarm due: a price is stale"
    assert event_line(sent) == "ops: 1 notice delivered, attempt 1"
