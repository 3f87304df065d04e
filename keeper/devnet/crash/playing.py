"""
A recorded crash on the local chain, block by block, with the real keeper beside it.

Feeds are updated one asset after the other, as on a real chain, and pools follow. Some blocks are
full: what the keeper sent waits, and the next accounts fall meanwhile.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keeper.devnet.crash.newcomers import let_enter
from keeper.devnet.crash.traffic import Traffic
from keeper.devnet.demo.process import KeeperProcess
from keeper.devnet.market import Devnet
from keeper.devnet.node import Transaction
from keeper.devnet.play import moved_prices
from keeper.devnet.prices import price_transactions
from keeper.domain.errors import EnvironmentFault
from keeper.domain.units import GWEI
from keeper.rehearse.prices import PricePath

HOUR: Final = 3_600
INTERVAL: Final = 12
BASE_FEE: Final = 40 * GWEI
NEWCOMERS_HOURS: Final = 24
"""So often new borrowers enter, since the crash leaves few of the earlier ones."""
FEEDS: Final = (("WETH", "wstETH"), ("WBTC",), ("LINK",), ("DAI", "USDC", "USDT"))
"""Which prices move in one block."""

_PATIENCE: Final = 90.0
_PAUSE: Final = 0.004
_SETTLING_BLOCKS: Final = 8
_FULL_SHARE: Final = 1 / 2
"""Of the blocks in which the keeper has something waiting."""
_PRICE_GAS: Final = 1_500_000


@dataclass(slots=True, kw_only=True)
class Player:
    """Plays a path. ``prices`` are the market's at every block mined since the start.

    ``blocks`` counts the blocks.
    """

    devnet: Devnet
    path: PricePath
    keeper: KeeperProcess
    chance: random.Random
    borrowers: int
    prices: dict[int, dict[str, int]] = field(default_factory=dict)
    blocks: int = 0
    _open: set[int] = field(default_factory=set)
    _seen: int = 0
    _active: int = 0
    _starts: dict[str, int] = field(default_factory=dict)
    _traffic: Traffic = field(init=False)

    def __post_init__(self) -> None:
        self._traffic = Traffic(self.devnet.node, self.chance, BASE_FEE)

    @property
    def full(self) -> int:
        """The blocks in which transactions of the keeper had no room."""
        return self._traffic.full

    def start(self) -> None:
        """Let blocks be mined on demand only, and wait until the keeper follows."""
        node = self.devnet.node
        node.rpc("evm_setAutomine", [False])
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        self._traffic.start()
        self._starts = self.devnet.prices()
        self._mine_block([])

    def play(self, hour: int) -> None:
        """Play one hour of the path, until the keeper has nothing more to do about it."""
        if hour and not hour % NEWCOMERS_HOURS:
            self._add_newcomers(seed=1_000 + hour)
        self._pass_time()
        moved = moved_prices(self._starts, self.path, self.path.times[0] + hour * HOUR)
        groups = [[symbol for symbol in group if symbol in moved] for group in FEEDS]
        self.chance.shuffle(groups)
        for group in filter(None, groups):
            is_full = self._mine_block(
                self._build_updates({symbol: moved[symbol] for symbol in group})
            )
            if is_full or self.chance.random() < 1 / 2:
                # What waits lands, and what was planned behind it, before another price moves.
                self._mine_block([])
                self.settle()
        self.settle()

    def settle(self) -> None:
        """Mine blocks until none of the keeper's transactions waits, and it sends no more."""
        for _ in range(_SETTLING_BLOCKS):
            if not self._open and self._active < self._seen:
                return
            self._mine_block([], may_be_full=False)

    def _add_newcomers(self, seed: int) -> None:
        before, node = self.devnet.node.block_number(), self.devnet.node
        let_enter(self.devnet, self.borrowers, seed=seed)
        now = self.devnet.prices()
        self.prices.update(dict.fromkeys(range(before + 1, node.block_number() + 1), now))
        self._mine_block([], may_be_full=False)
        self.settle()

    def _build_updates(self, prices: Mapping[str, int]) -> list[Transaction]:
        devnet = self.devnet
        made = price_transactions(devnet.venue, devnet.tokens, devnet.feeds, prices)
        return [
            Transaction(sender=one.sender, to=one.to, data=one.data, gas=_PRICE_GAS) for one in made
        ]

    def _mine_block(self, transactions: Sequence[Transaction], *, may_be_full: bool = True) -> bool:
        """Mine a block and wait until the keeper has processed it. Returns whether it was full."""
        is_full = may_be_full and bool(self._open) and self.chance.random() < _FULL_SHARE
        hashes = self._traffic.mine(transactions, is_full=is_full)
        number = self.devnet.node.block_number()
        self._check(hashes)
        self.blocks += 1
        self.prices[number] = self.devnet.prices()
        self._wait_for(number)
        return is_full

    def _check(self, hashes: Sequence[str]) -> None:
        receipts = self.devnet.node.batch([("eth_getTransactionReceipt", [one]) for one in hashes])
        if any(one is None or not int(one["status"], 16) for one in receipts):
            raise EnvironmentFault("a price or a trade did not get into its block")

    def _wait_for(self, block: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while self._seen < block:
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"the keeper is not done with block {block}", hint=self.keeper.last_words()
                )
            for event in self.keeper.events():
                self._note_event(event)
            if self._seen < block:
                time.sleep(_PAUSE)

    def _note_event(self, event: Mapping[str, object]) -> None:
        kind, block = event["event"], int(str(event.get("block_number", -1)))
        if kind == "block":
            self._seen = max(self._seen, block)
        elif kind in {"attempt", "reopened"}:
            self._open.add(int(str(event["nonce"])))
            self._active = max(self._active, block)
        elif kind == "included":
            self._open.discard(int(str(event["nonce"])))
            self._active = max(self._active, block)

    def _pass_time(self) -> None:
        newest = self.devnet.node.rpc("eth_getBlockByNumber", ["latest", False])
        then = (int(newest["timestamp"], 16) // HOUR + 1) * HOUR
        self.devnet.node.rpc("evm_setNextBlockTimestamp", [hex(then)])


def write_settings(folder: Path) -> Path:
    """Add the settings of a bidding keeper to the devnet's, and return the file."""
    config = folder / "keeper.toml"
    with config.open("a") as settings:
        settings.write('profit_bid_bps = 500\nbuilder_share_bps = 300\n\n[observe]\nlisten = ""\n')
    return config
