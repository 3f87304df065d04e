"""What doctor says after a few blocks' work on an endpoint."""

from keeper.chain.faults import AnswerClass, Fault
from keeper.cli.doctor_probe import findings_of
from keeper.cli.findings import Level
from keeper.composition.probing import Probe

CALL = Fault(endpoint=0, method="eth_call", answered=AnswerClass.UNKNOWN_BLOCK)
LOGS = Fault(endpoint=0, method="eth_getLogs", answered=AnswerClass.RATE_LIMITED)


def probe(*failures, seen=3):
    return Probe(seen=seen, asked=3, seconds=25.2, failures=failures, slowest=0.0421)


def test_an_endpoint_that_answers_everything_is_acted_on():
    """One line, with how much was seen."""
    (found,) = findings_of("endpoint a", probe())

    assert found.level is Level.OK
    assert found.detail == "acts on this node (3 blocks, 42 ms for the slowest)"


def test_a_method_that_fails_at_each_block_is_a_failure_with_its_cure():
    """The one that failed most is named, with the class of the answer."""
    (found,) = findings_of("endpoint a", probe((LOGS, 1), (CALL, 3)))

    assert found.level is Level.FAIL
    assert found.detail == (
        "does not act on this node, because eth_call answered that it does not know the block"
        " (3 blocks)"
    )
    assert found.fix == CALL.cure


def test_a_method_that_fails_now_and_then_is_a_warning():
    """The keeper acts on most blocks, and the operator knows of the others."""
    acts, now_and_then = findings_of("endpoint a", probe((LOGS, 1)))

    assert acts.level is Level.OK
    assert (now_and_then.level, now_and_then.fix) == (Level.WARN, LOGS.cure)
    assert now_and_then.detail == "eth_getLogs answered that it is asked too often at 1 of 3 blocks"


def test_fewer_blocks_than_asked_for_are_said():
    """A slow chain is not waited for without end."""
    (found,) = findings_of("endpoint a", probe(seen=1))

    assert found.detail == "acts on this node (1 of 3 blocks in 25 s, 42 ms for the slowest)"


def test_without_a_single_block_nothing_is_acted_on():
    """No head is a fault, too."""
    no_head = Fault(endpoint=0, method="eth_getBlockByNumber", answered=AnswerClass.SILENT)
    (found,) = findings_of("endpoint a", probe((no_head, 1), seen=0))

    assert found.level is Level.FAIL
