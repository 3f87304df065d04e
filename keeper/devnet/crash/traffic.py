"""Transactions of other parties that fill blocks and give gas a price.

A full block has no room for the keeper's transactions, which then wait for the next one, as in a
crash. The base fee follows EIP-1559 through full and half-full blocks.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from keeper.devnet.node import Node, Transaction
from keeper.domain.units import GWEI

FIRST: Final = 20_000 * GWEI
"""The ceiling of what has to come first in a block: prices, and the trades that follow them."""
SECOND: Final = 19_000 * GWEI

_BURNER: Final = "0x00000000000000000000000000000000c0FFee02"
_INVALID: Final = "0xfe"
_RICH: Final = 10**27
_SIZES: Final = (16_000_000,) * 4 + tuple(64_000_000 >> shift for shift in range(3, 10))
"""Gas of the transactions that fill a block: each goes in that still fits."""
_HALF: Final = 15_000_000
_USUAL: Final = 2
_STEER_PERCENT: Final = 4
_FAR_PERCENT: Final = 125
_MOST_PERCENT: Final = 200
"""Beyond it no block is full: the fee would rise until nothing pays any more."""
_TIPS: Final = (GWEI // 10, GWEI // 5, GWEI // 2)


@dataclass(slots=True)
class Traffic:
    """Fills blocks. The base fee is steered back to ``base_fee`` by EIP-1559's own rule.

    Transactions are ordered by maximum fee, the highest first, and dropped if a full block left
    them out. ``full`` counts the full blocks.
    """

    node: Node
    chance: random.Random
    base_fee: int
    full: int = 0

    def start(self) -> None:
        """Set the base fee once and fund the senders."""
        self.node.batch(
            [
                ("anvil_setCode", [_BURNER, _INVALID]),
                *(("anvil_setBalance", [who, hex(_RICH)]) for who in _list_senders()),
                ("anvil_setNextBlockBaseFeePerGas", [hex(self.base_fee)]),
            ]
        )

    def mine(self, transactions: Sequence[Transaction], *, is_full: bool) -> list[str]:
        """Mine a block with these transactions first, and return their hashes."""
        fees = self.node.rpc("eth_feeHistory", ["0x1", "latest", []])
        hashes = self._submit(transactions)
        next_fee = int(fees["baseFeePerGas"][-1], 16)
        is_full = is_full and next_fee * 100 < self.base_fee * _MOST_PERCENT
        fillers = self._fill() if is_full else self._fill_half(next_fee)
        self.node.rpc("evm_mine")
        self.node.batch([("anvil_dropTransaction", [one]) for one in fillers])
        self.full += is_full
        return hashes

    def _submit(self, transactions: Sequence[Transaction]) -> list[str]:
        senders = list({one.sender: None for one in transactions})
        counts = self.node.batch([("eth_getTransactionCount", [one, "latest"]) for one in senders])
        nonces = {who: int(count, 16) for who, count in zip(senders, counts, strict=True)}
        calls: list[tuple[str, list[Any]]] = []
        for one in transactions:
            fields = {"nonce": hex(nonces[one.sender]), **_build_fees(FIRST, GWEI)}
            nonces[one.sender] += 1
            calls.append(("eth_sendTransaction", [{**one.as_json(), **fields}]))
        return self.node.batch(calls)

    def _fill(self) -> list[str]:
        tip = self.chance.choice(_TIPS)
        return self.node.batch(
            [
                (
                    "eth_sendTransaction",
                    [_build_filler(who, gas, _build_fees(SECOND - place * GWEI, tip))],
                )
                for place, (who, gas) in enumerate(zip(_list_senders(), _SIZES, strict=True))
            ]
        )

    def _fill_half(self, next_fee: int) -> list[str]:
        count, tip = self._count_fillers(next_fee), self.chance.choice(_TIPS)
        # The lowest maximum fee of all, so that every other transaction goes first.
        fees = _build_fees(next_fee + tip, tip)
        return self.node.batch(
            [
                ("eth_sendTransaction", [_build_filler(who, _HALF, fees)])
                for who in _list_senders()[: max(0, count)]
            ]
        )

    def _count_fillers(self, next_fee: int) -> int:
        """Count the quarter-block transactions that lead the base fee back."""
        if next_fee * 100 > self.base_fee * _FAR_PERCENT:
            return 0
        low = self.base_fee * (100 - _STEER_PERCENT) // 100
        high = self.base_fee * (100 + _STEER_PERCENT) // 100
        return _USUAL + (next_fee < low) - (next_fee > high)


def _list_senders() -> list[str]:
    return [f"0x{0xC0FFEE0100 + place:040x}" for place in range(len(_SIZES))]


def _build_fees(ceiling: int, tip: int) -> dict[str, str]:
    return {"maxFeePerGas": hex(ceiling), "maxPriorityFeePerGas": hex(tip)}


def _build_filler(sender: str, gas: int, fees: dict[str, str]) -> dict[str, str]:
    return {"from": sender, "to": _BURNER, "gas": hex(gas), **fees}
