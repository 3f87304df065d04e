"""Morpho Blue on a local chain of its own: what its chain tests share."""

from collections.abc import Iterator
from dataclasses import dataclass

from keeper.chain.abi import checksum, topic, word
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.artifacts import Contract, Deployer
from keeper.devnet.feeds import Feed, deploy_feeds, deploy_tokens
from keeper.devnet.market import MULTICALL3, _deploy_multicall
from keeper.devnet.morpho import Morpho, deploy_morpho
from keeper.devnet.node import Node
from keeper.domain.head import Basis
from keeper.protocols.morpho_blue.adapter import MorphoDeployment, Options, build
from tests.support.history import history_of

START = 1_800_000_000
INTERVAL = 12
ADMIN = checksum("0x" + "ad" * 20)
LIQUIDATE = topic("Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)")
ACCRUE = topic("AccrueInterest(bytes32,uint256,uint256,uint256)")
USD = 10**8
BORROWERS = 44


@dataclass(frozen=True)
class World:
    """The chain with tokens, feeds and Morpho; the admin lends, liquidates and governs."""

    node: Node
    tokens: dict[str, Contract]
    feeds: dict[str, Feed]
    morpho: Morpho

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.node.port}"

    def options(self, **changes) -> Options:
        """Follow everything, with a dollar feed for every token but the hostile one."""
        feeds = {self.tokens[s].address: feed.source.address for s, feed in self.feeds.items()}
        chosen = changes or {"all": True}
        return Options(
            **{"morpho": self.morpho.contract.address, "usd_feeds": self.chainlink(feeds)} | chosen
        )

    def chainlink(self, feeds):
        """Leave out the ratio adapter: it has no decimals."""
        return {t: f for t, f in feeds.items() if t != self.tokens["wstETH"].address}

    def price(self, **dollars):
        """Set prices in whole dollars, by symbol."""
        for symbol, price in dollars.items():
            feed = self.feeds[symbol].aggregator
            feed.send("submit", feed.call("latestRound") + 1, price * USD)

    def market(self, identity):
        return next(one for one in self.morpho.markets.values() if one.id == identity)

    def state(self, one):
        """The contract's totals and the rate model's state."""
        totals = self.morpho.contract.call("market", bytes.fromhex(one.id[2:]))
        return (*totals, self.morpho.irm.call("rateAtTarget", bytes.fromhex(one.id[2:])))

    def timestamp(self) -> int:
        return int(self.node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)

    def next_at(self, moment):
        self.node.rpc("evm_setNextBlockTimestamp", [moment])

    def mined(self, function, *arguments):
        """Send to Morpho and mine in a block of its own."""
        return self.node.send_all([self.morpho.contract.transaction(function, *arguments)])[0]

    def liquidate(self, one, borrower, *, seized=0, shares=0):
        """Liquidate as the admin; return receipt and the event's numbers."""
        receipt = self.mined("liquidate", one.terms, borrower, seized, shares, b"")
        log = next(e for e in receipt["logs"] if e["topics"][0] == "0x" + LIQUIDATE.hex())
        data = bytes.fromhex(log["data"][2:])
        return receipt, tuple(word(data, at) for at in range(5))


def running_world() -> Iterator[World]:
    """Bring it up; it ends with the iterator."""
    with start_anvil(AnvilOptions(timestamp=START)) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        node.rpc("anvil_autoImpersonateAccount", [True])
        try:
            yield _world(node)
        finally:
            node.close()


def _world(node: Node) -> World:
    node.set_balance(ADMIN, 10**28)
    deployer = Deployer(node, ADMIN)
    _deploy_multicall(node)
    assert node.rpc("eth_getCode", [MULTICALL3, "latest"]) != "0x"
    tokens, feeds = deploy_tokens(deployer), deploy_feeds(deployer)
    world = World(node, tokens, feeds, deploy_morpho(deployer, tokens, feeds, borrowers=BORROWERS))
    for symbol, token in tokens.items():
        if symbol == "WETH":
            token.send("deposit", value=10**26)
        else:
            token.send("mint", ADMIN, 10**33)
    return world


async def loaded(world: World, reader, **changes) -> MorphoDeployment:
    """Return a discovered and loaded deployment."""
    made = build(world.options(**changes), from_block=0, reader=reader)
    head = await reader.head()
    await made.discover(head)
    history = await history_of(reader, made.history_filter, 0, head.number)
    await made.load(head, made.borrowers(history))
    return made


async def snapshots(market, reader):
    """Return the newest block's snapshots by market id."""
    head = await reader.head()
    await market.refresh(head)
    results = await reader.aggregate(market.calls(head), Basis(block_hash=head.hash))
    return {one.read.id: one for one in market.apply(head, results)}
