"""The settings of a Uniswap v3 venue, and the venue made from them."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from keeper.chain.abi import checksum
from keeper.domain.units import Address
from keeper.ports import ChainReader
from keeper.quotes.uniswap_v3.venue import UniswapV3Venue

SettingsAddress = Annotated[str, AfterValidator(checksum)]


class Options(BaseModel):
    """
    One ``[[venue]]`` of kind ``uniswap_v3``.

    ``via`` are tokens a route may pass through. ``from_block`` is where the
    factory's logs begin: they name the fee tiers beyond the common ones, and are not read
    without it on a chain that is not young.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    factory: SettingsAddress
    quoter: SettingsAddress
    router: SettingsAddress | None = None
    via: tuple[SettingsAddress, ...] = ()
    from_block: int | None = Field(default=None, ge=0)


def build(options: Options, *, reader: ChainReader) -> UniswapV3Venue:
    """Return the venue. It sends no request until it is used."""
    return UniswapV3Venue(
        reader,
        factory=Address(options.factory),
        quoter=Address(options.quoter),
        via=[Address(token) for token in options.via],
        from_block=options.from_block,
    )
