"""Listing of a further reserve on a running market, with token, price and liquidity."""

from keeper.devnet.aave_v30 import list_reserve_v30
from keeper.devnet.aave_v36 import list_reserve_v36
from keeper.devnet.artifacts import Contract, Deployer
from keeper.devnet.assets import PRICE_UNIT, Asset
from keeper.devnet.feeds import token_artifact
from keeper.devnet.market import Devnet

_PLENTY = 10**9
_FOREVER = 2**256 - 1


def list_reserve(devnet: Devnet, symbol: str) -> Contract:
    """Create a token, list it at LINK's price, supply it and return it.

    It needs a block per transaction.
    """
    deployer = Deployer(devnet.node, devnet.accounts.admin)
    asset = Asset(
        symbol=symbol,
        decimals=18,
        price=14 * PRICE_UNIT,
        ltv=6_500,
        threshold=7_000,
        bonus=10_750,
    )
    token = deployer.deploy(token_artifact("LINK"), symbol, symbol, asset.decimals)
    source = devnet.feeds["LINK"].source.address
    devnet.aave.oracle.send("setAssetSources", [token.address], [source])
    listed = list_reserve_v36 if devnet.aave.version == "3.6" else list_reserve_v30
    listed(deployer, devnet.aave, asset, token.address)
    token.send("mint", devnet.accounts.admin, 10 * _PLENTY * asset.unit)
    token.send("approve", devnet.aave.pool.address, _FOREVER)
    lender = devnet.accounts.admin
    devnet.aave.pool.send("supply", token.address, _PLENTY * asset.unit, lender, 0)
    return token
