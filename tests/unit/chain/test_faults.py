"""A method that no endpoint answers is said with its cure, two blocks after it began."""

import pytest

from keeper.chain.faults import (
    CURES,
    OPTIONAL,
    AnswerClass,
    Asked,
    Fault,
    Faults,
    classify_answer,
    describe,
    is_answer,
    name_method,
)
from keeper.domain.errors import (
    BlockUnknown,
    RpcBusy,
    RpcMalformed,
    RpcRefused,
    RpcTooLarge,
    RpcUnavailable,
    SnapshotReorged,
    StateUnknown,
)

MISSING = RpcRefused("x", number=-32601, text="the method eth_call does not exist")


def asked(method):
    return Asked.of(method, ["latest", "latest"])


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def faults(clock):
    return Faults(2.0, clock)


def test_a_fault_is_said_when_it_has_lasted_for_two_blocks(faults, clock):
    """Not before: a single failure is repeated, and most pass."""
    faults.note(0, asked("eth_call"), MISSING)
    clock.now += 3.9
    before = faults.unanswered()
    faults.note(0, asked("eth_call"), MISSING)
    clock.now += 0.1

    assert before == []
    assert describe(faults.unanswered()) == (
        "endpoint 0: eth_call answered that it does not have the method: "
        "use a node, or a plan, that has the method"
    )


def test_an_answer_of_any_endpoint_ends_it(faults, clock):
    """The keeper acts by the other one; what one alone fails in is known all the same."""
    faults.note(0, asked("eth_call"), MISSING)
    faults.note(1, asked("eth_call"), None)
    clock.now += 10
    faults.note(0, asked("eth_call"), MISSING)

    assert faults.unanswered() == []
    assert [fault.method for fault in faults.at(0)] == ["eth_call"]
    faults.note(0, asked("eth_call"), None)
    assert faults.at(0) == []


def test_a_fault_that_is_not_met_any_more_is_over(faults, clock):
    """Nobody asks for a receipt when nothing is in flight; it must not stay not ready."""
    faults.note(0, asked("eth_getTransactionReceipt"), RpcUnavailable("gone"))
    clock.now += 20
    lasting = faults.unanswered()
    clock.now += 11

    assert [fault.method for fault in lasting] == ["eth_getTransactionReceipt"]
    assert faults.unanswered() == []


def test_a_lasting_fault_and_its_end_are_logged_once(faults, clock, caplog):
    """By the place of the endpoint, never its address."""
    caplog.set_level("INFO", logger="keeper.chain.faults")
    for _ in range(4):
        faults.note(1, asked("eth_getLogs"), MISSING)
        clock.now += 2
    faults.note(1, asked("eth_getLogs"), None)
    faults.note(1, asked("eth_getLogs"), None)

    lines = [record.getMessage().split()[0] for record in caplog.records]
    assert lines == ["endpoint_fails", "endpoint_answers"]
    assert "endpoint=1 method=eth_getLogs" in caplog.records[0].getMessage()


@pytest.mark.parametrize("method", sorted(OPTIONAL))
def test_what_has_a_second_way_is_no_fault(faults, clock, method):
    """The lack is logged with what is done instead."""
    faults.note(0, asked(method), MISSING)
    clock.now += 10

    assert faults.unanswered() == []


@pytest.mark.parametrize(
    ("method", "error", "answer"),
    [
        ("eth_call", RpcRefused("x", number=3, text="execution reverted"), True),
        ("eth_call", RpcRefused("x", number=-32000, text="out of gas"), True),
        ("eth_call", MISSING, False),
        ("eth_call", RpcRefused("x", number=-32602, text="invalid argument 1"), False),
        ("eth_sendRawTransaction", RpcRefused("x", number=-32000, text="nonce too low"), True),
        ("eth_sendRawTransaction", RpcRefused("x", number=-32000, text="already known"), True),
        ("eth_sendRawTransaction", RpcRefused("x", number=-32602, text="rlp: too short"), True),
        ("eth_sendRawTransaction", MISSING, False),
        ("eth_sendRawTransaction", RpcRefused("x", number=-32603, text="Internal error"), False),
        ("eth_sendRawTransaction", RpcUnavailable("gone"), False),
    ],
)
def test_what_is_about_the_question_is_an_answer(method, error, answer):
    """A revert and a used nonce say that the node works."""
    assert is_answer(method, error) is answer


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (RpcBusy("x"), AnswerClass.RATE_LIMITED),
        (RpcUnavailable("x"), AnswerClass.SILENT),
        (RpcTooLarge("x"), AnswerClass.OVERSIZED),
        (RpcMalformed("x"), AnswerClass.MALFORMED),
        (BlockUnknown("x"), AnswerClass.UNKNOWN_BLOCK),
        (StateUnknown("x"), AnswerClass.PRUNED),
        (SnapshotReorged("x"), AnswerClass.NOT_CANONICAL),
        (MISSING, AnswerClass.METHOD_MISSING),
        (RpcRefused("x", number=-32603, text="Internal error"), AnswerClass.INTERNAL),
        (RpcRefused("x", number=1, text="no"), AnswerClass.REFUSED),
    ],
)
def test_each_kind_of_answer_has_a_class_and_a_cure(error, answered):
    """In words that an operator can act upon."""
    fault = Fault(endpoint=0, method="eth_call", answered=classify_answer(error))

    assert fault.answered is answered
    assert fault.cure == CURES[answered]
    assert set(CURES) == set(AnswerClass)


def test_a_malformed_content_lasts_though_its_form_is_good(clock):
    """Each answer is valid JSON-RPC, and each lacks a field: only reading it shows that."""
    faults = Faults(2.0, clock)
    for _ in range(4):
        faults.note(0, asked("eth_getBlockByHash"), None)
        clock.now += 0.001
        faults.note_content(0, asked("eth_getBlockByHash"), RpcMalformed("no gas limit"))
        clock.now += 2.0

    (fault,) = faults.unanswered()

    assert fault.answered is AnswerClass.MALFORMED

    faults.note(0, asked("eth_getBlockByHash"), None)
    faults.accept(0, asked("eth_getBlockByHash"))

    assert faults.unanswered() == []


def test_a_malformed_form_is_over_with_the_next_answer(clock):
    """It was noted when it came, and is not noted again when it is passed on."""
    faults, broken = Faults(2.0, clock), RpcMalformed("not JSON")
    faults.note(0, asked("eth_call"), broken)
    faults.note_content(0, asked("eth_call"), broken)
    faults.note(0, asked("eth_call"), None)

    assert faults.at(0) == []


def test_the_method_is_named_once():
    """``/readyz``, the log and the command's end say where the answer came from."""
    error = RpcMalformed("the balance is not a quantity")
    for _ in range(2):
        name_method(error, "eth_getBalance")

    assert str(error) == "eth_getBalance: the balance is not a quantity"


def test_a_block_that_was_missing_once_is_no_lasting_fault(clock):
    """It was on another branch; nobody need ask for a block by its hash again for a while."""
    faults = Faults(2.0, clock)
    faults.note_content(0, asked("eth_getBlockByHash"), BlockUnknown("null"))
    clock.now += 20.0

    assert faults.unanswered() == []

    faults.note_content(0, asked("eth_getBlockByHash"), BlockUnknown("null"))

    assert [fault.answered for fault in faults.unanswered()] == [AnswerClass.UNKNOWN_BLOCK]


@pytest.mark.parametrize(
    ("method", "params", "form"),
    [
        ("eth_getBlockByNumber", ["0x1", False], "eth_getBlockByNumber by number"),
        ("eth_getBlockByNumber", ["latest", False], "eth_getBlockByNumber"),
        ("eth_getBlockByNumber", ["finalized", False], ""),
        ("eth_getTransactionCount", ["0xab", "latest"], "eth_getTransactionCount"),
        ("eth_getTransactionCount", ["0xab", "pending"], ""),
        ("eth_getLogs", [{"blockHash": "0x1"}], ""),
        ("eth_getLogs", [{"fromBlock": "0x1"}], "eth_getLogs"),
        ("eth_call", [{"to": "0xab"}, "0x1"], "eth_call"),
        ("eth_call", [{"data": "0x"}, "0x1"], ""),
        ("eth_call", [{"to": "0xab"}, "0x1", {}], ""),
        ("eth_getBalance", ["0xab", "0x1"], "eth_getBalance"),
        ("eth_simulateV1", [{}, "0x1"], ""),
    ],
)
def test_forms_that_are_refused_apart_are_faults_apart(method, params, form):
    """``latest`` is answered where numbers are not; a form with a second way is no fault."""
    assert Asked.of(method, params).form == form
