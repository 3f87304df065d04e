"""Tokens and their price sources: Chainlink aggregators behind proxies, one ratio adapter."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from keeper.devnet.artifacts import Artifact, Contract, Deployer, compiled, packaged
from keeper.devnet.assets import (
    ASSETS,
    NO_RETURN_ASSET,
    PRICE_DECIMALS,
    RATIO_ASSET,
    RATIO_BASE,
    RATIO_CAP,
    Asset,
)
from keeper.devnet.toolchain import ROOT

ZERO_ADDRESS: Final = "0x" + "00" * 20
SOURCES: Final = ROOT / "contracts" / "devnet"

_SETTINGS: Final = {"optimizer": {"enabled": True, "runs": 200}, "evmVersion": "shanghai"}
_LARGEST_ANSWER: Final = 10**27
_RATIO_UNIT: Final = 10**18


@dataclass(frozen=True, slots=True)
class Feed:
    """Price source. The market reads ``source``, and updates go to ``aggregator`` or adapter."""

    source: Contract
    aggregator: Contract | None


@cache
def own_contracts() -> dict[str, Artifact]:
    """Compile the devnet's own small contracts."""
    names = ("RatioCapAdapter", "NoReturnToken", "WildFeed")
    files: dict[str, Path] = {f"{name}.sol": SOURCES / f"{name}.sol" for name in names}
    return compiled(files, _SETTINGS, {name: f"{name}.sol" for name in names})


def feed_artifacts() -> dict[str, Artifact]:
    """Return the artifacts of price sources."""
    names = ("FluxAggregator", "EACAggregatorProxy")
    chainlink = {name: packaged(f"@chainlink/abi/v0.6/{name}.json") for name in names}
    return {**chainlink, "RatioCapAdapter": own_contracts()["RatioCapAdapter"]}


def token_artifact(symbol: str) -> Artifact:
    """Return a token's artifact, WETH9, a token without return values, or a mintable one."""
    base = "@aave/core-v3/artifacts/contracts/"
    if symbol == "WETH":
        return packaged(base + "dependencies/weth/WETH9.sol/WETH9.json")
    if symbol == NO_RETURN_ASSET:
        return own_contracts()["NoReturnToken"]
    return packaged(base + "mocks/tokens/MintableERC20.sol/MintableERC20.json")


def deploy_tokens(deployer: Deployer) -> dict[str, Contract]:
    """Create every token of the market."""
    tokens = {}
    for asset in ASSETS:
        named = () if asset.symbol == "WETH" else (asset.symbol, asset.symbol, asset.decimals)
        tokens[asset.symbol] = deployer.deploy(token_artifact(asset.symbol), *named)
    return tokens


def deploy_feeds(deployer: Deployer) -> dict[str, Feed]:
    """Create every price source, each with its first answer."""
    artifacts = feed_artifacts()
    feeds: dict[str, Feed] = {}
    for asset in ASSETS:
        if asset.symbol != RATIO_ASSET:
            feeds[asset.symbol] = _deploy_aggregator(deployer, artifacts, asset)
    base = feeds[RATIO_BASE].source
    adapter = deployer.deploy(
        artifacts["RatioCapAdapter"], base.address, _compute_first_ratio(), RATIO_CAP
    )
    feeds[RATIO_ASSET] = Feed(adapter, None)
    return feeds


def _deploy_aggregator(deployer: Deployer, artifacts: dict[str, Artifact], asset: Asset) -> Feed:
    aggregator = deployer.deploy(
        artifacts["FluxAggregator"],
        ZERO_ADDRESS,
        0,
        0,
        ZERO_ADDRESS,
        1,
        _LARGEST_ANSWER,
        PRICE_DECIMALS,
        f"{asset.symbol} / USD",
    )
    admin = deployer.sender
    aggregator.send("changeOracles", [], [admin], [admin], 1, 1, 0)
    aggregator.send("submit", 1, asset.price)
    proxy = deployer.deploy(artifacts["EACAggregatorProxy"], aggregator.address, ZERO_ADDRESS)
    return Feed(proxy, aggregator)


def _compute_first_ratio() -> int:
    prices = {asset.symbol: asset.price for asset in ASSETS}
    return prices[RATIO_ASSET] * _RATIO_UNIT // prices[RATIO_BASE]
