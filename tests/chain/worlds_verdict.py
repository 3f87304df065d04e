"""
Would this account have paid? An answer that owes nothing to the keeper's own arithmetic.

The market itself says what a liquidation takes and gives: ``liquidationCall`` is simulated from
the admin, who has every token, and its event is read. QuoterV2 says what the collateral sells
for, over every pool there is, directly or by way of one other token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from eth_utils.address import to_checksum_address

from keeper.domain.errors import RpcRefused
from tests.chain.worlds import LIQUIDATION_CALL
from tests.chain.worlds_unseen import Unseen

BPS = 10_000
GAS = 450_000
"""What a liquidation with a flash loan and one sale takes, at the least."""

FEES = (100, 500, 3_000, 10_000)
PARTS = (7_500, 5_000, 2_000, 500)
"""Shares, in bps, of the most that may be repaid."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best that anyone could earn (8 decimals, in dollars) and how."""

    profit: int
    how: str


class Judge:
    """Judges accounts of one market as it now stands."""

    def __init__(self, unseen: Unseen) -> None:
        self.unseen = unseen
        self.devnet = unseen.devnet
        self.prices = {symbol: unseen.price(symbol) for symbol in unseen.tokens}
        self.premium = int(self.devnet.aave.pool.call("FLASHLOAN_PREMIUM_TOTAL"))
        self.pools = self._pools()
        newest = self.devnet.node.rpc("eth_getBlockByNumber", ["latest", False])
        gas_price = int(newest["baseFeePerGas"], 16) + 10**9
        self.gas = GAS * gas_price * self.prices["WETH"] // 10**18

    def verdict(self, account: str) -> Verdict:
        """Return the best liquidation of an account; profit after gas, before any minimum."""
        best = Verdict(-(10**30), "nothing can be liquidated")
        collaterals, debts = self._holdings(account)
        for collateral, debt in product(collaterals, debts):
            taken = self._taken(account, collateral, debt, debts[debt])
            for repaid, received in taken:
                out = self._sold(collateral, debt, received)
                owed = repaid + repaid * self.premium // BPS
                unit = self.unseen.assets[debt].unit
                profit = (out - owed) * self.prices[debt] // unit - self.gas
                if profit > best.profit:
                    best = Verdict(profit, f"{repaid} {debt} for {received} {collateral}")
        return best

    def _holdings(self, account: str) -> tuple[list[str], dict[str, int]]:
        """Return the collateral's symbols, and the debts in token units."""
        symbols, provider = list(self.unseen.tokens), self.devnet.aave.data_provider
        answers = [
            provider.call("getUserReserveData", self.unseen.tokens[one].address, account)
            for one in symbols
        ]
        held = dict(zip(symbols, answers, strict=True))
        return (
            [symbol for symbol, row in held.items() if row[0] and row[8]],
            {symbol: row[1] + row[2] for symbol, row in held.items() if row[1] + row[2]},
        )

    def _taken(self, account: str, collateral: str, debt: str, owed: int) -> list[tuple[int, int]]:
        """Return what the market takes and gives, for all that may be repaid and parts of it."""
        whole = self._simulated(account, collateral, debt, 2**256 - 1)
        most = whole[0] if whole else owed
        parts = [self._simulated(account, collateral, debt, most * part // BPS) for part in PARTS]
        return [found for found in (whole, *parts) if found]

    def _simulated(
        self, account: str, collateral: str, debt: str, amount: int
    ) -> tuple[int, int] | None:
        tokens = (self.unseen.tokens[symbol].address for symbol in (collateral, debt))
        call = self.devnet.aave.pool.transaction("liquidationCall", *tokens, account, amount, False)  # noqa: FBT003 - an ABI argument
        blocks = self.devnet.node.rpc(
            "eth_simulateV1",
            [{"blockStateCalls": [{"calls": [call.as_json()]}], "validation": False}, "latest"],
        )
        (answer,) = blocks[0]["calls"]
        events = [one for one in answer["logs"] if one["topics"][0] == LIQUIDATION_CALL]
        if int(answer["status"], 16) == 0 or not events:
            return None
        data = events[0]["data"][2:]
        return int(data[:64], 16), int(data[64:128], 16)

    def _sold(self, collateral: str, debt: str, amount: int) -> int:
        """Return the most of the debt's token that the collateral sells for."""
        if collateral == debt:
            return amount
        return max(
            (self._quoted(path, amount) for path in self._paths(collateral, debt)), default=0
        )

    def _paths(self, start: str, end: str) -> Iterator[bytes]:
        yield from (self._path([start, end], [fee]) for fee in self.pools.get((start, end), ()))
        for middle in self.unseen.tokens:
            legs = self.pools.get((start, middle), ()), self.pools.get((middle, end), ())
            for fees in product(*legs):
                yield self._path([start, middle, end], fees)

    def _path(self, symbols: Sequence[str], fees: Sequence[int]) -> bytes:
        places = [bytes.fromhex(self.unseen.tokens[one].address[2:]) for one in symbols]
        hops = zip(fees, places[1:], strict=True)
        return places[0] + b"".join(fee.to_bytes(3, "big") + place for fee, place in hops)

    def _quoted(self, path: bytes, amount: int) -> int:
        try:
            answer: Any = self.devnet.venue.quoter.call("quoteExactInput", path, amount)
        except RpcRefused:
            return 0
        return int(answer[0])

    def _pools(self) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = {}
        tokens, factory = self.unseen.tokens, self.devnet.venue.factory
        wanted = [(a, b, fee) for a in tokens for b in tokens if a < b for fee in FEES]
        answers = self.devnet.node.batch(
            [
                (
                    "eth_call",
                    [
                        factory.transaction(
                            "getPool", tokens[a].address, tokens[b].address, fee
                        ).as_json(),
                        "latest",
                    ],
                )
                for a, b, fee in wanted
            ]
        )
        for (a, b, fee), answer in zip(wanted, answers, strict=True):
            if int(answer, 16):
                assert to_checksum_address("0x" + answer[-40:])
                found.setdefault((a, b), []).append(fee)
                found.setdefault((b, a), []).append(fee)
        return found
