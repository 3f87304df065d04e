"""The devnet's markets as sections of a keeper's settings."""

from keeper.config import Market
from keeper.devnet.market import Devnet


def market_of(devnet: Devnet) -> Market:
    """Build the Aave market's section."""
    return Market.model_validate(
        {
            "protocol": "aave_v3",
            "addresses_provider": devnet.aave.provider.address,
            "from_block": devnet.from_block,
        }
    )
