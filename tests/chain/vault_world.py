"""The vault on a local chain: listed, funded and limited; who it cures is in need."""

from dataclasses import dataclass

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.devnet.artifacts import Contract, Deployer
from keeper.devnet.market import Devnet
from keeper.devnet.node import Node, Receipt, Transaction
from tests.chain import executor_morpho_world as morphos
from tests.chain import executor_world as worlds
from tests.chain.executor_morpho_world import PARAMS, Market

AAVE_SUPPLY, AAVE_REPAY, MORPHO_SUPPLY, MORPHO_REPAY = 1, 2, 3, 4
AAVE_CLEAR, MORPHO_CLEAR = 5, 6
WAD = 10**18
VARIABLE = 2
FAR = 10**38
DAY = 86_400


@dataclass
class VaultWorld:
    """A vault, and how cures are asked of it."""

    devnet: Devnet
    vault: Contract
    morpho: Contract | None = None

    @property
    def node(self) -> Node:
        """The node."""
        return self.devnet.node

    def owned(self, function: str, *arguments: object) -> Receipt:
        """Let the owner administer the vault."""
        return self.vault.send(function, *arguments, sender=self.devnet.accounts.owner)

    def limit(self, token: str, *, each: int = FAR, day: int = FAR) -> None:
        """Limit a token."""
        self.owned("setLimit", token, each, day)

    def admit(
        self, place: bytes, account: str, token: str, *, below: int = FAR, least: int = WAD
    ) -> None:
        """List an account in a place, with no limit of its own."""
        self.owned("setListing", place, account, below, least)
        self.owned("setAccountLimit", account, token, FAR)

    def aave_place(self) -> bytes:
        """Return the place that the pool is."""
        return bytes(12) + bytes.fromhex(self.devnet.aave.pool.address[2:])

    def aave(self, account: str, mode: int = VARIABLE) -> bytes:
        """Return the data of a cure on Aave."""
        pool = self.devnet.aave.pool.address
        return encode(["address", "address", "uint256"], [pool, account, mode])

    def morpho_place(self, market: Market) -> bytes:
        """Return the place that a market is."""
        assert self.morpho is not None
        return bytes(keccak(encode(["address", "bytes32"], [self.morpho.address, market.id])))

    def on_morpho(self, market: Market) -> bytes:
        """Return the data of a cure on Morpho."""
        assert self.morpho is not None
        values = [self.morpho.address, market.params, market.borrower]
        return encode(["address", PARAMS, "address"], values)

    def cure(self, kind: int, data: bytes, token: str, amount: int, **terms: int) -> Transaction:
        """Return the hot key's transaction."""
        wanted = (
            *(kind, data, token, amount),
            *(terms.pop("min_health", 0), terms.pop("deadline", worlds.SOON)),
        )
        sender = str(terms.pop("sender", self.devnet.accounts.hot))
        return self.vault.transaction("cure", wanted, sender=sender)

    def open(
        self, collateral: str, *, each: int = FAR, day: int = FAR, counted: int = 9_000
    ) -> None:
        """Open the pool for clearing, a collateral counted at so much of its price."""
        self.open_place(self.aave_place(), collateral, each=each, day=day, counted=counted)

    def open_place(
        self, place: bytes, collateral: str, *, each: int = FAR, day: int = FAR, counted: int
    ) -> None:
        """Open a place for clearing, a collateral counted at so much of its price."""
        self.owned("setLossLimit", place, each, day)
        self.owned("setCounted", place, collateral, counted)

    def clear(
        self, account: str, token: str, amount: int, collateral: str, **terms: int
    ) -> Transaction:
        """Return the hot key's transaction that clears an account on Aave."""
        data = encode(["address", "address"], [self.devnet.aave.pool.address, account])
        kind = terms.pop("kind", AAVE_CLEAR)
        return self.clear_with(kind, data, token, amount, collateral, **terms)

    def clear_on_morpho(
        self, market: Market, amount: int, *, seized: int = 0, shares: int = 0, **terms: int | str
    ) -> Transaction:
        """Return the hot key's transaction that clears a market's borrower on Morpho."""
        assert self.morpho is not None
        values = [self.morpho.address, market.params, market.borrower, seized, shares]
        data = encode([f"(address,{PARAMS},address,uint256,uint256)"], [values])
        loan, collateral, *_ = market.params
        tokens = (str(terms.pop("token", loan)), amount, str(terms.pop("collateral", collateral)))
        return self.clear_with(MORPHO_CLEAR, data, *tokens, **terms)

    def clear_with(
        self, kind: int, data: bytes, token: str, amount: int, collateral: str, **terms: int | str
    ) -> Transaction:
        """Return the hot key's transaction that clears somebody."""
        wanted = (
            *(kind, data, token, amount, collateral),
            *(terms.pop("most", FAR), terms.pop("deadline", worlds.SOON)),
        )
        sender = str(terms.pop("sender", self.devnet.accounts.hot))
        return self.vault.transaction("clear", wanted, sender=sender)

    def run(self, transaction: Transaction) -> Receipt:
        """Mine it."""
        return self.node.send(transaction)

    def refusal(self, transaction: Transaction) -> str:
        """Return why it reverts."""
        return worlds.refusal(self.node, transaction)

    def health(self, account: str) -> int:
        """Return the pool's health factor."""
        return int(self.devnet.aave.pool.call("getUserAccountData", account)[5])

    def allowance(self, token: str, spender: str) -> int:
        """Return what the vault allows."""
        call = worlds.call_of(token, "dd62ed3e", self.vault.address, spender)
        return int.from_bytes(self.node.call(call))

    def balance(self, token: str) -> int:
        """Return what lies in the vault."""
        call = worlds.call_of(token, "70a08231", self.vault.address)
        return int.from_bytes(self.node.call(call))


def deployed(devnet: Devnet, build: str, morpho: Contract | None = None) -> VaultWorld:
    """Deploy a build of the vault for the devnet's accounts, with plenty of every token."""
    who = devnet.accounts
    vault = Deployer(devnet.node, who.admin).deploy(worlds.artifact(build), who.owner, [who.hot])
    for token in devnet.tokens.values():
        token.send("transfer", vault.address, token.call("balanceOf", who.admin) // 1_000)
    return VaultWorld(devnet, vault, morpho)


def with_morpho(devnet: Devnet, build: str) -> tuple[VaultWorld, morphos.MorphoWorld]:
    """Deploy a vault, and Morpho Blue beside Aave."""
    other = morphos.with_morpho(devnet, "LiquidationExecutor")
    return deployed(devnet, build, other.morpho), other


def at(devnet: Devnet, address: str) -> Contract:
    """Return a vault that stands somewhere already."""
    return Deployer(devnet.node, devnet.accounts.admin).at(worlds.artifact("CureVault"), address)
