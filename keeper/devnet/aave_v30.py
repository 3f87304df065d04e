"""Deployment of Aave v3.0 from its published artifacts, with stable debt and eModes per asset.

Source: ``@aave/core-v3`` 1.19.3, order as in aave/aave-v3-deploy.
"""

from collections.abc import Mapping
from typing import Final

from keeper.devnet.aave import (
    RESERVES_PER_CALL,
    Aave,
    Listing,
    configure_premium,
    configure_reserve,
    deploy_provider,
)
from keeper.devnet.artifacts import Artifact, Contract, Deployer, packaged
from keeper.devnet.assets import (
    ASSETS,
    BY_SYMBOL,
    E_MODE,
    E_MODE_ASSETS,
    E_MODE_BONUS,
    E_MODE_LABEL,
    E_MODE_LTV,
    E_MODE_THRESHOLD,
    Asset,
)
from keeper.devnet.feeds import ZERO_ADDRESS

_ROOT: Final = "@aave/core-v3/artifacts/contracts"
_FOLDERS: Final = {
    "protocol/pool": ("Pool", "PoolConfigurator", "DefaultReserveInterestRateStrategy"),
    "protocol/tokenization": ("AToken", "StableDebtToken", "VariableDebtToken"),
    "protocol/libraries/logic": (
        "BorrowLogic",
        "BridgeLogic",
        "EModeLogic",
        "LiquidationLogic",
        "PoolLogic",
        "SupplyLogic",
        "ConfiguratorLogic",
        "FlashLoanLogic",
    ),
    "protocol/configuration": (
        "PoolAddressesProvider",
        "PoolAddressesProviderRegistry",
        "ACLManager",
        "PriceOracleSentinel",
    ),
    "misc": ("AaveOracle", "AaveProtocolDataProvider"),
}
_LIBRARIES: Final = (
    "BorrowLogic",
    "BridgeLogic",
    "EModeLogic",
    "LiquidationLogic",
    "PoolLogic",
    "SupplyLogic",
)
_RAY_PER_BPS: Final = 10**23
_STABLE_TERMS: Final = tuple(bps * _RAY_PER_BPS for bps in (50, 6_000, 100, 800, 2_000))


def aave_v30_artifacts() -> dict[str, Artifact]:
    """Load every contract of the version."""
    return {
        name: packaged(f"{_ROOT}/{folder}/{name}.sol/{name}.json")
        for folder, names in _FOLDERS.items()
        for name in names
    }


def deploy_aave_v30(deployer: Deployer, listing: Listing) -> Aave:
    """Create the market and list every asset, with the deployer in all roles."""
    artifacts = aave_v30_artifacts()
    provider, oracle = deploy_provider(deployer, artifacts, listing)
    pool, configurator = _deploy_pool(deployer, artifacts, provider)
    data_provider = deployer.deploy(artifacts["AaveProtocolDataProvider"], provider.address)
    provider.send("setPoolDataProvider", data_provider.address)
    configure_premium(configurator, "updateFlashloanPremiumTotal")
    implementations = [
        deployer.deploy(artifacts[name], pool.address).address
        for name in ("AToken", "StableDebtToken", "VariableDebtToken")
    ]
    rows = []
    for asset in ASSETS:
        rates = _deploy_rates(deployer, artifacts, provider, asset)
        underlying = listing.tokens[asset.symbol].address
        rows.append(_reserve(asset, [*implementations, rates, underlying, listing.treasury]))
    for start in range(0, len(rows), RESERVES_PER_CALL):
        configurator.send("initReserves", rows[start : start + RESERVES_PER_CALL])
    for symbol, token in listing.tokens.items():
        configure_reserve(configurator, BY_SYMBOL[symbol], token.address)
        stable = BY_SYMBOL[symbol].stable_rate
        configurator.send("setReserveStableRateBorrowing", token.address, stable)
    _set_e_mode(configurator, listing)
    return Aave("3.0", provider, pool, configurator, oracle, data_provider)


def list_reserve_v30(deployer: Deployer, aave: Aave, asset: Asset, token: str) -> None:
    """List one more asset, with token implementations of its own, as governance would."""
    artifacts = aave_v30_artifacts()
    implementations = [
        deployer.deploy(artifacts[name], aave.pool.address).address
        for name in ("AToken", "StableDebtToken", "VariableDebtToken")
    ]
    rates = _deploy_rates(deployer, artifacts, aave.provider, asset)
    row = _reserve(asset, [*implementations, rates, token, deployer.sender])
    aave.configurator.send("initReserves", [row])
    configure_reserve(aave.configurator, asset, token)


def _deploy_pool(
    deployer: Deployer, artifacts: Mapping[str, Artifact], provider: Contract
) -> tuple[Contract, Contract]:
    libraries = {name: deployer.deploy(artifacts[name]).address for name in _LIBRARIES}
    flash_loans = deployer.deploy(artifacts["FlashLoanLogic"], libraries=libraries)
    libraries["FlashLoanLogic"] = flash_loans.address
    pool = deployer.deploy(artifacts["Pool"], provider.address, libraries=libraries)
    logic = {"ConfiguratorLogic": deployer.deploy(artifacts["ConfiguratorLogic"]).address}
    configurator = deployer.deploy(artifacts["PoolConfigurator"], libraries=logic)
    provider.send("setPoolImpl", pool.address)
    provider.send("setPoolConfiguratorImpl", configurator.address)
    return (
        deployer.at(artifacts["Pool"], provider.call("getPool")),
        deployer.at(artifacts["PoolConfigurator"], provider.call("getPoolConfigurator")),
    )


def _deploy_rates(
    deployer: Deployer, artifacts: Mapping[str, Artifact], provider: Contract, asset: Asset
) -> str:
    variable = [bps * _RAY_PER_BPS for bps in (asset.optimal, 0, asset.slope1, asset.slope2)]
    strategy = artifacts["DefaultReserveInterestRateStrategy"]
    return deployer.deploy(strategy, provider.address, *variable, *_STABLE_TERMS).address


def _reserve(asset: Asset, addresses: list[str]) -> tuple[object, ...]:
    """Return one ``ConfiguratorInputTypes.InitReserveInput``."""
    a_token, stable_debt, variable_debt, rates, token, treasury = addresses
    symbol = asset.symbol
    names = (
        f"Aave {symbol}",
        f"a{symbol}",
        f"Aave Variable Debt {symbol}",
        f"variableDebt{symbol}",
        f"Aave Stable Debt {symbol}",
        f"stableDebt{symbol}",
    )
    implementations = (a_token, stable_debt, variable_debt, asset.decimals)
    return (*implementations, rates, token, treasury, ZERO_ADDRESS, *names, b"")


def _set_e_mode(configurator: Contract, listing: Listing) -> None:
    terms = (E_MODE_LTV, E_MODE_THRESHOLD, E_MODE_BONUS)
    configurator.send("setEModeCategory", E_MODE, *terms, ZERO_ADDRESS, E_MODE_LABEL)
    for symbol in E_MODE_ASSETS:
        configurator.send("setAssetEModeCategory", listing.tokens[symbol].address, E_MODE)
