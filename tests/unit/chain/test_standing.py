"""The endpoints' state machine: what it may do, and what it never does, whatever happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.standing import (
    Answered,
    Failed,
    Garbled,
    Identified,
    Lacked,
    Lagged,
    Limited,
    Offended,
    Rules,
    Standing,
    State,
    moved,
    preferred,
    usable,
)

RULES = Rules()
ALIVE = Standing(state=State.ALIVE)
DIALLED = (ALIVE, ALIVE)

events = st.one_of(
    st.just(Answered()),
    st.sampled_from([Failed("no answer"), Garbled("a page"), Offended("too large")]),
    st.builds(Limited, st.none() | st.floats(0, 2000), st.floats(0, 1)),
    st.sampled_from([Identified(), Identified("chain 5, not 1")]),
    st.builds(Lagged, st.integers(0, 20)),
    st.just(Lacked()),
)
steps = st.lists(st.tuples(st.integers(0, 2), events, st.floats(0, 30)), max_size=60)


def run(pool, *happened, at=0, now=0.0):
    for event in happened:
        pool = moved(pool, at, event, now, RULES)
    return pool


def alive(pool):
    return [at for at, one in enumerate(pool) if one.state is State.ALIVE]


@pytest.mark.slow
@given(steps)
def test_the_last_live_one_is_never_dropped_for_failing_or_lagging(happened):
    """Only another chain, or the node's own wish to be left alone, takes the last one."""
    pool, now = (ALIVE, ALIVE, ALIVE), 0.0
    for at, event, passed in happened:
        now += passed
        before, pool = alive(pool), moved(pool, at, event, now, RULES)
        if before and not isinstance(event, Limited | Identified):
            assert alive(pool)


@pytest.mark.slow
@given(steps)
def test_another_chain_is_left_by_proof_and_probation_only(happened):
    """From wrong chain the way leads through the right identity and as many answers as failures."""
    pool, now = (Standing(), Standing(), Standing()), 0.0
    for at, event, passed in happened:
        now += passed
        before, pool = pool[at], moved(pool, at, event, now, RULES)
        if before.state is State.WRONG_CHAIN:
            proven = isinstance(event, Identified) and not event.fault
            assert pool[at].state is (State.UNREACHABLE if proven else State.WRONG_CHAIN)
            assert pool[at].failures == RULES.failures


@pytest.mark.slow
@given(steps)
def test_patience_is_kept_until_it_was_asked_for(happened):
    """No answer, failure or lag ends the cooling before its time; it never ends earlier."""
    pool, now = (ALIVE, ALIVE, ALIVE), 0.0
    for at, event, passed in happened:
        now += passed
        before, pool = pool[at], moved(pool, at, event, now, RULES)
        if before.state is State.COOLING and now < before.until:
            left = (State.COOLING, State.WRONG_CHAIN)
            if isinstance(event, Garbled | Offended):
                left = (*left, State.QUARANTINED, State.UNREACHABLE)
            assert pool[at].state in left
            assert not usable(pool[at], now)
            assert pool[at].until >= before.until or pool[at].state is State.WRONG_CHAIN


@pytest.mark.slow
@given(steps)
def test_failures_stay_within_their_bounds_and_the_dropped_owe_something(happened):
    """Nobody owes more than the limit, and who is unreachable has something left to pay off."""
    pool, now = (Standing(), Standing(), Standing()), 0.0
    for at, event, passed in happened:
        now += passed
        pool = moved(pool, at, event, now, RULES)
        assert all(0 <= one.failures <= RULES.failures for one in pool)
        assert all(one.failures > 0 for one in pool if one.state is State.UNREACHABLE)
        assert sum(one.clings for one in pool) <= 1


def test_failures_decay_and_are_not_forgotten_at_one_success():
    """A node that fails more often than it answers goes, however its answers are spread."""
    happened = [Failed("x"), Failed("x"), Answered(), Failed("x"), Answered(), Failed("x")]
    pool = run(DIALLED, *happened, Failed("x"))

    assert pool[0].state is State.UNREACHABLE


def test_a_dropped_one_is_probed_until_it_paid_its_failures_off():
    """One good answer does not bring it back; as many as it failed do."""
    dropped = run(DIALLED, *[Failed("x")] * RULES.failures)
    once = run(dropped, Answered())
    back = run(once, Answered(), Answered())

    assert once[0].state is State.UNREACHABLE
    assert back[0] == ALIVE


def test_the_last_one_clings_and_is_let_go_when_another_is_back():
    """It is used while there is nothing better, and no longer."""
    one_left = run((ALIVE, Standing(state=State.UNREACHABLE, failures=1)), *[Failed("x")] * 3)
    other_back = run(one_left, Answered(), at=1)

    assert (one_left[0].state, one_left[0].clings) == (State.ALIVE, True)
    assert [one.state for one in other_back] == [State.UNREACHABLE, State.ALIVE]


def test_lag_has_two_thresholds():
    """Who is at the limit does not flap."""
    behind = run(DIALLED, Lagged(RULES.lag_blocks + 1))
    nearer = run(behind, Lagged(RULES.lag_blocks))
    back = run(nearer, Lagged(RULES.lag_blocks // 2))

    assert [one[0].state for one in (behind, nearer, back)] == [
        State.BEHIND,
        State.BEHIND,
        State.ALIVE,
    ]


def test_f05_a_stated_delay_is_kept_and_repeated_ones_grow():
    """Retry-After counts; without one the pause doubles, up to its bound."""
    asked = run(DIALLED, Limited(30.0, 0.0))
    assert (asked[0].state, asked[0].until) == (State.COOLING, 30.0)

    pool, pauses, now = DIALLED, [], 0.0
    for _ in range(9):
        pool = moved(pool, 0, Limited(None, 0.0), now, RULES)
        pauses.append(pool[0].until - now)
        now = pool[0].until
        pool = moved(pool, 0, Answered(), now, RULES)
        assert pool[0].state is State.ALIVE

    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60]


def test_who_comes_first_has_the_newest_block_then_the_fewest_failures():
    """The order in the settings decides between equals only."""
    pool = (ALIVE, Standing(state=State.ALIVE, failures=1), ALIVE, Standing())

    assert preferred(pool, [True, True, True, True], 0.0) == [0, 2, 1]
    assert preferred(pool, [False, True, False, False], 0.0) == [1, 0, 2]


@pytest.mark.parametrize("event", [Answered(), Lagged(50)])
def test_nobody_is_alive_before_its_chain_is_known(event):
    """An answer says nothing about whose chain it is."""
    assert run((Standing(),), event)[0].state is State.UNDIALLED


def test_f05_answers_between_keep_the_pauses_short():
    """A node that refuses one question in fifty is not overloaded: no pause grows."""
    pool, now = DIALLED, 0.0
    for _ in range(20):
        pool = moved(pool, 0, Limited(None, 0.0), now, RULES)
        assert pool[0].until - now == RULES.first_cooling
        now = pool[0].until
        for _ in range(49):
            pool = moved(pool, 0, Answered(), now, RULES)


BOMB = Offended("longer than 1 MiB")
OTHER_GONE = (ALIVE, Standing(state=State.UNREACHABLE, failures=1))


def until_alive(pool, at, now, most=20):
    """Answer probes until the endpoint is back, and return the pool and how many it took."""
    for probes in range(1, most):
        pool = moved(pool, at, Answered(), now, RULES)
        if pool[at].state is State.ALIVE:
            return pool, probes
    raise AssertionError(pool[at])


@pytest.mark.slow
@given(steps)
def test_f12_who_offended_is_left_alone_while_another_one_is_there(happened):
    """Whatever else happens meanwhile; and not once it is the only one left."""
    pool, now = (ALIVE, ALIVE, ALIVE), 0.0
    for at, event, passed in happened:
        now += passed
        pool = moved(pool, at, event, now, RULES)
        good = any(one.state is State.ALIVE and not one.clings for one in pool)
        for one in pool:
            if one.state is State.QUARANTINED:
                assert not usable(one, now)
            if good and now < one.barred_until:
                assert one.state in (State.QUARANTINED, State.COOLING, State.WRONG_CHAIN)


def test_f12_a_bomb_costs_its_endpoint_minutes_and_a_probation():
    """At once, however good it was before; then it has to earn its place."""
    offended = run(DIALLED, *[Answered()] * 50, BOMB)
    early = run(offended, *[Answered()] * 9, now=RULES.first_quarantine - 1)
    back, probes = until_alive(offended, 0, RULES.first_quarantine)

    assert (offended[0].state, offended[0].reason) == (State.QUARANTINED, "longer than 1 MiB")
    assert offended[0].rests_until == RULES.first_quarantine
    assert early[0].state is State.QUARANTINED
    assert probes == RULES.failures
    assert back[0].reason == ""


def test_f12_a_second_offence_costs_twice_as_much_and_old_ones_are_forgiven():
    """One in twenty answers is a bomb: it must not be back every five minutes for ever."""
    pool, now, pauses = DIALLED, 0.0, []
    for _ in range(6):
        pool = run(pool, BOMB, now=now)
        pauses.append(pool[0].rests_until - now)
        now = pool[0].rests_until
        pool, _ = until_alive(pool, 0, now)
    later = run(pool, BOMB, now=now + RULES.forgiven + 1)

    assert pauses == [300, 600, 1200, 2400, 3600, 3600]
    assert later[0].rests_until - now - RULES.forgiven - 1 == 300


def test_f12_bombs_of_one_moment_are_one_offence():
    """Several questions were under way."""
    once, twice = run(DIALLED, BOMB), run(DIALLED, BOMB, BOMB, BOMB)

    assert twice[0] == once[0]


def test_f12_the_only_one_is_used_all_the_same():
    """A bad node is better than none; it is let go as soon as there is another."""
    only = run((ALIVE,), BOMB)
    last = run(OTHER_GONE, BOMB)
    other_back = run(last, Answered(), at=1)
    undialled = run((Standing(),), BOMB)

    assert (only[0].state, only[0].clings) == (State.ALIVE, True)
    assert only[0].rests_until == 0
    assert (last[0].state, last[0].clings) == (State.ALIVE, True)
    assert [one.state for one in other_back] == [State.QUARANTINED, State.ALIVE]
    assert undialled[0].state is State.UNREACHABLE


@pytest.mark.slow
def test_f12_the_only_one_is_told_of_once():
    """It answers nineteen of twenty, and each bomb would be a line in the log."""
    pool = run((ALIVE,), BOMB)
    for second in range(1, 100):
        pool = run(pool, *[Answered()] * 19, BOMB, now=float(second))
        assert (pool[0].state, pool[0].clings) == (State.ALIVE, True)
    cooling = run(pool, Limited(9.0, 0.0), now=100.0)
    assert cooling[0].state is State.COOLING


def test_f12_it_is_tried_again_when_the_good_one_is_gone():
    """One answer in twenty was a bomb; the good node answers nothing any more."""
    offended = run(DIALLED, BOMB)
    alone = run(offended, *[Failed("x")] * RULES.failures, at=1)
    back, _ = until_alive(alone, 0, 1.0)
    both = run(back, *[Answered()] * 9, at=1, now=2.0)

    assert (alone[0].state, alone[1].clings) == (State.UNREACHABLE, True)
    assert [one.state for one in back] == [State.ALIVE, State.UNREACHABLE]
    assert [one.state for one in both] == [State.ALIVE, State.ALIVE]


def test_f12_a_good_one_that_rests_for_a_moment_does_not_free_it():
    """The provider of the good one counts requests; that is no reason to ask the bad one."""
    offended = run(DIALLED, BOMB)
    briefly = run(offended, Limited(1.0, 0.0), at=1)
    for_long = run(offended, Limited(60.0, 0.0), at=1)

    assert briefly[0].state is State.QUARANTINED
    assert for_long[0].state is State.UNREACHABLE


def test_f12_answers_that_are_none_for_seconds_are_an_offence():
    """A page in place of each answer; those of one moment count once."""
    pool = DIALLED
    for _ in range(RULES.garbled * 3):
        pool = run(pool, Garbled("a page"))
    assert pool[0].state is State.UNREACHABLE
    for second in range(1, RULES.garbled):
        pool = run(pool, Garbled("a page"), now=float(second))
    assert (pool[0].state, pool[0].reason) == (State.QUARANTINED, "a page")

    pool = DIALLED
    for second in range(100):
        pool = run(pool, Garbled("a page"), *[Answered()] * 19, now=float(second))
    assert pool[0].state is State.ALIVE


def test_who_lacked_a_block_is_preferred_less_for_a_while():
    """Less than one that may have it, too; and it is tried again, later each time."""
    pool, pauses, now = DIALLED, [], 0.0
    for _ in range(8):
        pool = moved(pool, 0, Lacked(), now, RULES)
        assert preferred(pool, [True, False], now) == [1, 0]
        assert moved(pool, 0, Lacked(), now, RULES) == pool  # reads of the same moment
        pauses.append(pool[0].late_until - now)
        now = pool[0].late_until
        assert preferred(pool, [True, False], now) == [0, 1]

    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600]
    now += 2 * RULES.longest_late
    assert moved(pool, 0, Lacked(), now, RULES)[0].late_until == now + 10


def test_being_late_drops_nobody():
    """Late is not dead: the only one that has a block at all may be late."""
    pool = run(DIALLED, *[Lacked()] * 20)

    assert pool[0].state is State.ALIVE
    assert preferred(run(pool, Lacked(), at=1), [True, True], 0.0) == [0, 1]
