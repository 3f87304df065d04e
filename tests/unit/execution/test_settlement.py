"""What a receipt says was paid, to whom, and where the journal says otherwise."""

from dataclasses import replace

import pytest

from keeper.chain.records import Receipt
from keeper.domain.reads import Log
from keeper.execution.executor import LIQUIDATED_TOPIC, STEP_FAILED_TOPIC
from keeper.execution.settlement import (
    DEPOSIT_TOPIC,
    TRANSFER_TOPIC,
    WITHDRAWAL_TOPIC,
    Seen,
    settled,
)
from tests.support.scripted_submission import EXECUTOR, TOKEN, plan
from tests.unit.audit.test_earnings import deals, mined, outcome

RECEIVER = "0x00000000000000000000000000000000000000cc"
WRAPPED = "0x00000000000000000000000000000000000000EE"
GWEI = 10**9


def word(value):
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32)


def log(address, *topics, data=b""):
    return Log(
        address=address,
        topics=topics,
        data=data,
        block_number=5,
        block_hash="0x5",
        transaction_hash="0xaa",
        index=0,
    )


def sent(amount, *, token=TOKEN, to=RECEIVER, by=EXECUTOR):
    return log(token, TRANSFER_TOPIC, word(by), word(to), data=word(amount))


def wrapped(kind, amount, *, by=EXECUTOR, coin=WRAPPED):
    return log(coin, kind, word(by), data=word(amount))


def done(index, profit):
    words = (word(1), word(2), word(profit))
    return log(
        EXECUTOR, LIQUIDATED_TOPIC, word(index), word(TOKEN), word(TOKEN), data=b"".join(words)
    )


FAILED = log(EXECUTOR, STEP_FAILED_TOPIC, word(0), data=word(32) + word(4) + b"\0" * 32)


def receipt(*logs, **changes):
    made = Receipt(
        transaction_hash="0xaa",
        block_hash="0x5",
        block_number=5,
        success=True,
        gas_used=1_000_000,
        gas_price=GWEI,
        contract=None,
        logs=tuple(replace(one, index=at) for at, one in enumerate(logs)),
    )
    return replace(made, **changes)


def judged(one, *logs, base_fee=GWEI // 4, coin=WRAPPED, **changes):
    return settled(
        one, deals(one), Seen(receipt=receipt(*logs, **changes), base_fee=base_fee), coin
    )


def test_what_went_to_the_receiver_to_the_builder_and_as_tips():
    """Each step's own: the share is unwrapped before the step's own log."""
    one = mined(plan(0), plan(1))
    found = judged(
        one,
        wrapped(WITHDRAWAL_TOPIC, 30), sent(100), done(0, 100),
        wrapped(WITHDRAWAL_TOPIC, 40), sent(100), done(1, 100),
    )  # fmt: skip

    assert found.differences == []
    assert [deal.bid_wei for deal in found.deals] == [30, 40]
    assert sum(deal.tip_wei for deal in found.deals) == 1_000_000 * (GWEI - GWEI // 4)
    assert found.received == {TOKEN: 200}


def test_a_builder_that_refused_its_share_was_paid_nothing():
    """The share is wrapped again and goes to the receiver."""
    one = mined(plan(0))
    found = judged(
        one, wrapped(WITHDRAWAL_TOPIC, 30), wrapped(DEPOSIT_TOPIC, 30), sent(100), done(0, 100)
    )

    assert [deal.bid_wei for deal in found.deals] == [0]


@pytest.mark.parametrize(
    "forged",
    [
        wrapped(WITHDRAWAL_TOPIC, 30, coin=TOKEN),
        wrapped(WITHDRAWAL_TOPIC, 30, by=RECEIVER),
        log(TOKEN, TRANSFER_TOPIC, b"\xff" * 32, word(RECEIVER), data=word(7)),
        log(TOKEN, TRANSFER_TOPIC, word(EXECUTOR), word(RECEIVER), data=b""),
        log(RECEIVER, LIQUIDATED_TOPIC, word(9), word(TOKEN), word(TOKEN), data=b""),
    ],
)
def test_logs_of_others_count_nothing_whatever_they_say(forged):
    """Any token of a market may write what it likes."""
    one = mined(plan(0))
    found = judged(one, forged, sent(100), done(0, 100))

    assert [deal.bid_wei for deal in found.deals] == [0]
    assert found.received == {TOKEN: 100}
    assert found.differences == []


def test_where_the_coin_is_not_known_the_bid_is_not_zero():
    """An executor that does not answer may have paid one."""
    found = judged(mined(plan(0)), sent(100), done(0, 100), coin=None)

    assert [deal.bid_wei for deal in found.deals] == [None]


def test_a_failed_steps_logs_are_nobody_elses():
    """What it did was undone, and the next step begins anew."""
    first, second = plan(0), plan(1)
    failed = outcome(first, 0, 0, "reverted without a reason")
    one = mined(first, second, outcomes=(failed, outcome(second)))
    found = judged(one, FAILED, wrapped(WITHDRAWAL_TOPIC, 40), sent(100), done(1, 100))

    assert [deal.bid_wei for deal in found.deals] == [0, 40]
    assert found.received == {TOKEN: 100}


@pytest.mark.parametrize(
    ("changes", "profit", "said"),
    [
        ({"gas_used": 1_000_001}, 100, "gas in wei"),
        ({"success": False}, 100, "success is True in the journal and False on the chain"),
        ({"block_hash": "0x6"}, 100, "block is 0x5 in the journal and 0x6 on the chain"),
        ({}, 99, "is 100 in the journal and 99 on the chain"),
    ],
)
def test_what_the_journal_has_otherwise_is_named(changes, profit, said):
    """A report that equals only itself proves nothing."""
    found = judged(mined(plan(0)), sent(profit), done(0, profit), **changes)

    assert any(said in one for one in found.differences), found.differences
