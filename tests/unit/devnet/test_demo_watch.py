"""The demo goes on when the keeper is done, and counts blocks from the first breach."""

from keeper.devnet.demo.report import in_ether, reason_words
from keeper.devnet.demo.steps import STEPS
from keeper.devnet.demo.traffic import BASE_FEE, wanted
from keeper.devnet.demo.watch import QUIET_BLOCKS, Timeline, Watch

ONE = 10**18
WHO = "0x00000000000000000000000000000000000000A1"
MARKET = "lending:1"
SPOT = (MARKET, WHO)


def block(number):
    return {"event": "block", "block_number": number}


def attempt(number, nonce=0):
    return {"event": "attempt", "block_number": number, "nonce": nonce}


def included(number, nonce=0):
    return {"event": "included", "block_number": number, "nonce": nonce, "plans": [{"failure": ""}]}


def skip(number, reason="dust"):
    return {
        "event": "decision",
        "action": "skip",
        "market": MARKET,
        "account": WHO,
        "reason": reason,
        "detail": "",
        "block_number": number,
    }


def heard(*events):
    watch = Watch()
    watch.hear(events)
    return watch


def test_a_quiet_keeper_is_done_after_a_few_blocks():
    """It has seen the block of the fall and two more, and had nothing to do."""
    assert not heard(block(10), block(11)).is_done(10)
    assert heard(block(10), block(11), block(10 + QUIET_BLOCKS)).is_done(10)


def test_a_transaction_in_flight_is_waited_for():
    """However many blocks it takes."""
    waiting = [block(10), attempt(10), *map(block, range(11, 30))]

    assert not heard(*waiting).is_done(10)
    assert not heard(*waiting, included(29)).is_done(10)
    assert heard(*waiting, included(29), block(30), block(31)).is_done(10)


def test_a_bump_keeps_its_nonce_in_flight_only_once():
    """Attempts of a nonce exclude each other; one inclusion ends them all."""
    watch = heard(attempt(10), attempt(12), included(13), block(15))

    assert watch.is_done(10)
    assert watch.liquidations == 1


def test_repeated_reasons_do_not_keep_the_demo_waiting():
    """Dust that is told again and again is not work."""
    assert heard(block(10), skip(12), block(12)).is_done(10)


def test_the_last_word_on_an_account_counts():
    """It was liquidated first and is dust now."""
    assert heard(skip(10, "in_flight"), skip(11)).decisions[SPOT]["reason"] == "dust"


def test_blocks_count_from_the_first_unhealthy_one_of_the_stretch():
    """An earlier breach that healed is another story."""
    timeline = Timeline()
    for number, health in enumerate([ONE - 1, ONE, ONE - 1, ONE - 1, 2 * ONE], start=10):
        timeline.add(number, {SPOT: health})

    assert timeline.breach(SPOT, 14) == 12
    assert timeline.breach(SPOT, 11) == 10
    assert timeline.breach(SPOT, 12) is None
    assert timeline.unhealthy(12) == {SPOT}


def test_prices_only_fall_and_each_step_moves_something():
    """The demo promises falling prices; a step that moves nothing shows nothing."""
    last = {symbol: 10_000 for step in STEPS for symbol in step.bps}
    for step in STEPS:
        assert step.bps
        assert all(share < last[symbol] for symbol, share in step.bps.items())
        last.update(step.bps)


def test_traffic_steers_the_base_fee_back():
    """Half of a block keeps it, a quarter more or less leads it back."""
    assert wanted(BASE_FEE) == 2
    assert wanted(BASE_FEE * 9 // 10) == 3
    assert wanted(BASE_FEE * 11 // 10) == 1


def test_a_reason_is_told_in_words_and_ether():
    """Nobody reads fifteen digits of wei."""
    assert reason_words("dust", "") == "its bonus is not worth the gas"
    assert in_ether("gas of 5233000000000000 wei, 3 times") == "gas of 0.005233 ETH, 3 times"
    assert reason_words("brand_new", "x") == "brand new (x)"
