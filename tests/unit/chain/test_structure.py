"""What a document will cost is known before it is decoded, however it is cut and quoted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.bounds import ANY, Bound
from keeper.chain.decoding import decoded_json
from keeper.chain.structure import MAX_DEPTH, SPARE_ARRAYS, Structure
from keeper.domain.errors import RpcMalformed

MIB = 2**20
WIDE = Bound(64 * MIB, values=10**9)
TIGHT = Bound(64 * MIB, values=0, is_single=True)

texts = st.text(st.sampled_from('[]{},"\\:x\n\té'), max_size=12)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | texts,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(texts, inner, min_size=1, max_size=5)
    ),
    max_leaves=30,
).filter(lambda document: isinstance(document, list | dict))


def separators(document):
    """Return how many commas and opening brackets a document is written with."""
    if not isinstance(document, list | dict):
        return 0
    inner = document.values() if isinstance(document, dict) else document
    return 1 + max(0, len(document) - 1) + sum(map(separators, inner))


def depth(document):
    """Return how deeply a document is nested."""
    if not isinstance(document, list | dict):
        return 0
    inner = document.values() if isinstance(document, dict) else document
    return 1 + max(map(depth, inner), default=0)


@pytest.mark.slow
@given(documents, st.lists(st.integers(1, 9), min_size=1), st.booleans())
def test_what_is_counted_is_what_stands_outside_of_texts(document, cuts, ascii_only):
    """Brackets, commas and quotes in texts are none, wherever the bytes are cut."""
    raw = json.dumps(document, ensure_ascii=ascii_only).encode()
    structure, start = Structure(WIDE, is_exact=True), 0
    for cut in cuts * (len(raw) + 1):
        structure.feed(raw[start : start + cut])
        start += cut
        if start >= len(raw):
            break
        assert not structure.is_complete

    assert structure.values == separators(document)
    assert structure.is_complete


@pytest.mark.slow
@given(documents)
def test_a_quick_count_is_never_too_small(document):
    """What the quick count lets pass is within the bound."""
    raw = json.dumps(document).encode()
    structure = Structure(WIDE)
    structure.feed(raw)

    assert structure.values >= separators(document)
    assert decoded_json(raw, WIDE) == document


@pytest.mark.slow
@given(documents)
def test_a_bound_is_on_values_and_not_on_what_texts_look_like(document):
    """One value more than allowed is refused, as many as allowed are not."""
    raw, count = json.dumps(document).encode(), separators(document)

    Structure(Bound(MIB, values=count, is_single=True)).feed(raw)
    with pytest.raises(RpcMalformed) as caught:
        Structure(Bound(MIB, values=count - 1, is_single=True)).feed(raw)
    assert caught.value.excessive


def feed(structure, parts):
    for part in parts:
        structure.feed(part)


DENSE = {
    "lists": b"[" + b"[]," * (2 * MIB) + b"1]",
    "objects": b"[" + b"{}," * (2 * MIB) + b"1]",
    "numbers": b"[" + b"1," * (4 * MIB) + b"1]",
    "texts": b"[" + b'"",' * (2 * MIB) + b"1]",
    "lists apart": b"[" + (b"[]," + b" " * 62) * (MIB // 8) + b"1]",
    "lists after a long text": b'["' + b"0" * (4 * MIB) + b'",' + b"[]," * MIB + b"1]",
    "in an answer": b'{"jsonrpc":"2.0","id":1,"result":[' + b"[]," * (2 * MIB) + b"1]}",
    "of errors": b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":[' + b"[]," * MIB + b"1]}}",
    "deep": b"[" * MIB,
    "deep objects": b'{"a":' * MIB,
    "in and out": b"[[[[],[]]]," * MIB,
}


@pytest.mark.parametrize("what", DENSE)
@pytest.mark.parametrize("step", [4096, 64 * MIB])
def test_f12_more_values_than_any_answer_has_are_refused_before_they_are_decoded(what, step):
    """Three bytes become sixty in memory: it is the number of values that costs."""
    raw = DENSE[what]

    with pytest.raises(RpcMalformed) as caught:
        feed(Structure(ANY), (raw[start : start + step] for start in range(0, len(raw), step)))
    assert caught.value.excessive


def test_f12_most_of_a_bomb_is_never_looked_at():
    """The first quarter of a megabyte says enough: it need not even be decompressed."""
    inflated = []

    def inflating():
        while True:
            inflated.append((b"" if inflated else b"[") + b"[]," * 2**14)
            yield inflated[-1]

    with pytest.raises(RpcMalformed):
        feed(Structure(ANY), inflating())

    assert sum(map(len, inflated)) <= 2**18


def a_log(number, topics):
    return {
        "address": "0x" + "11" * 20,
        "topics": ["0x" + "ab" * 32] * topics,
        "data": "0x",
        "blockNumber": hex(number),
        "transactionHash": "0x" + "cd" * 32,
        "transactionIndex": "0x0",
        "blockHash": "0x" + "ef" * 32,
        "logIndex": hex(number),
        "removed": False,
    }


@pytest.mark.slow
@pytest.mark.parametrize("topics", [0, 1, 4])
def test_the_shortest_logs_that_there_are_pass(topics):
    """A good node's answer is never taken for a bomb: logs without data, ten thousand of them."""
    logs = [a_log(number, topics) for number in range(10_000)]
    answer = {"jsonrpc": "2.0", "id": 1, "result": logs}
    raw = json.dumps(answer, separators=(",", ":")).encode()

    assert decoded_json(raw) == answer


@pytest.mark.slow
def test_a_block_of_the_shortest_receipts_passes():
    """Many transactions without logs, as in a block full of transfers."""
    receipt = {
        "transactionHash": "0x" + "cd" * 32,
        "transactionIndex": "0x0",
        "blockHash": "0x" + "ef" * 32,
        "blockNumber": "0x1",
        "from": "0x" + "11" * 20,
        "to": "0x" + "11" * 20,
        "cumulativeGasUsed": "0x5208",
        "gasUsed": "0x5208",
        "contractAddress": None,
        "logs": [],
        "logsBloom": "0x" + "00" * 256,
        "status": "0x1",
        "type": "0x2",
        "effectiveGasPrice": "0x1",
    }
    answer = {"jsonrpc": "2.0", "id": 1, "result": [receipt] * 10_000}

    assert decoded_json(json.dumps(answer, separators=(",", ":"))) == answer


def test_a_hostile_contracts_words_are_no_structure():
    """A reason of brackets, quotes and backslashes comes from a good node, too."""
    words = '[{,"\\' * 100_000
    answer = {"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": words}}

    assert decoded_json(json.dumps(answer), Bound(MIB, is_single=True)) == answer


def test_a_page_of_a_gateway_is_not_taken_for_a_bomb():
    """Scripts and styles are full of brackets; the page is no JSON, and that is all."""
    page = "<html><script>" + "a[b,{c:[d,e]}]," * 4096 + "</script>"

    with pytest.raises(RpcMalformed) as caught:
        decoded_json(page)
    assert not caught.value.excessive


def test_the_bounds_leave_room_for_what_is_asked():
    """An answer is nested by a handful, and arrays are in objects."""
    assert MAX_DEPTH == 64
    assert SPARE_ARRAYS == 1024
    Structure(TIGHT).feed(b"")
