"""A local chain with a live keeper on it, a block at a time, and what stands in the blocks."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.assets import ASSETS, BY_SYMBOL, POOLS, PRICE_UNIT
from keeper.devnet.demo.process import KeeperProcess
from keeper.devnet.market import Devnet, bring_up, hot_key
from keeper.devnet.node import Node, Transaction
from keeper.devnet.uniswap import aligning_swap, pool_address
from keeper.domain.errors import EnvironmentFault, RpcRefused
from tests.chain.worlds import Keeper

GWEI = 10**9
START = 1_800_000_000
INTERVAL = 12
"""Seconds from block to block."""
PATIENCE = 60.0
PAUSE = 0.003
RIVAL = str(to_checksum_address(keccak(text="a rival")[-20:]))
ATTACKER = str(to_checksum_address(keccak(text="an attacker")[-20:]))
RICH = 10**12 * PRICE_UNIT // 20
"""What rival and attacker have of each token, in dollars with 8 decimals."""
HOT_WEI = 1_000 * 10**18
FOREVER = 2**255
VARIABLE = 2
FULL, BARE = True, False
UNDERLYING = False
"""What a liquidator asks for: the collateral itself, not its aTokens."""
ALL = 2**256 - 1


@dataclass(slots=True)
class Arena:
    """The chain, the keeper's process, and all that it has told."""

    devnet: Devnet
    process: KeeperProcess
    events: list[dict] = field(default_factory=list)
    pools: dict[str, object] = field(default_factory=dict)
    _handled: int = 0

    def rpc(self, method, *params):
        """Ask the node."""
        return self.devnet.node.rpc(method, list(params))

    def mine(self, base_fee: int = 0) -> dict:
        """Mine what waits, wait for the keeper to be done with it, and return the block."""
        if base_fee:
            self.rpc("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
        self.rpc("evm_mine")
        return self.handled()

    def handled(self) -> dict:
        """Wait until the keeper is done with the newest block, and return that."""
        block = self.newest()
        number, late = int(block["number"], 16), time.monotonic() + PATIENCE
        while self._handled < number:
            for event in self.process.events():
                self.events.append(event)
                if event["event"] == "block":
                    self._handled = max(self._handled, event["block_number"])
            if time.monotonic() > late:
                raise EnvironmentFault("silent", hint=self.process.last_words())
            if self._handled < number:
                time.sleep(PAUSE)
        return block

    def newest(self) -> dict:
        """Return the newest block, with its transactions."""
        return self.rpc("eth_getBlockByNumber", "latest", FULL)

    def told(self, name: str, **wanted) -> list[dict]:
        """Return the events of a name that have these fields."""
        return [
            event
            for event in self.events
            if event["event"] == name and all(event.get(key) == wanted[key] for key in wanted)
        ]

    def ours(self) -> list[dict]:
        """Return the keeper's transactions that wait."""
        pool = self.rpc("txpool_content")
        hot = self.devnet.accounts.hot
        waiting = {**pool["pending"].get(hot, {}), **pool["pending"].get(hot.lower(), {})}
        return list(waiting.values())

    def enter(self, accounts: Mapping[str, tuple[str, int, str, int]]) -> None:
        """Let accounts put up an amount of a token, and owe an amount of another."""
        node, pool, tokens = self.devnet.node, self.devnet.aave.pool, self.devnet.tokens
        node.batch([("anvil_setBalance", [who, hex(10**21)]) for who in accounts])
        node.send_all(
            [
                pool.transaction("supply", tokens[held].address, amount, who, 0)
                for who, (held, amount, _, _) in accounts.items()
            ]
        )
        node.send_all(
            [
                pool.transaction("borrow", tokens[owed].address, debt, VARIABLE, 0, who, sender=who)
                for who, (_, _, owed, debt) in accounts.items()
            ]
        )
        self.handled()

    def leave(self, accounts: Mapping[str, tuple[str, int, str, int]]) -> None:
        """Repay what is left of their debts."""
        pool, tokens = self.devnet.aave.pool, self.devnet.tokens
        owing = [
            pool.transaction("repay", tokens[owed].address, 2 * debt, VARIABLE, who)
            for who, (_, _, owed, debt) in accounts.items()
            if self.owes(who)
        ]
        with contextlib.suppress(RpcRefused):  # the keeper may come first
            self.devnet.node.send_all(owing)
        self.handled()

    def owes(self, account: str) -> int:
        """Return an account's debt in the protocol's own dollars, 8 decimals."""
        return int(self.devnet.aave.pool.call("getUserAccountData", account)[1])

    def healthy(self, account: str) -> bool:
        """Return whether the pool itself calls the account healthy."""
        return int(self.devnet.aave.pool.call("getUserAccountData", account)[5]) >= 10**18

    def prices(self, changes: Mapping[str, int]) -> None:
        """Move prices, the pools with them, and wait for the keeper."""
        self.devnet.set_prices(changes)
        self.handled()

    def moves(self, shifts: Mapping[str, int], prices: Mapping[str, int]) -> list[Transaction]:
        """Return the trades that put pools (by address) so many basis points off the prices."""
        made = []
        for address, spec in self.pools.items():
            if address in shifts:
                off = prices[spec.first] * (10_000 + shifts[address]) // 10_000
                swap = aligning_swap(
                    self.devnet.venue, self.devnet.tokens, spec, {**prices, spec.first: off}
                )
                made += [] if swap is None else [swap]
        return made

    def ahead(self, transaction: Transaction, cap: int, gas: int = 3_000_000) -> str:
        """Hand the node a transaction with a ceiling: the local node sorts a block by it."""
        fees = {"maxFeePerGas": hex(cap), "maxPriorityFeePerGas": hex(min(cap, GWEI))}
        return str(
            self.rpc("eth_sendTransaction", {**transaction.as_json(), **fees, "gas": hex(gas)})
        )

    def balances(self, account: str) -> dict[str, int]:
        """Return what an account has of every token, and of the native coin (``""``)."""
        tokens = {
            symbol: int(token.call("balanceOf", account))
            for symbol, token in self.devnet.tokens.items()
        }
        return {**tokens, "": self.devnet.node.balance(account)}


@contextlib.contextmanager
def arena(policy: str, *, minimum: int = 5, borrowers: int = 0, seed: int = 1) -> Iterator[Arena]:
    """Bring a market up with a live keeper on it; ``policy`` goes to the end of its settings."""
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="keeper-money-"))
        anvil = stack.enter_context(start_anvil(AnvilOptions(timestamp=START)))
        node = Node(anvil.port)
        stack.callback(node.close)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        devnet = bring_up(node, borrowers=borrowers, seed=seed)
        _equip(devnet)
        node.rpc("evm_setAutomine", [False])
        process = KeeperProcess.start(_configured(Path(name), devnet, policy, minimum))
        stack.callback(process.stop)
        pools = {pool_address(devnet.venue, devnet.tokens, spec): spec for spec in POOLS}
        there = Arena(devnet=devnet, process=process, pools=pools)
        there.mine()
        yield there


def _configured(folder: Path, devnet: Devnet, policy: str, minimum: int) -> Path:
    """Write what a new user writes, and the key beside it."""
    Keeper(folder, devnet).configure(more=f'{policy}\n[observe]\nlisten = "127.0.0.1:0"\n')
    settings, secret = folder / "keeper.toml", folder / ".env"
    own = settings.read_text().replace('min_profit_usd = "5"', f'min_profit_usd = "{minimum}"')
    settings.write_text(own)
    secret.touch(0o600)
    secret.write_text(f"KEEPER_WALLET__PRIVATE_KEY={hot_key()}\n")
    return settings


def _equip(devnet: Devnet) -> None:
    """Give rival and attacker tokens and allowances, and the hot key gas money for dear blocks."""
    node = devnet.node
    node.set_balance(devnet.accounts.hot, HOT_WEI)
    for who in (RIVAL, ATTACKER):
        node.set_balance(who, 10**24)
        for asset in ASSETS:
            token = devnet.tokens[asset.symbol]
            token.send("transfer", who, BY_SYMBOL[asset.symbol].units_worth(RICH))
            for spender in (devnet.aave.pool.address, devnet.venue.router.address):
                token.send("approve", spender, FOREVER, sender=who)
