"""The ``[[market]]`` sections that ``keeper init`` writes, with the chain's data of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeper.abilities import HasOrigin
from keeper.chain.creation import Creation, find_creation
from keeper.chain.reader import NodeReader
from keeper.composition.wiring import load_market
from keeper.config import Market
from keeper.domain.errors import ConfigError
from keeper.domain.units import Address

_MORPHO_CHOICE = """\
# say which markets to follow: one of these, or several
# markets = ["0x..."]                   # by id
# loan_tokens = ["0x..."]
# collateral_tokens = ["0x..."]
# oracle_factories = ["0x..."]          # anybody can make a market with an oracle of their own
# all = true                            # every market, those of strangers, too
# [market.usd_feeds]                    # what a profit is worth: a token's price source in dollars
# "0x..." = "0x..."
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMarket:
    """A market at an address, with the creation of its contract."""

    protocol: str
    address: Address
    creation: Creation

    @property
    def line(self) -> str:
        """The result as text."""
        where = f"{self.protocol} {self.address}"
        if self.creation.block is None:
            return f"{where}: its first block was not found: {self.creation.reason}"
        return f"{where}: first block {self.creation.block}, by {self.creation.source}"


async def find_markets(
    reader: NodeReader, providers: Sequence[Address], deployments: Sequence[Address]
) -> list[FoundMarket]:
    """Find the markets at these addresses.

    Raises:
        ConfigError: there is no such market at one of them.
    """
    head = await reader.head()
    wanted = [("aave_v3", one, {"addresses_provider": one}) for one in providers]
    options = list[tuple[str, Address, Mapping[str, object]]](wanted)
    options += [("morpho_blue", one, {"morpho": one, "all": True}) for one in deployments]
    found = list[FoundMarket]()
    for protocol, address, option in options:
        market = load_market(Market.model_validate({"protocol": protocol, **option}), reader)
        if not isinstance(market, HasOrigin):
            raise ConfigError(f"{protocol} does not say where its history begins")
        creation = await find_creation(reader, await market.origin(head), head)
        found.append(FoundMarket(protocol=protocol, address=address, creation=creation))
    return found


def market_sections(markets: Sequence[FoundMarket]) -> str:
    """Format the markets as sections of the settings."""
    return "\n".join(_format_section(market) for market in markets)


def _format_section(market: FoundMarket) -> str:
    block, reason = market.creation.block, market.creation.reason
    is_aave = market.protocol == "aave_v3"
    name = "addresses_provider" if is_aave else "morpho"
    first = (
        f"# from_block = ...                      # not found: {reason}"
        if block is None
        else f"from_block = {block}".ljust(40) + "# the block of its contract's creation"
    )
    lines = ["[[market]]", f'protocol = "{market.protocol}"', f'{name} = "{market.address}"', first]
    text = "\n".join([*lines, '# name = "..."', '# executor = "main"', ""])
    return text if is_aave else text + _MORPHO_CHOICE
