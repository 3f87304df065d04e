"""How long a window is asked for: learnt from refusals in many words, and unlearnt."""

import pytest

from keeper.chain.logs import may_hold
from keeper.chain.windows import Pace, Windows, named_limit
from keeper.domain.reads import LogFilter

NAMED = {
    "query returned more than 10000 results. Try with this block range [0x10, 0x8f].": 128,
    "exceed maximum block range: 5000": 5_000,
    "eth_getLogs is limited to a 10,000 range": 10_000,
    "You can make eth_getLogs requests with up to a 2K block range": 2_000,
    "eth_getLogs and eth_newFilter are limited to a 0 - 50 blocks range": 50,
    "block range is too wide": None,
    "query timeout exceeded": None,
    "Try with this block range [0x0, 0xffffff].": None,
    "the request 0x10 was refused": None,
}


@pytest.mark.parametrize(("text", "limit"), NAMED.items())
def test_the_limit_that_a_refusal_names_is_used(text, limit):
    """And nothing that is no shorter than what was asked."""
    assert named_limit(text, 50_000) == limit


def test_windows_grow_while_they_are_answered():
    """A quiet market on a generous node: few questions."""
    pace = Pace(Windows(first=10, most=1_000))
    for _ in range(20):
        pace.answered(pace.length)

    assert pace.length == 1_000


def test_a_refused_length_is_tried_again_ever_more_seldom():
    """A provider's limit costs less and less the longer the scan."""
    pace, refusals = Pace(Windows(first=1_000, most=100_000)), 0
    for _ in range(1_000):
        if pace.length > 300:
            refusals += 1
            pace.refused(pace.length)
        else:
            pace.answered(pace.length)

    assert refusals <= 24
    assert 150 <= pace.length <= 600


def test_a_single_block_is_the_least():
    """There is nothing smaller to ask for."""
    pace = Pace(Windows(first=2))

    assert [pace.refused(2), pace.refused(1), pace.length] == [1, 1, 1]


def test_a_full_bloom_may_hold_anything_and_an_empty_one_nothing():
    """Chains that leave the bloom empty are not held to it; nonsense neither."""
    wanted = LogFilter(addresses=("0x" + "31" * 20,), topics=((b"\7" * 32,),))

    assert may_hold("0x" + "ff" * 256, wanted)
    assert not may_hold("0x" + "00" * 256, wanted)
    assert not may_hold("nonsense", wanted)
