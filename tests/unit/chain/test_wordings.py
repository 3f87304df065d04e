"""What nodes and providers really answer, word for word, and what the keeper makes of it."""

import tomllib
from pathlib import Path

import pytest

from keeper.chain.refusal import (
    failed_in_evm,
    is_pruned,
    is_too_much,
    refusal,
    refusal_kind,
)
from keeper.chain.refusal_kinds import RefusalKind, classify_refusal
from keeper.domain.errors import BlockUnknown, NotCanonical, RpcBusy, RpcRefused, StateUnknown
from keeper.execution.sending import Answer, classified

ROOT = Path(__file__).parents[3]
DOCUMENT = tomllib.loads((ROOT / "tests" / "data" / "wordings.toml").read_text())
NODES = (
    "geth",
    "reth",
    "nethermind",
    "erigon",
    "besu",
    "op-geth",
    "nitro",
    "alchemy",
    "infura",
    "quicknode",
    "drpc",
    "ankr",
)
READ_CODES = (
    "block_unknown",
    "not_canonical",
    "pruned",
    "method_missing",
    "rate_limited",
    "too_large",
    "batch_limit",
    "call_gas_cap",
    "reverted",
    "busy",
)
SEND_CODES = {
    "send_known": Answer.KNOWN,
    "send_nonce_low": Answer.NONCE_USED,
    "send_underpriced": Answer.UNDERPRICED,
    "send_unfunded": Answer.UNFUNDED,
    "send_gas_limit": Answer.REFUSED,
    "send_fee_cap": Answer.REFUSED,
}
ROWS = [row | {"node": node} for node, rows in DOCUMENT["wordings"].items() for row in rows]
SERVER_ERROR = -32000
"""The code of a message that was reported without its code."""


def _named(row):
    return f"{row['node']}: {row['says'][:60]}"


def _error(row, method):
    return refusal(method, {"code": row.get("number", SERVER_ERROR), "message": row["says"]})


READS = [row for row in ROWS if row["code"] in READ_CODES]
SENDS = [row for row in ROWS if row["code"] in SEND_CODES]


@pytest.mark.parametrize("row", READS, ids=_named)
def test_a_refused_read_is_of_the_class_that_its_words_say(row):
    """The class decides what the keeper does instead, so each wording has its own line."""
    kind = RefusalKind(row.get("kind", row["code"]))

    assert classify_refusal(row.get("number", SERVER_ERROR), row["says"]) is kind


@pytest.mark.parametrize("row", READS, ids=_named)
def test_a_refused_read_becomes_the_error_of_its_class(row):
    """Through the door that every answer comes in by, addresses taken out of the words."""
    kind = RefusalKind(row.get("kind", row["code"]))
    error = _error(row, "eth_call")

    if kind is RefusalKind.BLOCK_UNKNOWN:
        assert type(error) is BlockUnknown
    elif kind is RefusalKind.NOT_CANONICAL:
        assert isinstance(error, NotCanonical)
    elif kind is RefusalKind.PRUNED:
        assert isinstance(error, StateUnknown)
        assert is_pruned(_error(row, "eth_getLogs"))
    elif kind in (RefusalKind.RATE_LIMITED, RefusalKind.BUSY):
        assert isinstance(error, RpcBusy)
    else:
        assert isinstance(error, RpcRefused)
        assert refusal_kind(error) is kind
        assert failed_in_evm(error) is (kind is RefusalKind.REVERTED)
        assert not is_pruned(error)
        smaller = {
            RefusalKind.TOO_LARGE,
            RefusalKind.BATCH_LIMIT,
            RefusalKind.CALL_GAS_CAP,
            RefusalKind.TIMEOUT,
        }
        assert is_too_much(error) is (kind in smaller)


@pytest.mark.parametrize("row", SENDS, ids=_named)
def test_a_refused_send_proves_what_its_words_say(row):
    """A wording that is not known is ambiguous, and its nonce stays bound until the deadline."""
    assert classified(_error(row, "eth_sendRawTransaction")) is SEND_CODES[row["code"]]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=_named)
def test_each_wording_names_its_source(row):
    """A file of a repository that the table names, or the address of a thread or a page."""
    source = row["source"]
    repository, colon, path = source.partition(":")

    assert source.startswith(("https://", "github.com/")) or (
        colon and path and repository in DOCUMENT["repositories"]
    )
    assert row["node"] in NODES
    assert row["code"] in (*READ_CODES, *SEND_CODES)


def _counts():
    """Return the table of the documentation: how many wordings each cell has, and the empty."""
    codes = (*READ_CODES, *SEND_CODES)
    found = {(row["node"], row["code"]) for row in ROWS}
    lines = [f"| | {' | '.join(NODES)} |", "|---" * (len(NODES) + 1) + "|"]
    for code in codes:
        counts = [
            sum(row["node"] == node and row["code"] == code for row in ROWS) for node in NODES
        ]
        lines.append(f"| `{code}` | {' | '.join(str(count or '-') for count in counts)} |")
    cells = len(NODES) * len(codes)
    empty = f"{cells - len(found)} cells are empty, since no wording was found for them."
    lines += ["", f"{len(ROWS)} wordings in {len(found)} of {cells} cells; {empty}"]
    return "\n".join(lines)


def test_the_documentation_counts_the_wordings_and_the_empty_cells():
    """A cell that nobody found a wording for is seen to be empty, not filled by guesses."""
    assert _counts() in (ROOT / "docs" / "endpoints.md").read_text()


@pytest.mark.parametrize("number", [-32000, -32005, -32601, -32602, -32603, 3, 429, 4444])
def test_a_contract_cannot_pass_for_its_node(number):
    """What follows the beginning of a revert is the contract's own text, whatever it says."""
    words = "execution reverted: header not found, rate limit, pruned, method not found"

    assert classify_refusal(number, words) is RefusalKind.REVERTED


def test_a_limit_without_words_is_of_size_for_logs_and_of_frequency_elsewhere():
    """-32005 "limit exceeded" is all that public nodes of BNB Chain say of too wide a range."""
    error = {"code": -32005, "message": "limit exceeded"}

    assert isinstance(refusal("eth_call", error), RpcBusy)
    assert isinstance(refusal("eth_getLogs", error), RpcRefused)


def test_a_local_chains_block_that_is_not_there_yet_is_waited_for():
    """Anvil (foundry-rs/foundry, crates/anvil/src/eth/error.rs) has a word of its own for it."""
    said = "BlockOutOfRangeError: block height is 212 but requested was 213"
    error = refusal("eth_call", {"code": -32602, "message": said})

    assert isinstance(error, BlockUnknown)
