"""No answer of a node is believed before its shape, type and range were checked."""

import json

import pytest

from keeper.chain import fields
from keeper.chain.endpoint import endpoint, sanitised
from keeper.chain.envelope import checked_answer, checked_batch
from keeper.chain.fields import LogReader, head_of
from keeper.chain.ipc import Documents
from keeper.chain.log_table import log_table
from keeper.chain.refusal import refusal
from keeper.chain.transport import decoded_json
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    ConfigError,
    RpcMalformed,
    RpcRefused,
    RpcUnavailable,
)

HASH = "0x" + "ab" * 32
BLOCK = {
    "number": "0x10",
    "hash": HASH,
    "parentHash": "0x" + "cd" * 32,
    "timestamp": "0x65",
    "baseFeePerGas": "0x7",
    "gasLimit": "0x1c9c380",
    "gasUsed": "0x0",
}
LOG = {
    "address": "0x" + "11" * 20,
    "topics": [HASH],
    "data": "0x01",
    "blockNumber": "0x10",
    "blockHash": HASH,
    "transactionHash": HASH,
    "logIndex": "0x0",
    "removed": False,
}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "0x1",
        {"id": 1, "result": "0x1"},
        {"jsonrpc": "1.0", "id": 1, "result": "0x1"},
        {"jsonrpc": "2.0", "id": 2, "result": "0x1"},
        {"jsonrpc": "2.0", "id": "1", "result": "0x1"},
        {"jsonrpc": "2.0", "id": True, "result": "0x1"},
        {"jsonrpc": "2.0", "result": "0x1"},
        {"jsonrpc": "2.0", "id": None, "result": "0x1"},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "result": 1, "error": {"code": 1, "message": "x"}},
    ],
)
def test_what_is_no_answer_to_the_request_is_refused(answer):
    """Id, version, and exactly one of result and error."""
    with pytest.raises(RpcMalformed):
        checked_answer(answer, 1, "eth_blockNumber")


@pytest.mark.parametrize("error", ["no", 5, {}, {"code": "1", "message": "x"}, {"code": True}])
def test_an_error_without_code_or_message_is_malformed(error):
    """An error object that says nothing is not trusted to mean a refusal."""
    answer = checked_answer({"jsonrpc": "2.0", "id": 1, "error": error}, 1, "eth_call")

    assert isinstance(answer, RpcMalformed)


def test_a_null_result_is_a_result():
    """Nodes answer null for a receipt that does not exist, some with a null error beside it."""
    answer = {"jsonrpc": "2.0", "id": 1, "result": None, "error": None}

    assert checked_answer(answer, 1, "eth_getTransactionReceipt") is None


def _answers(*ids):
    return [{"jsonrpc": "2.0", "id": number, "result": hex(number)} for number in ids]


def test_a_batch_is_answered_in_any_order():
    """JSON-RPC lets the node choose the order; the ids say what belongs where."""
    assert checked_batch(_answers(3, 1, 2), [1, 2, 3], ["a", "b", "c"]) == ["0x1", "0x2", "0x3"]


@pytest.mark.parametrize(
    "answer",
    [_answers(1, 2), _answers(1, 1, 2), _answers(1, 2, 4), _answers(1, 2, 3, 3), None, [1, 2, 3]],
)
def test_a_batch_with_missing_or_doubled_answers_is_malformed(answer):
    """Half a batch would leave a read without its answer, or with another's."""
    with pytest.raises(RpcMalformed):
        checked_batch(answer, [1, 2, 3], ["a", "b", "c"])


def test_a_batch_refused_as_a_whole_raises_the_refusal():
    """A limit on batches comes as one object instead of a list."""
    refused = {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32600, "message": "batch too large"},
    }

    with pytest.raises(RpcRefused) as caught:
        checked_batch(refused, [1, 2], ["a", "b"])
    assert caught.value.number == -32600


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        -1,
        True,
        "",
        "0x",
        "1",
        "0x01",
        "0x00",
        "-0x1",
        "0xg",
        "0x1 ",
        "0x" + "f" * 65,
        "0X1",
    ],
)
def test_a_quantity_is_hex_without_leading_zeros(value):
    """``None``, ``-1`` and 80-digit numbers have all been seen where a block number was due."""
    with pytest.raises(RpcMalformed):
        fields.quantity(value, "it")


def test_a_quantity_has_a_range():
    """2**256 - 1 is the most that the chain knows, 2**64 - 1 the most for a block number."""
    assert fields.quantity("0x" + "f" * 64, "it") == 2**256 - 1
    with pytest.raises(RpcMalformed):
        fields.quantity("0x1" + "0" * 16, "it", most=fields.UINT64_MAX)


@pytest.mark.parametrize("value", [None, 1, "", "0", "0x1", "0x0 ", "0x 0", "0xzz", "0x1\n1"])
def test_bytes_are_hex_of_even_length(value):
    """White space inside would otherwise slip through the parser."""
    with pytest.raises(RpcMalformed):
        fields.data(value, "it")


@pytest.mark.parametrize("missing", sorted(BLOCK.keys() - {"baseFeePerGas"}))
def test_a_block_needs_each_of_its_fields(missing):
    """A head that lacks a field is read again rather than guessed."""
    with pytest.raises(RpcMalformed):
        head_of({key: value for key, value in BLOCK.items() if key != missing})


def test_a_block_becomes_a_head():
    """The fields land where they belong."""
    head = head_of(BLOCK)

    assert (head.number, head.timestamp, head.base_fee, head.gas_limit) == (16, 101, 7, 30_000_000)
    assert (head.hash, head.parent_hash) == (HASH, "0x" + "cd" * 32)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "0x11"),
        ("address", None),
        ("topics", None),
        ("topics", [HASH] * 5),
        ("topics", ["0x1"]),
        ("data", "0x1"),
        ("blockNumber", None),
        ("blockHash", None),
        ("logIndex", -1),
        ("removed", "no"),
    ],
)
def test_a_log_with_a_broken_field_is_malformed(field, value):
    """A pending log (no block) is not a log of the chain either."""
    with pytest.raises(RpcMalformed):
        LogReader().log_of({**LOG, field: value})


def test_a_removed_log_keeps_its_mark():
    """Orphaned logs are noted just the same, so they must come through."""
    assert LogReader().log_of({**LOG, "removed": True}).removed


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'{"a":NaN}', b"[" * 5_000, b"1" * 5000])
def test_what_is_not_json_is_malformed(raw):
    """Deep nesting, huge numbers, bad text: none may escape as a foreign exception."""
    with pytest.raises(RpcMalformed):
        decoded_json(raw)


@pytest.mark.parametrize(
    "text",
    [
        "header not found",
        "hash 0xab is not currently canonical",
        "header for hash not found",
        "unknown block",
        "block not found: hash 0xab",
        "Resource not found",
    ],
)
def test_a_pinned_block_that_a_node_lacks_is_unknown_and_no_reorg_yet(text):
    """geth, erigon, reth and anvil each say it in their own words; it may still be on its way."""
    assert isinstance(refusal("eth_call", {"code": -32000, "message": text}), BlockUnknown)


def test_a_contract_that_reverts_with_such_words_lacks_no_block():
    """The text after "execution reverted" is the contract's, not the node's."""
    error = refusal("eth_call", {"code": 3, "message": "execution reverted: unknown block"})

    assert isinstance(error, RpcRefused)


def test_a_busy_node_is_unavailable():
    """So that reads are repeated after a pause."""
    error = refusal("eth_call", {"code": -32005, "message": "Too Many Requests"})

    assert isinstance(error, RpcUnavailable)


@pytest.mark.parametrize(
    "error",
    [
        {"code": 3, "message": "execution reverted", "data": "0xdeadbeef"},
        {"code": 3, "message": "execution reverted", "data": {"data": "0xdeadbeef"}},
        {"code": -32015, "message": "VM execution error", "data": "Reverted 0xdeadbeef"},
        {"code": -32000, "message": "execution reverted: 0xdeadbeef"},
    ],
)
def test_revert_data_is_found_where_each_node_puts_it(error):
    """Errors of the executor are decoded from it."""
    refused = refusal("eth_call", error)

    assert isinstance(refused, RpcRefused)
    assert refused.data == bytes.fromhex("deadbeef")


def test_a_nodes_text_is_stripped_of_addresses_and_control_characters():
    """A proxy that repeats its URL would put the key into every log."""
    shown = sanitised("fetch https://node.example/v2/SECRET failed\x1b[31m\nnext " + "x" * 1000)

    assert "SECRET" not in shown
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert len(shown) <= 301


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:SECRET@node.example:8545/v2/SECRET?key=SECRET", "https://node.example"),
        ("wss://node.example/SECRET", "wss://node.example"),
        ("/home/SECRET/geth.ipc", "ipc"),
        ("ipc:///home/SECRET/geth.ipc", "ipc"),
    ],
)
def test_an_endpoint_of_any_kind_shows_scheme_and_host_only(address, shown):
    """Keys are in paths, queries and user names."""
    place = endpoint(address)

    assert repr(place) == str(place) == f"{place}" == shown
    assert "SECRET" in place.address


@pytest.mark.parametrize(
    "address", ["", "SECRET", "ftp://SECRET", "http://", "http://[SECRET", "ws://a:SECRET"]
)
def test_a_wrong_endpoint_is_refused_without_repeating_it(address):
    """A mistyped address may still hold the key."""
    with pytest.raises(ConfigError) as caught:
        endpoint(address)
    assert "SECRET" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("ending", [b"\n", b""])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_ipc_documents_are_cut_with_and_without_line_feeds(ending, step):
    """Big answers arrive in pieces, and not every node ends them with a line feed."""
    documents, found = Documents(), []
    sent = [json.dumps({"id": n, "result": "0x" + "ab" * n}).encode() for n in (1, 50)]
    for document in sent:
        stream = document + ending
        for at in range(0, len(stream), step):
            documents.feed(stream[at : at + step])
        while (document := documents.taken()) is not None:
            found.append(document)

    assert found == sent


@pytest.mark.parametrize(
    ("changes", "base_fee"),
    [({"baseFeePerGas": None}, 0), ({"mixHash": None, "withdrawals": [], "unknown": {"a": 1}}, 7)],
)
def test_what_a_head_does_not_need_may_be_missing_or_anything(changes, base_fee):
    """Chains without a base fee say null; every fork adds a field, and some chains their own."""
    assert head_of({**BLOCK, **changes}).base_fee == base_fee


def test_a_gas_limit_without_end_is_as_good_as_the_greatest():
    """Some chains have no limit and say 2**256 - 1."""
    assert head_of({**BLOCK, "gasLimit": "0x" + "f" * 64}).gas_limit == fields.UINT64_MAX


@pytest.mark.parametrize("timestamp", [1_790_000_000_000, 1_790_000_000_000_000_000])
def test_a_chain_that_counts_milliseconds_is_refused_in_clear_words(timestamp):
    """Interest of a thousand years would make everybody liquidatable."""
    with pytest.raises(RpcMalformed, match="not in seconds") as caught:
        head_of({**BLOCK, "timestamp": hex(timestamp)})
    assert "cannot be used" in caught.value.hint


PENDING_LOG = {**LOG, "blockHash": None, "blockNumber": None, "logIndex": None}


def test_a_log_of_a_waiting_transaction_is_left_out():
    """Some nodes mix what waits into the newest blocks; it is no log of the chain yet."""
    logs = [LOG, PENDING_LOG, {**LOG, "logIndex": "0x1", "removed": None}]

    assert [log.index for log in LogReader().logs_of(logs)] == [0, 1]
    assert log_table(logs).indices == [0, 1]
    assert log_table([PENDING_LOG]).rows == 0


@pytest.mark.parametrize("method", ["eth_getTransactionReceipt", "eth_getTransactionByHash"])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32000, "transaction not found"),
        (-32000, "unknown transaction"),
        (-32000, "transaction indexing is in progress"),
        (-32001, "resource not found"),
        (-32603, "Transaction receipt not found"),
        (-32000, "tx not found"),
        (-32602, "could not find transaction"),
        (-39001, "Unknown transaction"),
        (-32000, "not found"),
    ],
)
def test_an_error_for_an_unknown_transaction_is_the_same_as_null(method, code, message):
    """A receipt is asked for before it is there, at every head: that is no failure of the node."""
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}

    assert checked_answer(error, 1, method) is None
    assert isinstance(checked_answer(error, 1, "eth_feeHistory"), ChainError)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32601, "method eth_getTransactionReceipt not found"),
        (-32601, "the method does not exist/is not available"),
        (-32005, "rate limit exceeded"),
        (-32603, "internal error"),
        (-32000, "history of this transaction has been pruned"),
    ],
)
def test_other_errors_do_not_say_that_a_transaction_is_unknown(code, message):
    """Whoever cannot answer has not said that there is nothing."""
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message}}

    assert isinstance(checked_answer(error, 1, "eth_getTransactionReceipt"), ChainError)
