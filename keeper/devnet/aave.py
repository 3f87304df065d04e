"""Parts common to both versions of Aave v3 on the devnet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.devnet.artifacts import Artifact, Contract, Deployer
from keeper.devnet.assets import (
    ASSETS,
    FLASH_LOAN_PREMIUM,
    LIQUIDATION_PROTOCOL_FEE,
    PRICE_UNIT,
    Asset,
)
from keeper.devnet.feeds import ZERO_ADDRESS, Feed

MARKET_ID: Final = "Devnet"
PROVIDER_ID: Final = 1
RESERVES_PER_CALL: Final = 3


@dataclass(frozen=True, slots=True)
class Aave:
    """Deployed market. ``others`` holds the contracts that a keeper does not start from."""

    version: str
    provider: Contract
    pool: Contract
    configurator: Contract
    oracle: Contract
    data_provider: Contract
    others: dict[str, Contract] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """Assets of a new market, with tokens and feeds by symbol, and the fee receiver."""

    tokens: Mapping[str, Contract]
    feeds: Mapping[str, Feed]
    treasury: str


def deploy_provider(
    deployer: Deployer, artifacts: Mapping[str, Artifact], listing: Listing
) -> tuple[Contract, Contract]:
    """Create the addresses provider, registry, roles and oracle. Returns provider and oracle."""
    admin = deployer.sender
    provider = deployer.deploy(artifacts["PoolAddressesProvider"], MARKET_ID, admin)
    registry = deployer.deploy(artifacts["PoolAddressesProviderRegistry"], admin)
    registry.send("registerAddressesProvider", provider.address, PROVIDER_ID)
    provider.send("setACLAdmin", admin)
    roles = deployer.deploy(artifacts["ACLManager"], provider.address)
    provider.send("setACLManager", roles.address)
    for grant in ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin", "addAssetListingAdmin"):
        roles.send(grant, admin)
    oracle = deployer.deploy(
        artifacts["AaveOracle"],
        provider.address,
        [listing.tokens[asset.symbol].address for asset in ASSETS],
        [listing.feeds[asset.symbol].source.address for asset in ASSETS],
        ZERO_ADDRESS,
        ZERO_ADDRESS,
        PRICE_UNIT,
    )
    provider.send("setPriceOracle", oracle.address)
    return provider, oracle


def configure_reserve(configurator: Contract, asset: Asset, token: str) -> None:
    """Set one reserve's risk parameters, the same in both versions."""
    terms = (asset.ltv, asset.threshold, asset.bonus)
    configurator.send("configureReserveAsCollateral", token, *terms)
    configurator.send("setReserveBorrowing", token, True)  # noqa: FBT003 - an ABI argument
    configurator.send("setReserveFlashLoaning", token, True)  # noqa: FBT003 - an ABI argument
    configurator.send("setReserveFactor", token, asset.reserve_factor)
    configurator.send("setLiquidationProtocolFee", token, LIQUIDATION_PROTOCOL_FEE)


def configure_premium(configurator: Contract, function: str) -> None:
    """Set the flash loan premium."""
    configurator.send(function, FLASH_LOAN_PREMIUM)
