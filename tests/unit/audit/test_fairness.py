"""Times from breach to call and to action, read from entries alone."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.audit.chain import Entry
from keeper.audit.fairness import End, Watcher, bucket, name, rows, share

USD = 10**8


def entry(kind, at, /, account="0xa", **body):
    return Entry(
        id=at,
        kind=kind,
        block_number=at,
        block_time=1_000 + 12 * at,
        market="m:1",
        account=account,
        body=json.dumps(body),
        hash="",
    )


def decision(at, action="skip", reason="dust", debt=500, **more):
    whole = {"action": action, "reason": reason, "debt_usd_e8": str(debt * USD)}
    return entry("decision", at, **whole, **more)


def watched(*entries):
    watcher = Watcher()
    watcher.read(entries)
    return watcher.breaches


def test_the_time_to_act_runs_from_the_first_refusal():
    """It was past the line then; what is repeated does not begin it again."""
    (breach,) = watched(
        decision(1, reason="policy_grace"),
        decision(3, reason="policy_grace"),
        decision(5, action="liquidate", reason="profitable"),
        entry("outcome", 6, state="included", what="liquidation", success=True, failure=""),
    )

    assert (breach.to_action, breach.acted_block, breach.end) == (48, 5, End.LIQUIDATED)
    assert breach.refusals == {"policy_grace": 2}


def test_a_further_round_is_no_part_of_the_next_breach():
    """Both rounds of one block end one breach; what is left of the account is another one."""
    done = {"state": "included", "what": "liquidation", "success": True, "failure": ""}
    first, second = watched(
        decision(5, action="liquidate", reason="profitable"),
        entry("outcome", 6, **done),
        entry("outcome", 6, **done),
        decision(6, reason="exit_too_shallow"),
    )

    assert (first.acted_block, first.end) == (5, End.LIQUIDATED)
    assert second.acted_block is None


def test_a_call_before_the_breach_is_notice():
    """Less than nothing: the account was told so long before."""
    (breach,) = watched(
        entry("call", 1, kind="called"),
        entry("call", 2, kind="reminder"),
        entry("episode", 4, before="urgent", tier="liquidatable", change="entered"),
        decision(4, action="liquidate", reason="profitable"),
    )

    assert (breach.to_call, breach.to_action) == (-36, 0)


def delivery(at, *keys, channel="ops", result="sent", waited=5):
    notices = [{"key": key, "waited": str(waited)} for key in keys]
    return entry("delivery", at, account=None, channel=channel, result=result, notices=notices)


PAST_THE_LINE = {"before": "urgent", "tier": "liquidatable", "change": "entered"}


def test_a_call_that_no_channel_took_is_due_and_not_delivered():
    """Whoever has no channel has told nobody, however many calls are on record."""
    (breach,) = watched(
        entry("call", 1, kind="called", key="a", channels="0"),
        entry("episode", 2, **PAST_THE_LINE),
        decision(2),
    )
    (row,) = rows([breach])

    assert (breach.to_call, breach.to_delivery, breach.had_no_channel) == (-12, None, True)
    assert (row.due, row.delivered, row.without_channel) == (1, 0, 1)


def test_a_delivery_counts_from_when_the_first_channel_took_it():
    """By how long it was due on this machine's clock: the chain's may be another."""
    (breach,) = watched(
        entry("call", 1, kind="called", key="a", channels="2"),
        entry("call", 1, kind="called", key="b", channels="2", account="0xb"),
        entry("episode", 2, **PAST_THE_LINE),
        delivery(2, "a", "b", channel="mail", waited=70),
        delivery(2, "a", "z", waited=30),
        delivery(3, "a", channel="mail", waited=99),
    )

    assert (breach.to_call, breach.to_delivery) == (-12, -12 + 30)
    assert breach.channels == ("mail", "ops")
    assert not breach.had_no_channel


def test_what_was_given_up_was_not_delivered():
    """The way was tried for as long as the settings say, and never worked."""
    (breach,) = watched(
        entry("call", 1, kind="called", key="a", channels="1"),
        entry("episode", 2, **PAST_THE_LINE),
        delivery(2, "a", result="dead"),
    )

    assert (breach.to_delivery, breach.channels) == (None, ())


def test_an_earlier_versions_calls_are_due_and_nothing_more():
    """It put "called" on record whether or not anybody could be told."""
    (breach,) = watched(entry("call", 1, kind="called"), entry("episode", 2, **PAST_THE_LINE))

    assert (breach.to_call, breach.delivered_at, breach.had_no_channel) == (-12, None, False)


def test_a_call_after_a_breach_was_over_is_not_about_it():
    """The account got better unwarned, and was warned of something else later."""
    breaches = watched(
        entry("episode", 1, **PAST_THE_LINE),
        entry("episode", 3, before="liquidatable", tier="urgent", change="left"),
        entry("call", 4, kind="called", key="a"),
        delivery(4, "a"),
        entry("episode", 6, **PAST_THE_LINE),
    )

    assert [one.to_delivery for one in breaches] == [None, -24 + 5]


def test_a_breach_ends_when_the_account_leaves_the_line():
    """The next one has times of its own, and a new episode a call of its own."""
    breaches = watched(
        entry("episode", 1, before="healthy", tier="liquidatable", change="entered"),
        entry("call", 2, kind="called"),
        entry("episode", 3, before="liquidatable", tier="urgent", change="left"),
        entry("episode", 4, before="urgent", tier="healthy", change="closed"),
        entry("episode", 8, before="healthy", tier="liquidatable", change="entered"),
        decision(9),
    )

    assert [(one.since_block, one.end) for one in breaches] == [
        (1, End.RECOVERED),
        (8, End.OPEN),
    ]
    assert [one.to_call for one in breaches] == [12, None]


def test_who_was_liquidated_by_somebody_else_has_not_recovered():
    """The notice of it comes with the block that ended the breach; nobody acted on it here."""
    left = {"before": "liquidatable", "tier": "urgent", "change": "left"}
    other, well = watched(
        entry("episode", 1, **PAST_THE_LINE),
        entry("episode", 3, **left),
        entry("call", 3, kind="liquidated"),
        entry("episode", 5, **PAST_THE_LINE),
        entry("episode", 6, **left),
        entry("call", 8, kind="liquidated"),
    )

    assert (other.end, other.to_action) == (End.LIQUIDATED, None)
    assert well.end is End.RECOVERED


def test_a_record_that_a_crash_put_out_of_order_says_the_same():
    """The receipt is found first, then what the dead process saw, then its call is told."""
    (breach,) = watched(
        entry("outcome", 5, state="included", what="liquidation", success=True, failure=""),
        entry("episode", 4, before="healthy", tier="healthy", change="opened", episode="1"),
        entry("episode", 4, before="healthy", tier="liquidatable", change="entered", episode="1"),
        entry("episode", 5, before="liquidatable", tier="healthy", change="left", episode="1"),
        entry("episode", 5, before="healthy", tier="healthy", change="closed", episode="1"),
        entry("call", 4, kind="called", episode="1", debt_usd_e8=str(500 * USD)),
        entry("call", 5, kind="liquidated", episode="1"),
    )

    assert (breach.since_block, breach.end) == (4, End.LIQUIDATED)
    assert (breach.to_call, breach.to_action, breach.debt_usd_e8) == (0, 12, 500 * USD)


def test_a_receipt_of_an_earlier_breach_is_not_the_next_ones():
    """Whoever falls again after a crash has not been helped by what was before."""
    breaches = watched(
        entry("outcome", 5, state="included", what="liquidation", success=True, failure=""),
        entry("episode", 7, before="healthy", tier="liquidatable", change="entered", episode="1"),
    )

    assert [(one.end, one.acted_block) for one in breaches] == [(End.OPEN, None)]


def test_a_late_call_of_a_closed_episode_is_not_the_next_ones():
    """The next episode is called for itself."""
    breaches = watched(
        entry("episode", 4, before="healthy", tier="liquidatable", change="entered", episode="1"),
        entry("episode", 5, before="liquidatable", tier="healthy", change="left", episode="1"),
        entry("episode", 5, before="healthy", tier="healthy", change="closed", episode="1"),
        entry("call", 4, kind="called", episode="1"),
        entry("episode", 9, before="healthy", tier="liquidatable", change="entered", episode="2"),
    )

    assert [one.to_call for one in breaches] == [0, None]


def test_sizes_stand_apart_and_say_why_who_was_left_alone():
    """Whoever reads it sees whether small accounts wait longer, and for which reason."""
    entries = [
        entry("decision", n, account=f"0x{n}", action="skip", reason="dust", debt_usd_e8=USD * 10)
        for n in range(1, 4)
    ]
    entries += [
        entry("decision", 4, account="0x9", action="liquidate", reason="", debt_usd_e8=USD * 10**6),
        entry("decision", 5, account="0x8", action="skip", reason="no_funding", debt_usd_e8=None),
    ]

    small, large, unknown = rows(watched(*entries))

    assert (small.size, small.breaches, small.acted) == ("under 1,000 USD", 3, 0)
    assert small.left_alone == {"dust": 3}
    assert (large.size, large.acted, large.to_action_median) == ("from 1,000,000 USD", 1, 0)
    assert (unknown.size, unknown.left_alone) == ("unknown", {"no_funding": 1})


def test_decisions_of_before_the_record_have_no_time():
    """Their block's time was not kept; they would spoil every figure."""
    assert watched(decision(1, adopted=True)) == []


@pytest.mark.slow
@given(st.integers(0, 10**18))
def test_every_debt_has_one_size(debt):
    """The bounds belong to the larger size."""
    assert name(bucket(debt))
    assert bucket(debt) <= bucket(debt + 1)


@pytest.mark.slow
@given(st.lists(st.integers(), min_size=1), st.integers(1, 100))
def test_a_percentile_is_one_of_the_values_and_covers_its_share(values, percent):
    """No value is invented between two others."""
    found = share(values, percent)

    assert found in values
    assert sum(one <= found for one in values) * 100 >= percent * len(values)
