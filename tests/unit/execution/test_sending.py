"""The table of nodes' words, with the words themselves: by client, from its own source."""

import pytest

from keeper.domain.errors import RpcMalformed, RpcRefused, RpcUnavailable
from keeper.domain.submission import AttemptState
from keeper.execution.sending import Answer, classified, contradicts, state_after, together

GETH = [  # ethereum/go-ethereum: core/txpool/errors.go, core/error.go, core/txpool/legacypool
    ("already known", Answer.KNOWN),
    ("invalid sender", Answer.REFUSED),
    ("transaction underpriced", Answer.UNDERPRICED),
    ("transaction underpriced: tip needed 1000000, tip permitted 1", Answer.UNDERPRICED),
    ("replacement transaction underpriced", Answer.UNDERPRICED),
    ("account limit exceeded", Answer.RETRYABLE),
    ("exceeds block gas limit", Answer.REFUSED),
    ("negative value", Answer.REFUSED),
    ("oversized data", Answer.REFUSED),
    ("future transaction tries to replace pending", Answer.UNDERPRICED),
    ("address already reserved", Answer.RETRYABLE),
    ("authority already reserved", Answer.RETRYABLE),
    ("authority nonce too low", Answer.REFUSED),
    ("txpool is full", Answer.RETRYABLE),
    ("in-flight transaction limit reached for delegated accounts", Answer.RETRYABLE),
    ("gapped-nonce tx from delegated accounts", Answer.NONCE_AHEAD),
    ("nonce too low", Answer.NONCE_USED),
    ("nonce too low: next nonce 5, tx nonce 4", Answer.NONCE_USED),
    ("nonce too high", Answer.NONCE_AHEAD),
    ("nonce has max value", Answer.REFUSED),
    ("insufficient funds for gas * price + value", Answer.UNFUNDED),
    ("insufficient funds for gas * price + value: balance 1, tx cost 2", Answer.UNFUNDED),
    ("insufficient funds for transfer", Answer.UNFUNDED),
    ("max initcode size exceeded", Answer.REFUSED),
    ("gas uint64 overflow", Answer.REFUSED),
    ("intrinsic gas too low", Answer.REFUSED),
    ("intrinsic gas too low: gas 20000, minimum needed 21000", Answer.REFUSED),
    ("max priority fee per gas higher than max fee per gas", Answer.REFUSED),
    ("max priority fee per gas higher than 2^256-1", Answer.REFUSED),
    ("max fee per gas higher than 2^256-1", Answer.REFUSED),
    ("max fee per gas less than block base fee", Answer.UNDERPRICED),
    ("sender not an eoa", Answer.REFUSED),
    ("transaction type not supported", Answer.REFUSED),
    ("tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", Answer.REFUSED),
    ("transaction gas limit too high (cap: 16777216, tx: 16777217)", Answer.REFUSED),
    ("transaction would cause overdraft", Answer.UNFUNDED),  # before 1.14
    ("known transaction: 1f2e3d4c", Answer.KNOWN),  # before 1.9
]

RETH = [  # paradigmxyz/reth: crates/rpc/rpc-eth-types/src/error, crates/transaction-pool
    ("nonce too low: next nonce 12, tx nonce 11", Answer.NONCE_USED),
    ("insufficient funds for gas * price + value: have 1 want 2", Answer.UNFUNDED),
    ("intrinsic gas too high", Answer.REFUSED),
    ("gas limit too high", Answer.REFUSED),
    ("sender is not an EOA", Answer.REFUSED),
    ("invalid chain ID", Answer.REFUSED),
    ("exceeds max transaction gas limit", Answer.REFUSED),
    ("tx fee (2 wei) exceeds the configured cap (1 wei)", Answer.REFUSED),
    ("oversized data: transaction size 200000, limit 131072", Answer.REFUSED),
    ("transaction priority fee below minimum required priority fee 1", Answer.UNDERPRICED),
    ("already imported", Answer.KNOWN),
    ("insufficient gas price to replace existing transaction", Answer.UNDERPRICED),
    ("transaction feeCap 6 below chain minimum", Answer.UNDERPRICED),
    ("rejected due to 0x1234 being identified as a spammer", Answer.RETRYABLE),
    ("transaction discarded outright due to pool size constraints", Answer.RETRYABLE),
    ("transaction overdraws from account", Answer.UNFUNDED),
]

ERIGON = [  # erigontech/erigon: txnprovider/txpool/txpoolcfg/txpoolcfg.go
    ("ALREADY_EXISTS: already known", Answer.KNOWN),
    ("INTERNAL_ERROR: existing tx with same hash", Answer.KNOWN),
    ("existing txn with same hash", Answer.KNOWN),
    ("replaced by transaction with higher tip", Answer.UNDERPRICED),
    ("underpriced", Answer.UNDERPRICED),
    ("fee too low", Answer.UNDERPRICED),
    ("could not replace existing tx", Answer.UNDERPRICED),
    ("pending sub-pool is full", Answer.RETRYABLE),
    ("baseFee sub-pool is full", Answer.RETRYABLE),
    ("queued sub-pool is full", Answer.RETRYABLE),
    ("GasUintOverflow", Answer.REFUSED),
    ("IntrinsicGas", Answer.REFUSED),
    ("RLPTooLong", Answer.REFUSED),
    ("INTERNAL_ERROR: nonce too low", Answer.NONCE_USED),
    ("insufficient funds", Answer.UNFUNDED),
    ("gas limit is too high", Answer.REFUSED),
    ("EIP-7702 transaction with authority already reserved", Answer.RETRYABLE),
]

NETHERMIND = [  # NethermindEth/nethermind: AcceptTxResult.cs, old names and the newer messages
    ("AlreadyKnown", Answer.KNOWN),
    ("OldNonce", Answer.NONCE_USED),
    ("OldNonce, Current nonce: 5, nonce of rejected tx: 4", Answer.NONCE_USED),
    ("NonceGap", Answer.NONCE_AHEAD),
    ("NonceTooFarInFuture", Answer.NONCE_AHEAD),
    ("nonce too far in future", Answer.NONCE_AHEAD),
    ("FeeTooLow", Answer.UNDERPRICED),
    ("FeeTooLowToCompete", Answer.UNDERPRICED),
    ("ReplacementNotAllowed", Answer.UNDERPRICED),
    ("InsufficientFunds", Answer.UNFUNDED),
    ("GasLimitExceeded", Answer.REFUSED),
    ("gas limit reached", Answer.REFUSED),
    ("FailedToResolveSender", Answer.REFUSED),
    ("failed to recover sender", Answer.REFUSED),
    ("transaction cost overflow", Answer.REFUSED),
    ("unsupported transaction type", Answer.REFUSED),
    ("InvalidTxSignature: Signature is invalid.", Answer.REFUSED),
    ("InvalidTxChainId: Expected 1, got 5.", Answer.REFUSED),
    ("InvalidMaxPriorityFeePerGas: Cannot be higher than maxFeePerGas.", Answer.REFUSED),
    ("delegation nonce gap", Answer.NONCE_AHEAD),
    ("delegation authority has pending transaction", Answer.RETRYABLE),
    ("node is syncing", Answer.RETRYABLE),
]

BESU = [  # hyperledger/besu: RpcErrorType.java
    ("Known transaction", Answer.KNOWN),
    ("Nonce too low", Answer.NONCE_USED),
    ("Nonce too high", Answer.NONCE_AHEAD),
    ("Transaction nonce is too distant from current sender nonce", Answer.NONCE_AHEAD),
    ("Replacement transaction underpriced", Answer.UNDERPRICED),
    ("Gas price below configured minimum gas price", Answer.UNDERPRICED),
    ("Gas price below current base fee", Answer.UNDERPRICED),
    ("Upfront cost exceeds account balance", Answer.UNFUNDED),
    ("Initial sync is still in progress", Answer.RETRYABLE),
    ("Intrinsic gas exceeds gas limit", Answer.REFUSED),
    ("Transaction gas limit exceeds block gas limit", Answer.REFUSED),
    ("Invalid signature", Answer.REFUSED),
    ("Wrong chainId", Answer.REFUSED),
    ("Transaction fee cap exceeded", Answer.REFUSED),
    ("Max priority fee per gas exceeds max fee per gas", Answer.REFUSED),
    ("An invalid transaction with a lower nonce exists", Answer.RETRYABLE),
    ("Plugin has marked the transaction as invalid", Answer.REFUSED),
]

ANVIL = [  # foundry-rs/foundry: crates/anvil/src/eth/error.rs
    ("transaction already imported", Answer.KNOWN),
    ("Tx: [0xab12] already Imported", Answer.KNOWN),
    ("Tx: [0xab12] insufficient gas price to replace existing transaction", Answer.UNDERPRICED),
    ("nonce too low", Answer.NONCE_USED),
    ("Nonce too high", Answer.NONCE_AHEAD),
    ("Insufficient funds for gas * price + value", Answer.UNFUNDED),
    ("max fee per gas less than block base fee", Answer.UNDERPRICED),
    ("intrinsic gas too high -- tx.gas_limit > env.cfg.tx_gas_limit_cap", Answer.REFUSED),
    ("invalid chain id for signer", Answer.REFUSED),
    ("Incompatible EIP-155 transaction, signed for another chain", Answer.REFUSED),
    ("Failed to decode transaction", Answer.REFUSED),
    ("Unknown transaction type not supported", Answer.REFUSED),
    (
        "Transaction gas limit is greater than the block gas limit, gas_limit: 2, cap: 1",
        Answer.REFUSED,
    ),
]

HOSTED = [  # as their users report them, and as relayers (OpenZeppelin) look for them
    ("Transaction with the same hash was already imported.", Answer.KNOWN),
    ("[-32000] nonce too low", Answer.NONCE_USED),
    ("Transaction nonce is too low. Try incrementing the nonce.", Answer.NONCE_USED),
    ("nonce has already been used", Answer.NONCE_USED),
    ("tx-nonce-too-high", Answer.NONCE_AHEAD),
    ("the tx nonce exceeds next nonce", Answer.NONCE_AHEAD),
    ("nonce out of range", Answer.NONCE_AHEAD),
    ("Transaction gas price supplied is too low", Answer.UNDERPRICED),
    ("INTERNAL_ERROR: could not replace existing tx", Answer.UNDERPRICED),
    (
        "gapped-nonce tx from delegated accounts is temporarily not allowed",
        Answer.NONCE_AHEAD,
    ),
    ("transaction is temporarily banned", Answer.RETRYABLE),
    ("An existing transaction had higher priority", Answer.UNDERPRICED),  # Monad
    ("A newer transaction had higher priority", Answer.UNDERPRICED),
    ("Signer had insufficient balance", Answer.UNFUNDED),
    ("there is another tx which has the same nonce in the tx pool", Answer.UNDERPRICED),  # Kaia
    ("tx already exists in cache", Answer.KNOWN),  # Sei
    ("gas price too low", Answer.UNDERPRICED),
    ("transaction gas limit exceeds 16777216", Answer.REFUSED),
]

NOTHING = [
    ("unknown transaction", Answer.UNKNOWN),
    ("unknown transaction: already unknown", Answer.UNKNOWN),
    ("transaction not found", Answer.UNKNOWN),
    ("internal error", Answer.UNKNOWN),
    ("context deadline exceeded", Answer.UNKNOWN),
    ("something new", Answer.UNKNOWN),
    ("", Answer.UNKNOWN),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "answer"),
    [*GETH, *RETH, *ERIGON, *NETHERMIND, *BESU, *ANVIL, *HOSTED, *NOTHING],
)
def test_a_nodes_words_prove_what_the_table_says_and_nothing_else(text, answer):
    """An unknown text never frees a nonce."""
    assert classified(RpcRefused("refused", number=-32000, text=text)) is answer


@pytest.mark.parametrize("error", [RpcUnavailable("TimeoutError"), RpcMalformed("not JSON")])
def test_no_answer_and_a_broken_answer_prove_nothing(error):
    """The bytes may have arrived all the same."""
    assert state_after(classified(error)) is AttemptState.UNKNOWN


@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        ([Answer.REFUSED, Answer.KNOWN], Answer.KNOWN),
        ([Answer.UNKNOWN, Answer.UNDERPRICED], Answer.UNKNOWN),
        ([Answer.NONCE_USED, Answer.UNKNOWN], Answer.NONCE_USED),
        ([Answer.NONCE_AHEAD, Answer.UNFUNDED], Answer.UNFUNDED),
    ],
)
def test_of_several_answers_the_one_counts_that_says_where_the_bytes_may_be(answers, counts):
    """A node that has them outweighs one that refuses; one that is silent may have them."""
    assert answers[together(answers)] is counts


def test_taken_by_one_and_never_to_be_taken_by_another_is_a_contradiction():
    """One of the two does not tell the truth about the account or the chain."""
    assert contradicts([Answer.ACCEPTED, Answer.UNFUNDED])
    assert not contradicts([Answer.ACCEPTED, Answer.UNDERPRICED, Answer.NONCE_AHEAD])
    assert not contradicts([Answer.REFUSED, Answer.UNFUNDED])
