"""
Deploy Aave v3.6, compiled from its published sources.

Order, settings and remappings follow aave-dao/aave-v3-origin v3.6.0
(``foundry.toml``, ``AaveV3PoolProcedure`` and its neighbours).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.devnet.aave import (
    RESERVES_PER_CALL,
    Aave,
    Listing,
    configure_premium,
    configure_reserve,
    deploy_provider,
)
from keeper.devnet.artifacts import Artifact, Contract, Deployer, compiled
from keeper.devnet.assets import (
    ASSETS,
    BY_SYMBOL,
    E_MODE,
    E_MODE_ASSETS,
    E_MODE_BONUS,
    E_MODE_LABEL,
    E_MODE_LTV,
    E_MODE_THRESHOLD,
    RATIO_ASSET,
    RATIO_BASE,
    Asset,
)
from keeper.devnet.toolchain import ensure_packages

_ROOT: Final = "@aave-dao/aave-v3-origin/src/contracts"
_FOLDERS: Final = {
    "instances": (
        "PoolInstance",
        "PoolConfiguratorInstance",
        "ATokenInstance",
        "VariableDebtTokenInstance",
    ),
    "protocol/libraries/logic": (
        "BorrowLogic",
        "LiquidationLogic",
        "PoolLogic",
        "SupplyLogic",
        "ConfiguratorLogic",
        "FlashLoanLogic",
    ),
    "protocol/libraries/helpers": ("Errors",),
    "protocol/configuration": (
        "PoolAddressesProvider",
        "PoolAddressesProviderRegistry",
        "ACLManager",
    ),
    "misc": ("AaveOracle", "DefaultReserveInterestRateStrategyV2", "PriceOracleSentinel"),
    "helpers": ("AaveProtocolDataProvider", "LiquidationDataProvider"),
    "rewards": ("EmissionManager", "RewardsController"),
}
_LIBRARIES: Final = ("BorrowLogic", "LiquidationLogic", "PoolLogic", "SupplyLogic")
_SETTINGS: Final[dict[str, Any]] = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "shanghai",
    "metadata": {"bytecodeHash": "none"},
    "remappings": [
        "src/=@aave-dao/aave-v3-origin/src/",
        "solidity-utils/=@bgd-labs/solidity-utils/src/",
        "openzeppelin-contracts/contracts/=@openzeppelin/contracts/",
        "openzeppelin-contracts-upgradeable/contracts/=@openzeppelin/contracts-upgradeable/",
    ],
}


@cache
def aave_v36_artifacts() -> dict[str, Artifact]:
    """Compile every contract of the version, which takes long on the first call."""
    wanted = {
        name: f"{_ROOT}/{folder}/{name}.sol" for folder, names in _FOLDERS.items() for name in names
    }
    modules = ensure_packages()
    return compiled({unit: modules / unit for unit in wanted.values()}, _SETTINGS, wanted)


def deploy_aave_v36(deployer: Deployer, listing: Listing) -> Aave:
    """Create the market and list every asset, with the deployer in all roles."""
    artifacts = aave_v36_artifacts()
    provider, oracle = deploy_provider(deployer, artifacts, listing)
    pool, configurator = _deploy_pool(deployer, artifacts, provider)
    rewards = _deploy_rewards(deployer, artifacts, provider)
    data_provider = deployer.deploy(artifacts["AaveProtocolDataProvider"], provider.address)
    provider.send("setPoolDataProvider", data_provider.address)
    configure_premium(configurator, "updateFlashloanPremium")
    a_token = deployer.deploy(
        artifacts["ATokenInstance"], pool.address, rewards.address, listing.treasury
    )
    debt_token = deployer.deploy(
        artifacts["VariableDebtTokenInstance"], pool.address, rewards.address
    )
    rows = [
        _reserve(asset, listing.tokens[asset.symbol].address, a_token.address, debt_token.address)
        for asset in ASSETS
    ]
    for start in range(0, len(rows), RESERVES_PER_CALL):
        configurator.send("initReserves", rows[start : start + RESERVES_PER_CALL])
    for symbol, token in listing.tokens.items():
        configure_reserve(configurator, BY_SYMBOL[symbol], token.address)
    _set_e_mode(configurator, listing)
    liquidations = deployer.deploy(
        artifacts["LiquidationDataProvider"], pool.address, provider.address
    )
    others = {"rewards_controller": rewards, "liquidation_data_provider": liquidations}
    return Aave("3.6", provider, pool, configurator, oracle, data_provider, others)


def list_reserve_v36(deployer: Deployer, aave: Aave, asset: Asset, token: str) -> None:
    """List one more asset, with token implementations of its own, as governance would."""
    artifacts, pool = aave_v36_artifacts(), aave.pool.address
    rewards = aave.others["rewards_controller"].address
    a_token = deployer.deploy(artifacts["ATokenInstance"], pool, rewards, deployer.sender)
    debt_token = deployer.deploy(artifacts["VariableDebtTokenInstance"], pool, rewards)
    aave.configurator.send(
        "initReserves", [_reserve(asset, token, a_token.address, debt_token.address)]
    )
    configure_reserve(aave.configurator, asset, token)


def _deploy_pool(
    deployer: Deployer, artifacts: Mapping[str, Artifact], provider: Contract
) -> tuple[Contract, Contract]:
    rates = deployer.deploy(artifacts["DefaultReserveInterestRateStrategyV2"], provider.address)
    libraries = {name: deployer.deploy(artifacts[name]).address for name in _LIBRARIES}
    flash_loans = deployer.deploy(artifacts["FlashLoanLogic"], libraries=libraries)
    libraries["FlashLoanLogic"] = flash_loans.address
    pool = deployer.deploy(
        artifacts["PoolInstance"], provider.address, rates.address, libraries=libraries
    )
    logic = {"ConfiguratorLogic": deployer.deploy(artifacts["ConfiguratorLogic"]).address}
    configurator = deployer.deploy(artifacts["PoolConfiguratorInstance"], libraries=logic)
    provider.send("setPoolImpl", pool.address)
    provider.send("setPoolConfiguratorImpl", configurator.address)
    return (
        deployer.at(artifacts["PoolInstance"], provider.call("getPool")),
        deployer.at(artifacts["PoolConfiguratorInstance"], provider.call("getPoolConfigurator")),
    )


def _deploy_rewards(
    deployer: Deployer, artifacts: Mapping[str, Artifact], provider: Contract
) -> Contract:
    emissions = deployer.deploy(artifacts["EmissionManager"], deployer.sender)
    controller = deployer.deploy(artifacts["RewardsController"], emissions.address)
    key = keccak(text="INCENTIVES_CONTROLLER")
    provider.send("setAddressAsProxy", key, controller.address)
    proxy = deployer.at(artifacts["RewardsController"], provider.call("getAddress", key))
    emissions.send("setRewardsController", proxy.address)
    return proxy


def _reserve(asset: Asset, token: str, a_token: str, debt_token: str) -> tuple[object, ...]:
    """Return one ``ConfiguratorInputTypes.InitReserveInput``."""
    symbol = asset.symbol
    names = (
        f"Aave {symbol}",
        f"a{symbol}",
        f"Aave Variable Debt {symbol}",
        f"variableDebt{symbol}",
    )
    rates = encode(
        ["(uint16,uint32,uint32,uint32)"], [(asset.optimal, 0, asset.slope1, asset.slope2)]
    )
    return (a_token, debt_token, token, *names, b"", rates)


def _set_e_mode(configurator: Contract, listing: Listing) -> None:
    terms = (E_MODE_LTV, E_MODE_THRESHOLD, E_MODE_BONUS)
    configurator.send("setEModeCategory", E_MODE, *terms, E_MODE_LABEL)
    allowed = True
    for symbol in E_MODE_ASSETS:
        token = listing.tokens[symbol].address
        configurator.send("setAssetCollateralInEMode", token, E_MODE, allowed)
    for symbol in (RATIO_BASE, RATIO_ASSET):
        token = listing.tokens[symbol].address
        configurator.send("setAssetBorrowableInEMode", token, E_MODE, allowed)
