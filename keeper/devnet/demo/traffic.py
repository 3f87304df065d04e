"""
Other people's transactions, so that gas has a price.

An empty local chain's base fee decays to a few wei within minutes, and nothing would
ever be dust. Here half of every block is filled, so that the base fee stays where it
is by EIP-1559's own rule: the keeper's prediction of it is put to the test, not spared it.
"""

import contextlib
from dataclasses import dataclass
from typing import Final

from keeper.devnet.node import Node
from keeper.domain.errors import RpcRefused
from keeper.domain.units import GWEI

BASE_FEE: Final = 10 * GWEI
"""What the base fee is held near, wei per unit of gas."""

_SENDER: Final = "0x00000000000000000000000000000000c0Ffee01"
_BURNER: Final = "0x00000000000000000000000000000000c0FFee02"
_INVALID: Final = "0xfe"
_RICH: Final = 10**24
_GAS: Final = 15_000_000
_TIP: Final = GWEI // 10
_USUAL: Final = 2
_STEER_PERCENT: Final = 4


@dataclass(slots=True)
class Traffic:
    """Fills half of each block of 60 M gas. ``keep_up`` is called once per block."""

    node: Node

    def start(self) -> None:
        """Set the base fee once and send for the next block."""
        self.node.batch(
            [
                ("anvil_setCode", [_BURNER, _INVALID]),
                ("anvil_setBalance", [_SENDER, hex(_RICH)]),
                ("anvil_setNextBlockBaseFeePerGas", [hex(BASE_FEE)]),
            ]
        )
        self.keep_up()

    def keep_up(self) -> None:
        """Send what the next block lacks."""
        fees, mined, pending = self.node.batch(
            [
                ("eth_feeHistory", ["0x1", "latest", []]),
                ("eth_getTransactionCount", [_SENDER, "latest"]),
                ("eth_getTransactionCount", [_SENDER, "pending"]),
            ]
        )
        next_fee = int(fees["baseFeePerGas"][-1], 16)
        waiting = int(pending, 16) - int(mined, 16)
        self._send(wanted(next_fee) - waiting, next_fee)

    def _send(self, count: int, next_fee: int) -> None:
        # The lowest maximum fee of all, so that every other transaction goes first.
        fees = {"maxFeePerGas": hex(next_fee + _TIP), "maxPriorityFeePerGas": hex(_TIP)}
        call = {"from": _SENDER, "to": _BURNER, "gas": hex(_GAS), **fees}
        # A block that came in between may have raised the fee: the next one is steered back.
        with contextlib.suppress(RpcRefused):
            self.node.batch([("eth_sendTransaction", [call])] * max(count, 0))


def wanted(base_fee: int) -> int:
    """Count the quarter-block transactions that lead the base fee back to ``BASE_FEE``."""
    low = BASE_FEE * (100 - _STEER_PERCENT) // 100
    high = BASE_FEE * (100 + _STEER_PERCENT) // 100
    return _USUAL + (base_fee < low) - (base_fee > high)
