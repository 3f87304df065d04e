"""Isolated markets of strangers whose oracle or token tells simulations from the chain."""

from dataclasses import dataclass, field
from enum import IntEnum
from math import isqrt

from eth_utils.crypto import keccak

from keeper.chain.abi import checksum
from keeper.devnet.artifacts import Artifact, Contract, Deployer
from keeper.devnet.market import Devnet
from keeper.devnet.morpho import Morpho, Terms, market_id
from keeper.devnet.node import Transaction
from keeper.devnet.toolchain import ROOT, compile_solidity

WAD, USD = 10**18, 10**8
LLTV = 860_000_000_000_000_000
UNITS, DEBT = 100, 8_000
"""Each borrower's collateral, at 100 dollars a unit, and debt in dollars: healthy down to 93."""
FALLEN = 90
_FOREVER = 2**255
_FULL_RANGE = 887_220
_SETTINGS = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "shanghai",
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}


class Tell(IntEnum):
    """What a contract looks at, in the order of ``Lying.sol``."""

    NONE = 0
    GAS_PRICE = 1
    BASE_FEE = 2
    COINBASE = 3
    RANDOMNESS = 4
    ORIGIN = 5
    HEIGHT = 6
    TIME = 7
    GAS_LEFT = 8
    LAST_HASH = 9
    EVERY_OTHER_BLOCK = 10
    SENDER = 11


def lying() -> dict[str, Artifact]:
    """Return the lying contracts."""
    source = ROOT / "tests" / "contracts" / "Lying.sol"
    built = compile_solidity({source.name: source}, settings=_SETTINGS)[source.name]
    return {
        name: Artifact(name=name, abi=each["abi"], code=each["evm"]["bytecode"]["object"])
        for name, each in built.items()
        if each["evm"]["bytecode"]["object"]
    }


@dataclass(frozen=True)
class LyingMarket:
    """A market with one borrower; both contracts are honest until they are told to lie."""

    name: str
    token: Contract
    oracle: Contract
    terms: Terms
    borrower: str

    @property
    def id(self) -> str:
        """The market's id."""
        return market_id(self.terms)


@dataclass
class LyingWorld:
    """A devnet with Morpho Blue to which strangers add markets."""

    devnet: Devnet
    artifacts: dict[str, Artifact] = field(default_factory=lying)
    markets: list[LyingMarket] = field(default_factory=list)

    @property
    def admin(self) -> str:
        """Who lends, and deploys."""
        return self.devnet.accounts.admin

    @property
    def morpho(self) -> Morpho:
        """The devnet's Morpho Blue."""
        assert self.devnet.morpho is not None
        return self.devnet.morpho

    def add_market(self, name: str) -> LyingMarket:
        """Add a market of a new token against USDC, with a borrower and an exit."""
        deployer = Deployer(self.devnet.node, self.admin)
        token = deployer.deploy(self.artifacts["LyingToken"])
        oracle = deployer.deploy(self.artifacts["LyingOracle"], _scaled(100))
        morpho, usdc = self.morpho.contract, self.devnet.tokens["USDC"]
        terms = (usdc.address, token.address, oracle.address, self.morpho.irm.address, LLTV)
        morpho.send("createMarket", terms)
        market = LyingMarket(name, token, oracle, terms, _account(name))
        morpho.send("supply", terms, DEBT * 20 * 10**6, 0, self.admin, b"")
        token.send("mint", self.admin, 10**6 * WAD)
        token.send("approve", morpho.address, _FOREVER)
        self.add_borrower(market, market.borrower)
        self._add_pool(market)
        self.markets.append(market)
        return market

    def add_borrower(self, market: LyingMarket, account: str) -> None:
        """Let an account put up collateral and borrow 80 % of what it is worth."""
        morpho = self.morpho.contract
        self.devnet.node.set_balance(account, WAD)
        morpho.send("supplyCollateral", market.terms, UNITS * WAD, account, b"")
        debt = DEBT * 10**6
        morpho.send("borrow", market.terms, debt, 0, account, account, sender=account)

    def lie(
        self, market: LyingMarket, tell: Tell, hint: int, *, burns: bool = False
    ) -> list[Transaction]:
        """Return what lets an oracle's price fall for simulations alone."""
        oracle = market.oracle
        return [
            oracle.transaction("lie", int(tell), hint),
            oracle.transaction("set", _scaled(FALLEN), _scaled(100), burns),
        ]

    def fall(self, market: LyingMarket) -> list[Transaction]:
        """Return what lets an oracle's price fall for everybody."""
        prices = (_scaled(FALLEN), _scaled(FALLEN))
        return [market.oracle.transaction("set", *prices, False)]  # noqa: FBT003 - an ABI argument

    def recover(self, market: LyingMarket) -> list[Transaction]:
        """Return what lets an oracle's price come back for everybody."""
        prices = (_scaled(100), _scaled(100))
        return [market.oracle.transaction("set", *prices, False)]  # noqa: FBT003 - an ABI argument

    def fall_of(self, symbol: str, dollars: int) -> list[Transaction]:
        """Return what moves an honest price; the pools stay as they are."""
        feed = self.devnet.feeds[symbol].aggregator
        assert feed is not None
        return [feed.transaction("submit", feed.call("latestRound") + 1, dollars * USD)]

    def debt(self, market: LyingMarket, account: str = "") -> int:
        """Return a borrower's shares of the debt."""
        identity = bytes.fromhex(market.id[2:])
        _, shares, _ = self.morpho.contract.call("position", identity, account or market.borrower)
        return int(shares)

    def _add_pool(self, market: LyingMarket, usd: int = 100, depth: int = 500_000) -> None:
        token, usdc = market.token, self.devnet.tokens["USDC"]
        manager = self.devnet.venue.manager
        token.send("approve", manager.address, _FOREVER)
        first, second = sorted((token.address, usdc.address), key=lambda text: int(text, 16))
        units, dollars = (usd * 10**6, WAD) if first == token.address else (WAD, usd * 10**6)
        root = isqrt((units << 192) // dollars)
        manager.send("createAndInitializePoolIfNecessary", first, second, 3_000, root)
        amounts = {token.address: depth // usd * WAD, usdc.address: depth * 10**6}
        manager.send(
            "mint",
            (
                first,
                second,
                3_000,
                -_FULL_RANGE,
                _FULL_RANGE,
                amounts[first],
                amounts[second],
                0,
                0,
                self.admin,
                2**40,
            ),
        )


def _scaled(dollars: int) -> int:
    return dollars * 10**24


def _account(name: str) -> str:
    return checksum("0x" + keccak(text=f"borrower of {name}")[-20:].hex())
