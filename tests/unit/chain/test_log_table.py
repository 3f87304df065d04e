"""Logs read in bulk are the logs read one by one, and nothing malformed gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.abi import checksum
from keeper.chain.fields import LogReader
from keeper.chain.log_table import (
    addresses_of,
    log_table,
    pairs_of,
    refuse_unwanted,
    rows_with,
    words_at,
)
from keeper.domain.errors import RpcMalformed
from keeper.domain.reads import LogFilter

TOPIC = b"\x11" * 32
HASH = "0x" + "ab" * 32

words = st.sampled_from([TOPIC, b"\x22" * 32, bytes(12) + b"\x33" * 20])


@st.composite
def raw_logs(draw):
    return {
        "address": "0x" + draw(st.sampled_from(["Aa" * 20, "01" * 20])),
        "topics": ["0x" + each.hex() for each in draw(st.lists(words, max_size=4))],
        "data": "0x" + draw(st.binary(max_size=70)).hex(),
        "blockNumber": hex(draw(st.integers(0, 2**64 - 1))),
        "blockHash": HASH,
        "transactionHash": HASH,
        "logIndex": hex(draw(st.integers(0, 300))),
    }


def one(**changes):
    return {
        "address": "0x" + "01" * 20,
        "topics": ["0x" + TOPIC.hex()],
        "data": "0x",
        "blockNumber": "0x7",
        "blockHash": HASH,
        "transactionHash": HASH,
        "logIndex": "0x0",
        **changes,
    }


@pytest.mark.slow
@given(st.lists(raw_logs(), max_size=8))
def test_a_table_says_what_the_logs_say_one_by_one(raws):
    """Field by field, rows in the node's order."""
    table, logs = log_table(raws), LogReader().logs_of(raws)

    assert table.rows == len(logs)
    start = 0
    for row, log in enumerate(logs):
        count = table.topic_counts[row]
        topics = tuple(column[32 * row : 32 * row + 32] for column in table.topics)
        assert topics[:count] == log.topics
        assert not any(map(any, topics[count:]))
        assert checksum(table.addresses[20 * row : 20 * row + 20]) == log.address
        assert table.data[start : table.data_ends[row]] == log.data
        assert (table.blocks[row], table.indices[row]) == (log.block_number, log.index)
        start = table.data_ends[row]


@pytest.mark.slow
@given(st.lists(raw_logs(), max_size=8), st.integers(1, 4))
def test_rows_and_words_are_those_of_the_logs(raws, least):
    """Whoever is named at a place, once each."""
    table, logs = log_table(raws), LogReader().logs_of(raws)
    rows = rows_with(table, TOPIC, least)
    chosen = [each for each in logs if len(each.topics) >= least and each.topics[0] == TOPIC]

    assert len(rows) == len(chosen)
    at = least - 1
    assert addresses_of(words_at(table, at, rows)) == {
        checksum(each.topics[at][-20:]) for each in chosen
    }
    assert pairs_of(words_at(table, 0, rows), words_at(table, at, rows)) == {
        ("0x" + TOPIC.hex(), checksum(each.topics[at][-20:])) for each in chosen
    }


@pytest.mark.slow
@given(
    st.lists(raw_logs(), max_size=4),
    st.sampled_from([(), (checksum("0x" + "01" * 20),)]),
    st.sampled_from([(), ((TOPIC,),), ((), (TOPIC,)), ((TOPIC, b"\x22" * 32), (), (TOPIC,))]),
)
def test_a_table_is_refused_where_one_log_would_be(raws, addresses, topics):
    """The filter is the same for a table as for a log."""
    wanted = LogFilter(addresses=addresses, topics=topics)
    if all(map(wanted.accepts, LogReader().logs_of(raws))):
        refuse_unwanted(log_table(raws), wanted)
    else:
        with pytest.raises(RpcMalformed, match="not asked for"):
            refuse_unwanted(log_table(raws), wanted)


MALFORMED = {
    "not an array": {},
    "not an object": [7],
    "null": [None],
    "a field is missing": [{key: value for key, value in one().items() if key != "data"}],
    "topics are text": [one(topics="0x")],
    "five topics": [one(topics=["0x" + "11" * 32] * 5)],
    "a short topic": [one(topics=["0x11"])],
    "two topics whose lengths make up for each other": [
        one(topics=["0x" + "11" * 31]),
        one(topics=["0x" + "11" * 33]),
    ],
    "a topic with a space": [one(topics=["0x" + "11" * 31 + "1 "])],
    "a topic that is a number": [one(topics=[7])],
    "an address without prefix": [one(address="01" * 21)],
    "an address of other letters": [one(address="0x" + "0g" * 20)],
    "an address beyond ASCII": [one(address="0x" + "é" * 40)],
    "data of half a byte": [one(data="0x1")],
    "data without prefix": [one(data="11")],
    "data that is nothing": [one(data="")],
    "data that is null": [one(data=None)],
    "data of other letters": [one(data="0xzz")],
    "a block that is a number": [one(blockNumber=7)],
    "a block with a leading zero": [one(blockNumber="0x07")],
    "a block that is none": [one(blockNumber=None)],
    "a block out of range": [one(blockNumber="0x1" + "0" * 16)],
    "two blocks in one": [one(blockNumber="0x1,0x2")],
    "a negative index": [one(logIndex="-0x1")],
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_refused(answer):
    """One wrong field of one log refuses the whole answer."""
    with pytest.raises(RpcMalformed):
        log_table(answer)
