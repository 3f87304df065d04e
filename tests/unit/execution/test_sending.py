import pytest

from keeper.domain.errors import RpcMalformed, RpcRefused, RpcUnavailable
from keeper.domain.submission import AttemptState
from keeper.execution.sending import Answer, classified, state_after


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("already known", Answer.KNOWN),
        ("transaction already imported", Answer.KNOWN),
        ("AlreadyKnown", Answer.KNOWN),
        ("unknown transaction", Answer.UNKNOWN),
        ("nonce too low: next nonce 5, tx nonce 4", Answer.NONCE_USED),
        ("replacement transaction underpriced", Answer.UNDERPRICED),
        ("Insufficient funds for gas * price + value", Answer.UNFUNDED),
        ("max fee per gas less than block base fee", Answer.REFUSED),
        ("transaction gas limit too high (cap: 16777216, tx: 16777217)", Answer.REFUSED),
        ("something new", Answer.UNKNOWN),
        ("", Answer.UNKNOWN),
    ],
)
def test_a_nodes_words_prove_what_the_table_says_and_nothing_else(text, answer):
    """An unknown text never frees a nonce."""
    assert classified(RpcRefused("refused", number=-32000, text=text)) is answer


@pytest.mark.parametrize("error", [RpcUnavailable("TimeoutError"), RpcMalformed("not JSON")])
def test_no_answer_and_a_broken_answer_prove_nothing(error):
    """The bytes may have arrived all the same."""
    assert state_after(classified(error)) is AttemptState.UNKNOWN
