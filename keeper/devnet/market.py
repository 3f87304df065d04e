"""Devnet as a whole, from bringing it up on a fresh node to its actions."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from eth_account import Account

from keeper.devnet import prices
from keeper.devnet.aave import Aave, Listing
from keeper.devnet.aave_v30 import aave_v30_artifacts, deploy_aave_v30
from keeper.devnet.aave_v36 import aave_v36_artifacts, deploy_aave_v36
from keeper.devnet.artifacts import Contract, Deployer, multicall3_creation_code
from keeper.devnet.assets import ASSETS, BY_SYMBOL, LENDER_SUPPLY, PRICE_UNIT
from keeper.devnet.borrowers import Borrower, enter_market, planned_borrowers
from keeper.devnet.executor import deploy_executor
from keeper.devnet.feeds import (
    Feed,
    deploy_feeds,
    deploy_tokens,
    feed_artifacts,
    token_artifact,
)
from keeper.devnet.morpho import Morpho, deploy_morpho, opened_morpho, saved_morpho
from keeper.devnet.node import Node, Transaction
from keeper.devnet.uniswap import Venue, create_pools, deploy_venue, venue_artifacts
from keeper.domain.errors import EnvironmentFault
from keeper.domain.units import BPS

VERSIONS: Final = ("3.6", "3.0")
AAVE_V3: Final = "aave_v3"
MORPHO_BLUE: Final = "morpho_blue"
PROTOCOLS: Final = (AAVE_V3, MORPHO_BLUE)
MULTICALL3: Final = "0xcA11bde05977b3631167028862bE2a173976CA11"
LINE: Final = 10**18
"""A health factor of one."""

WHALE: Final = "whale"
"""The kind of the one borrower that is not made from the seed: the market's lender."""

_MULTICALL3_DEPLOYER: Final = "0x05f32B3cC3888453ff71B01135B34FF8e41263F2"
_MNEMONIC: Final = "test test test test test test test test test test test junk"
_WHALE_USD: Final = 10**12 * PRICE_UNIT
_WHALE_WEI: Final = 10**28
_HOT_WEI: Final = 10 * 10**18
_FOREVER: Final = 2**256 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Account roles. The admin holds all roles and large balances, the owner is the executor's.

    The receiver starts with nothing, the hot account with gas money only.
    """

    admin: str
    owner: str
    receiver: str
    treasury: str
    hot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Devnet:
    """Markets on a local node with the contracts to move them.

    Aave always exists. If it is not requested, it has its lender and no borrowers.
    """

    node: Node
    accounts: Accounts
    aave: Aave
    venue: Venue
    tokens: Mapping[str, Contract]
    feeds: Mapping[str, Feed]
    borrowers: tuple[Borrower, ...]
    executor: str | None
    from_block: int
    morpho: Morpho | None = None

    def set_prices(self, changes: Mapping[str, int], *, leave_pools: bool = False) -> None:
        """
        Move prices (8 decimals, by symbol) and the pools with them, in one block.

        Raises:
            ConfigError: an unknown symbol, a price that is not positive, or one above the cap
                of the ratio adapter.
        """
        prices.set_prices(self.venue, self.tokens, self.feeds, changes, leave_pools=leave_pools)

    def prices(self) -> dict[str, int]:
        """Read the market's price of every asset, 8 decimals."""
        tokens = [self.tokens[asset.symbol].address for asset in ASSETS]
        answers = self.aave.oracle.call("getAssetsPrices", tokens)
        return {asset.symbol: price for asset, price in zip(ASSETS, answers, strict=True)}

    def health_factors(self, block: int | None = None) -> dict[str, int]:
        """Read every borrower's health factor (wad) from the pool."""
        when = "latest" if block is None else hex(block)
        calls = [
            ("eth_call", [self._build_account_read(borrower).as_json(), when])
            for borrower in self.borrowers
        ]
        answers = self.node.batch(calls)
        return {
            borrower.address: int(answer[-64:], 16)
            for borrower, answer in zip(self.borrowers, answers, strict=True)
        }

    def unhealthy(self) -> dict[str, int]:
        """Return the health factors below one, by borrower."""
        return {who: health for who, health in self.health_factors().items() if health < LINE}

    def pass_time(self, seconds: int) -> None:
        """Let time pass on the chain and mine a block after it, with interest accrued."""
        self.node.pass_time(seconds)

    def token(self, symbol: str, account: str) -> int:
        """Read an account's balance of a token, in token units."""
        return int(self.tokens[symbol].call("balanceOf", account))

    def _build_account_read(self, borrower: Borrower) -> Transaction:
        return self.aave.pool.transaction("getUserAccountData", borrower.address)


def hot_key() -> str:
    """Return the devnet's hot private key, the fourth of the well-known test mnemonic."""
    return str(_test_account(3).key.to_0x_hex())


def bring_up(
    node: Node,
    *,
    version: str = "3.6",
    borrowers: int = 32,
    seed: int = 1,
    protocols: Collection[str] = (AAVE_V3,),
) -> Devnet:
    """Deploy everything on a fresh node that mines a block per transaction.

    Each of the ``protocols`` gets ``borrowers`` borrowers.

    Raises:
        EnvironmentFault: a contract cannot be built or deployed.
    """
    node.rpc("anvil_autoImpersonateAccount", [True])
    accounts = _build_accounts()
    deployer = Deployer(node, accounts.admin)
    node.set_balance(accounts.admin, _WHALE_WEI)
    node.set_balance(accounts.hot, _HOT_WEI)
    _deploy_multicall(node)
    tokens = deploy_tokens(deployer)
    feeds = deploy_feeds(deployer)
    from_block = node.block_number()
    deploy = deploy_aave_v36 if version == "3.6" else deploy_aave_v30
    aave = deploy(deployer, Listing(tokens, feeds, accounts.treasury))
    venue = deploy_venue(deployer, tokens["WETH"].address)
    _send_tokens(node, accounts.admin, tokens, [aave.pool, venue.manager, venue.router])
    create_pools(venue, tokens)
    wanted = borrowers if AAVE_V3 in protocols else 0
    planned = (_build_whale(accounts.admin), *planned_borrowers(wanted, seed))
    enter_market(node, aave, tokens, planned[:1])
    enter_market(node, aave, tokens, planned[1:])
    morpho = None
    if MORPHO_BLUE in protocols:
        morpho = deploy_morpho(deployer, tokens, feeds, borrowers=borrowers, seed=seed)
    executor = deploy_executor(
        deployer,
        owner=accounts.owner,
        receiver=accounts.receiver,
        operator=accounts.hot,
        places=(aave.pool.address, venue.factory.address, tokens["WETH"].address),
        more_lenders=(morpho.contract.address,) if morpho else (),
    )
    return Devnet(
        node=node,
        accounts=accounts,
        aave=aave,
        venue=venue,
        tokens=tokens,
        feeds=feeds,
        borrowers=planned,
        executor=executor,
        from_block=from_block,
        morpho=morpho,
    )


def saved(devnet: Devnet) -> dict[str, Any]:
    """Return the devnet as JSON values, enough for ``opened``."""
    aave, venue = devnet.aave, devnet.venue
    return {
        "version": aave.version,
        "from_block": devnet.from_block,
        "executor": devnet.executor,
        "accounts": asdict(devnet.accounts),
        "aave": {
            name: getattr(aave, name).address
            for name in ("provider", "pool", "configurator", "oracle", "data_provider")
        },
        "venue": {
            name: getattr(venue, name).address
            for name in ("factory", "manager", "router", "quoter")
        },
        "tokens": {symbol: token.address for symbol, token in devnet.tokens.items()},
        "feeds": {
            symbol: {
                "source": feed.source.address,
                "aggregator": feed.aggregator.address if feed.aggregator else None,
            }
            for symbol, feed in devnet.feeds.items()
        },
        "borrowers": [asdict(borrower) for borrower in devnet.borrowers],
        "morpho": saved_morpho(devnet.morpho) if devnet.morpho else None,
    }


def opened(node: Node, state: Mapping[str, Any]) -> Devnet:
    """Load the devnet that ``saved`` described, over a node with its state."""
    accounts = Accounts(**state["accounts"])
    deployer = Deployer(node, accounts.admin)
    return Devnet(
        node=node,
        accounts=accounts,
        aave=_load_aave(deployer, state),
        venue=_load_venue(deployer, state["venue"]),
        tokens={
            symbol: deployer.at(token_artifact(symbol), address)
            for symbol, address in state["tokens"].items()
        },
        feeds=_load_feeds(deployer, state["feeds"]),
        borrowers=tuple(Borrower(**each) for each in state["borrowers"]),
        executor=state["executor"],
        from_block=state["from_block"],
        morpho=opened_morpho(deployer, state["morpho"]) if state.get("morpho") else None,
    )


def _load_aave(deployer: Deployer, state: Mapping[str, Any]) -> Aave:
    version = state["version"]
    artifacts = aave_v36_artifacts() if version == "3.6" else aave_v30_artifacts()
    suffix = "Instance" if version == "3.6" else ""
    names = {
        "provider": "PoolAddressesProvider",
        "pool": f"Pool{suffix}",
        "configurator": f"PoolConfigurator{suffix}",
        "oracle": "AaveOracle",
        "data_provider": "AaveProtocolDataProvider",
    }
    parts = {
        part: deployer.at(artifacts[name], state["aave"][part]) for part, name in names.items()
    }
    return Aave(
        version,
        provider=parts["provider"],
        pool=parts["pool"],
        configurator=parts["configurator"],
        oracle=parts["oracle"],
        data_provider=parts["data_provider"],
    )


def _load_venue(deployer: Deployer, addresses: Mapping[str, str]) -> Venue:
    artifacts = venue_artifacts()
    names = {
        "factory": "UniswapV3Factory",
        "manager": "NonfungiblePositionManager",
        "router": "SwapRouter",
        "quoter": "QuoterV2",
    }
    return Venue(
        **{part: deployer.at(artifacts[name], addresses[part]) for part, name in names.items()}
    )


def _load_feeds(
    deployer: Deployer, addresses: Mapping[str, Mapping[str, str | None]]
) -> dict[str, Feed]:
    artifacts = feed_artifacts()
    feeds = {}
    for symbol, places in addresses.items():
        source, aggregator = str(places["source"]), places["aggregator"]
        if aggregator is None:
            feeds[symbol] = Feed(deployer.at(artifacts["RatioCapAdapter"], source), None)
        else:
            feeds[symbol] = Feed(
                deployer.at(artifacts["EACAggregatorProxy"], source),
                deployer.at(artifacts["FluxAggregator"], aggregator),
            )
    return feeds


def _build_accounts() -> Accounts:
    admin, owner, treasury, hot = (str(_test_account(index).address) for index in range(4))
    # Anvil funds the first ten accounts; the receiver is not one of them.
    receiver = str(_test_account(12).address)
    return Accounts(admin=admin, owner=owner, receiver=receiver, treasury=treasury, hot=hot)


def _test_account(index: int) -> Any:  # noqa: ANN401 - eth_account has no types for it
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")


def _deploy_multicall(node: Node) -> None:
    node.set_balance(_MULTICALL3_DEPLOYER, _HOT_WEI)
    address = node.deploy(_MULTICALL3_DEPLOYER, multicall3_creation_code())
    if address != MULTICALL3:
        raise EnvironmentFault(f"Multicall3 came to {address}, not to its canonical address")


def _build_whale(address: str) -> Borrower:
    """Build the lender of all borrowers. Its own debt makes the rates realistic."""
    units = {asset.symbol: asset.units_worth(LENDER_SUPPLY) for asset in ASSETS}
    debt = {asset.symbol: units[asset.symbol] * asset.optimal * 2 // 3 // BPS for asset in ASSETS}
    return Borrower(address=address, kind=WHALE, collateral=units, debt=debt)


def _send_tokens(
    node: Node, whale: str, tokens: Mapping[str, Contract], spenders: list[Contract]
) -> None:
    transactions = []
    for symbol, token in tokens.items():
        amount = BY_SYMBOL[symbol].units_worth(_WHALE_USD)
        if symbol == "WETH":
            transactions.append(token.transaction("deposit", value=amount))
        else:
            transactions.append(token.transaction("mint", whale, amount))
        transactions += [
            token.transaction("approve", spender.address, _FOREVER) for spender in spenders
        ]
    node.send_all(transactions)
