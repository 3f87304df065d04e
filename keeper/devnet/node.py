"""A small synchronous JSON-RPC client of the local node, with its unlocked accounts."""

import http.client
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eth_utils.address import to_checksum_address

from keeper.devnet.anvil import BLOCK_GAS_LIMIT, HOST
from keeper.domain.errors import EnvironmentFault, RpcRefused, RpcUnavailable

GAS_LIMIT: Final = 16_000_000

_TIMEOUT_SECONDS: Final = 120
_BATCH_SIZE: Final = 500
_POLL_SECONDS: Final = 0.02
_NO_LIMIT: Final = 1 << 45

Receipt = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Transaction of an unlocked account. A missing ``to`` creates a contract."""

    sender: str
    to: str | None = None
    data: bytes = b""
    value: int = 0
    gas: int = GAS_LIMIT

    def as_json(self) -> dict[str, str]:
        """Return the transaction as JSON-RPC writes it."""
        fields = {
            "from": self.sender,
            "data": "0x" + self.data.hex(),
            "value": hex(self.value),
            "gas": hex(self.gas),
        }
        return fields if self.to is None else {**fields, "to": self.to}


@dataclass(slots=True)
class Node:
    """Persistent connection to the local node, not thread safe."""

    port: int
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def rpc(self, method: str, params: Sequence[Any] = ()) -> Any:  # noqa: ANN401
        """
        Call one JSON-RPC method and return its result (a JSON value).

        Raises:
            RpcRefused: the node answered with an error.
            RpcUnavailable: the node does not answer.
        """
        return self.batch([(method, params)])[0]

    def batch(self, calls: Iterable[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Call many methods in few requests, with results in order and the same errors."""
        wanted = list(calls)
        results: list[Any] = []
        for start in range(0, len(wanted), _BATCH_SIZE):
            results += self._post(wanted[start : start + _BATCH_SIZE])
        return results

    def send(self, transaction: Transaction) -> Receipt:
        """Send, mine and return the receipt, with a block per transaction.

        Raises:
            RpcRefused: it reverted. ``data`` holds the reason.
        """
        receipt: Receipt = self.rpc("eth_sendTransactionSync", [transaction.as_json()])
        if int(receipt["status"], 16) == 0:
            self.call(transaction)
            raise RpcRefused("transaction reverted")
        return receipt

    def send_all(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        """Mine all the transactions in one block, in order per sender, and return their receipts.

        If blocks come at an interval, that is the next one (or more, if it is full). Otherwise a
        block is mined at once, whatever its gas.

        Raises:
            RpcRefused: one of them reverted.
        """
        if not transactions:
            return []
        if self.rpc("anvil_getIntervalMining"):
            receipts = self._wait_for(self._submit(transactions))
        else:
            receipts = self._mine_together(transactions)
        for transaction, receipt in zip(transactions, receipts, strict=True):
            if int(receipt["status"], 16) == 0:
                self.call(transaction)
                raise RpcRefused("transaction reverted")
        return receipts

    def _submit(self, transactions: Sequence[Transaction]) -> list[str]:
        # The node processes a batch in parallel, so each nonce must be stated.
        senders = list({each.sender: None for each in transactions})
        counts = self.batch([("eth_getTransactionCount", [who, "pending"]) for who in senders])
        nonces = {who: int(count, 16) for who, count in zip(senders, counts, strict=True)}
        calls = []
        for each in transactions:
            nonce = nonces[each.sender]
            nonces[each.sender] = nonce + 1
            calls.append(("eth_sendTransaction", [{**each.as_json(), "nonce": hex(nonce)}]))
        return self.batch(calls)

    def _wait_for(self, hashes: Sequence[str]) -> list[Receipt]:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            receipts = self.batch([("eth_getTransactionReceipt", [each]) for each in hashes])
            if None not in receipts:
                return receipts
            time.sleep(_POLL_SECONDS)
        raise RpcUnavailable("the local node did not mine what it was sent")

    def _mine_together(self, transactions: Sequence[Transaction]) -> list[Receipt]:
        limit = hex(BLOCK_GAS_LIMIT)
        automine = self.rpc("anvil_getAutomine")
        self.batch([("evm_setAutomine", [False]), ("evm_setBlockGasLimit", [hex(_NO_LIMIT)])])
        try:
            hashes = self._submit(transactions)
            self.rpc("evm_mine")
            return self._wait_for(hashes)
        finally:
            self.batch([("evm_setBlockGasLimit", [limit]), ("evm_setAutomine", [automine])])

    def call(self, transaction: Transaction, block: str = "latest") -> bytes:
        """Return a transaction's result. A revert raises ``RpcRefused`` with its data."""
        answer: str = self.rpc("eth_call", [transaction.as_json(), block])
        return bytes.fromhex(answer[2:])

    def deploy(self, sender: str, code: bytes) -> str:
        """Create a contract from its creation code and arguments, and return its address."""
        receipt = self.send(Transaction(sender=sender, data=code))
        return str(to_checksum_address(receipt["contractAddress"]))

    def block_number(self) -> int:
        """Read the newest block's number."""
        return int(self.rpc("eth_blockNumber"), 16)

    def balance(self, account: str) -> int:
        """Read an account's native balance in wei."""
        return int(self.rpc("eth_getBalance", [account, "latest"]), 16)

    def set_balance(self, account: str, wei: int) -> None:
        """Give an account a native balance in wei."""
        self.rpc("anvil_setBalance", [account, hex(wei)])

    def pass_time(self, seconds: int) -> None:
        """Let time pass on the chain and mine a block after it."""
        newest = self.rpc("eth_getBlockByNumber", ["latest", False])
        then = int(newest["timestamp"], 16) + seconds
        self.rpc("evm_setNextBlockTimestamp", [hex(then)])
        self.rpc("evm_mine")

    def close(self) -> None:
        """Close the connection. The next call opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        body = json.dumps(
            [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
                for number, (method, params) in enumerate(calls)
            ]
        )
        answers = sorted(self._send_body(body), key=lambda answer: int(answer["id"]))
        if len(answers) != len(calls):
            raise RpcUnavailable("the local node answered a part of the batch only")
        return [
            _get_result(method, answer) for (method, _), answer in zip(calls, answers, strict=True)
        ]

    def _send_body(self, body: str) -> list[dict[str, Any]]:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    HOST, self.port, timeout=_TIMEOUT_SECONDS
                )
            self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answers = json.loads(self._connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise RpcUnavailable(
                f"the local node does not answer: {type(error).__name__}",
                hint="is the devnet up? run: keeper devnet status",
            ) from error
        except BaseException:
            # An interrupt between question and answer: the next call must not read that answer.
            self.close()
            raise
        if not isinstance(answers, list):
            raise EnvironmentFault("the local node did not understand the request")
        return answers


def _get_result(method: str, answer: dict[str, Any]) -> Any:  # noqa: ANN401
    if "error" not in answer:
        return answer["result"]
    error = answer["error"]
    text = re.sub(r"\w+://\S+", "<endpoint>", str(error.get("message", "")))
    data = error.get("data")
    revert = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    raise RpcRefused(f"{method}: {text}", number=int(error.get("code", 0)), text=text, data=revert)
