"""Morpho Blue beside Aave for the executor's tests: markets, borrowers and what became of them."""

from dataclasses import dataclass, field

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.chain.abi import topic, word
from keeper.devnet.artifacts import Artifact, Contract, Deployer
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.market import Devnet
from keeper.devnet.morpho import irm_artifact, morpho_artifact
from keeper.devnet.node import Receipt
from keeper.execution.executor import STEP_TYPE
from tests.chain import executor_world as worlds
from tests.chain.executor_world import Step, World

PARAMS = "(address,address,address,address,uint256)"
LLTV = 860_000_000_000_000_000
WAD = 10**18
PRICE_SCALE = 10**36
CALLBACK, MORPHO_LOAN = 4, 5
LIQUIDATED = topic("Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)")


@dataclass(frozen=True)
class Market:
    """A market, its oracle, which says what it is told, and its one borrower."""

    params: tuple[str, str, str, str, int]
    oracle: Contract
    borrower: str

    @property
    def id(self) -> bytes:
        """The market's id."""
        return bytes(keccak(encode([PARAMS], [self.params])))


@dataclass
class MorphoWorld(World):
    """A world that has Morpho Blue, too."""

    morpho: Contract
    irm: Contract
    hostile: dict[str, Artifact]
    markets: dict[str, Market] = field(default_factory=dict)

    def market(self, loan: Contract, collateral: Contract, number: int) -> Market:
        """Create a market of two tokens; nobody is in it."""
        oracle = Deployer(self.node, self.devnet.accounts.admin).deploy(
            self.hostile["HostileOracle"]
        )
        params = (loan.address, collateral.address, oracle.address, self.irm.address, LLTV)
        self.morpho.send("createMarket", params)
        borrower = f"0x{number:040x}"
        self.node.set_balance(borrower, WAD)
        return Market(params, oracle, borrower)

    def enter(self, market: Market, collateral: int, price: int, share_bps: int) -> None:
        """Let somebody lend, and the borrower borrow a share of what the collateral is worth."""
        admin = self.devnet.accounts.admin
        market.oracle.send("tell", price)
        debt = collateral * price // PRICE_SCALE * share_bps // 10_000
        self.morpho.send("supply", market.params, debt * 3, 0, admin, b"")
        self.morpho.send("supplyCollateral", market.params, collateral, market.borrower, b"")
        self.morpho.send(
            "borrow", market.params, debt, 0, market.borrower, admin, sender=market.borrower
        )

    def position(self, market: Market) -> tuple[int, int]:
        """Return the borrower's shares of the debt, and the collateral."""
        _, shares, collateral = self.morpho.call("position", market.id, market.borrower)
        return int(shares), int(collateral)

    def debt_of(self, market: Market) -> int:
        """Return what the borrower owes, rounded up, with the interest that is accrued already."""
        shares, _ = self.position(market)
        _, _, assets, all_shares, *_ = self.morpho.call("market", market.id)
        return int(-(-shares * (assets + 1) // (all_shares + 10**6)))

    def timestamp(self) -> int:
        """Return the newest block's timestamp."""
        return int(self.node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)

    def seizure(self, market: Market, *, seized: int = 0, shares: int = 0) -> bytes:
        """Return the module's data."""
        return encode(
            ["address", PARAMS, "address", "uint256", "uint256"],
            [self.morpho.address, market.params, market.borrower, seized, shares],
        )

    def step(self, market: Market, route: tuple[object, ...] = (), **changes: object) -> Step:
        """Return the step that repays all the debt, by shares, with Morpho waiting for it."""
        shares, _ = self.position(market)
        loan, collateral, *_ = market.params
        step = Step(
            module=2,
            data=self.seizure(market, shares=shares),
            spend=loan,
            receive=collateral,
            funding=CALLBACK,
            factory=self.devnet.venue.factory.address,
            path=self.path(*route),
        )
        return step.with_(**changes)

    def liquidated(self, receipt: Receipt) -> list[tuple[int, int, int]]:
        """Return what Morpho's own events say: repaid, seized, bad debt."""
        return [
            (word(log.data, 0), word(log.data, 2), word(log.data, 3))
            for log in worlds.logs_of(receipt)
            if log.topics and log.topics[0] == LIQUIDATED
        ]


def with_morpho(devnet: Devnet, build: str) -> MorphoWorld:
    """Deploy Morpho, its interest model, and an executor that may call it."""
    admin = devnet.accounts.admin
    deployer = Deployer(devnet.node, admin)
    morpho = deployer.deploy(morpho_artifact(), admin)
    irm = deployer.deploy(irm_artifact(), morpho.address)
    morpho.send("enableIrm", irm.address)
    morpho.send("enableLltv", LLTV)
    for token in devnet.tokens.values():
        token.send("approve", morpho.address, 2**255)
    executor = worlds.deployed(devnet, build, morpho.address).executor
    return MorphoWorld(devnet, executor, morpho, irm, worlds.hostile())


def price_of(collateral: str, loan: str, prices: dict[str, int]) -> int:
    """Return the oracle's price of a collateral in a loan token, by symbols."""
    worth = PRICE_SCALE * prices[collateral] * BY_SYMBOL[loan].unit
    return worth // (prices[loan] * BY_SYMBOL[collateral].unit)


def job_of(step: Step) -> bytes:
    """Return what the executor gives away and expects back: the step, and what lay there: none."""
    return encode([f"({STEP_TYPE},uint256,uint256)"], [(step.values(), 0, 0)])
