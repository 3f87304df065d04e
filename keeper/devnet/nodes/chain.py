"""A local chain that goes through the same crash again and again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.devnet import local
from keeper.devnet.borrowers import Borrower, enter_market
from keeper.devnet.market import LINE, Devnet
from keeper.devnet.morpho import health_factors

BORROWERS: Final = 10
SEED: Final = 1
CRASH: Final = {"WETH": 2_500 * 10**8}
_REORG_DEPTH: Final = 1
_LIKE: Final = "plain"
_NEWCOMER: Final = "0x00000000000000000000000000000000000bEEf1"


@dataclass(slots=True)
class Chain:
    """Devnet that mines on demand only, with its state before each crash."""

    folder: Path
    devnet: Devnet
    _snapshot: str

    @classmethod
    def bring_up(cls, folder: Path) -> "Chain":
        """Bring up a devnet of its own in a new folder."""
        local.up(
            local.UpOptions(folder=folder, protocol=local.BOTH, borrowers=BORROWERS, seed=SEED)
        )
        devnet = local.attach(folder)
        devnet.node.rpc("evm_setAutomine", [False])
        return cls(folder, devnet, devnet.node.rpc("evm_snapshot"))

    @property
    def port(self) -> int:
        """The node's port."""
        return self.devnet.node.port

    @property
    def settings(self) -> Path:
        """The keeper's settings file."""
        return self.folder / "keeper.toml"

    def reset(self) -> None:
        """Take everything back to the state before the crash."""
        node = self.devnet.node
        node.rpc("evm_revert", [self._snapshot])
        self._snapshot = node.rpc("evm_snapshot")
        node.rpc("evm_setAutomine", [False])
        node.rpc("evm_mine")

    def height(self) -> int:
        """Return the newest block's number."""
        return int(self.devnet.node.rpc("eth_blockNumber"), 16)

    def mine(self) -> None:
        """Mine a block with what waits."""
        self.devnet.node.rpc("evm_mine")

    def reorganise(self) -> None:
        """Replace the newest block by an empty one."""
        self.devnet.node.rpc("anvil_reorg", [_REORG_DEPTH, []])

    def enter(self) -> None:
        """Add a new borrower like the first one that the crash hits."""
        like = next(one for one in self.devnet.borrowers if one.kind == _LIKE)
        newcomer = Borrower(
            address=_NEWCOMER,
            kind=like.kind,
            collateral=like.collateral,
            debt=like.debt,
            e_mode=like.e_mode,
            rate_mode=like.rate_mode,
        )
        enter_market(self.devnet.node, self.devnet.aave, self.devnet.tokens, [newcomer])

    def crash(self) -> None:
        """Let prices fall, in one block."""
        self.devnet.set_prices(CRASH)

    def unhealthy(self) -> frozenset[str]:
        """List the liquidatable accounts, by market and account."""
        node, pool = self.devnet.node, self.devnet.aave.pool
        accounts = [one.address for one in self.devnet.borrowers] + [_NEWCOMER]
        calls = [pool.transaction("getUserAccountData", who).as_json() for who in accounts]
        answers = node.batch([("eth_call", [call, "latest"]) for call in calls])
        found = {
            who
            for who, answer in zip(accounts, answers, strict=True)
            if int(answer[-64:], 16) < LINE
        }
        if self.devnet.morpho is not None:
            factors = health_factors(self.devnet.morpho)
            found |= {f"{name} {who}" for (name, who), health in factors.items() if health < LINE}
        return frozenset(found)

    def stop(self) -> None:
        """End the node."""
        self.devnet.node.close()
        local.down(self.folder)
