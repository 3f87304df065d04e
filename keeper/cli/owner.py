"""
Transactions that a person orders: deployment and rescue, not liquidations.

They are sent once and waited for. They are no part of the journal, so the account
that sends them must not be one that a running node signs for at the same moment.
"""

import asyncio
from typing import Final

from eth_account import Account
from eth_hash.auto import keccak

from keeper.chain.records import Receipt
from keeper.chain.sender import Sender
from keeper.cli.here import Here
from keeper.domain.errors import EnvironmentFault, OutcomeUnknown
from keeper.domain.units import (
    BPS,
    MAX_TRANSACTION_GAS,
    Address,
    Gas,
    TransactionHash,
    Wei,
    mul_div_ceil,
)
from keeper.execution.signer import checked_key

WAIT_SECONDS: Final = 180
POLL_SECONDS: Final = 0.2
GAS_HEADROOM_BPS: Final = 12_000
HISTORY_BLOCKS: Final = 5
MEDIAN: Final = 50


class OwnerAccount:
    """One account whose owner is at the keyboard."""

    def __init__(self, key: bytes, here: Here) -> None:
        self._account = Account.from_key(key)
        self._here = here
        self.address: Address = checked_key(key, here.settings.chain.id)

    async def send(self, data: bytes, to: Address | None = None) -> Receipt:
        """
        Send one transaction and return its receipt; ``to`` None creates a contract.

        Raises:
            EnvironmentFault: it would fail, or it failed on the chain.
            OutcomeUnknown: it was not mined in time; the message has its hash.
        """
        transaction = await self._transaction(data, to)
        raw = bytes(self._account.sign_transaction(transaction).raw_transaction)
        sent = TransactionHash("0x" + keccak(raw).hex())
        await Sender(self._here.reader.rpc).send_raw(raw)
        receipt = await self._receipt(sent)
        if not receipt.success:
            raise EnvironmentFault(f"the transaction {sent} failed on the chain")
        return receipt

    async def _transaction(self, data: bytes, to: Address | None) -> dict[str, object]:
        reader = self._here.reader
        call: dict[str, object] = {"from": self.address, "data": "0x" + data.hex()}
        if to is not None:
            call["to"] = to
        estimate = await reader.estimate_gas(call, self._here.basis)
        max_fee, priority_fee = await self._fees()
        return {
            "type": 2,
            "chainId": self._here.settings.chain.id,
            "nonce": await reader.transaction_count(self.address, "pending"),
            "value": 0,
            "data": data,
            "gas": self._gas_limit(estimate),
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": priority_fee,
            **({} if to is None else {"to": to}),
        }

    def _gas_limit(self, estimate: Gas) -> int:
        return min(mul_div_ceil(estimate, GAS_HEADROOM_BPS, BPS), MAX_TRANSACTION_GAS)

    async def _fees(self) -> tuple[Wei, Wei]:
        """Return twice the next base fee plus the tip, and the tip: the recent median."""
        base_fees, rewards = await self._here.reader.fee_history(HISTORY_BLOCKS, MEDIAN)
        tip = Wei(max([1, *rewards]))
        return Wei(2 * base_fees[-1] + tip), tip

    async def _receipt(self, sent: TransactionHash) -> Receipt:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    receipt = await self._here.reader.receipt(sent)
                    if receipt is not None:
                        return receipt
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise OutcomeUnknown(
                f"the transaction {sent} was not mined within {WAIT_SECONDS} s",
                hint="it may still be mined: look it up before sending again",
            ) from None
