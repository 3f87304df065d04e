"""Settings of a Morpho Blue deployment and of the markets to follow."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from keeper.chain.abi import checksum
from keeper.domain.units import Address
from keeper.protocols.morpho_blue.model import MarketId, Params

_ID_DIGITS = 66


def _parse_address(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("an address is text: 0x and 40 hex digits")  # noqa: TRY004 - pydantic's
    return checksum(value)


def _parse_market_id(value: object) -> str:
    text = value.lower() if isinstance(value, str) else ""
    if len(text) != _ID_DIGITS or not text.startswith("0x"):
        raise ValueError("a market's id is 0x and 64 hex digits")
    return "0x" + bytes.fromhex(text[2:]).hex()


AddressField = Annotated[str, BeforeValidator(_parse_address)]
MarketIdField = Annotated[str, BeforeValidator(_parse_market_id)]


class Options(BaseModel):
    """A ``[[market]]`` section of this protocol.

    A market is followed if it matches every given list. ``markets`` has its id, ``loan_tokens`` and
    ``collateral_tokens`` its tokens, ``irms`` its rate model, ``oracles`` its oracle,
    ``oracle_factories`` the factory of its oracle. Markets that are created later are followed if
    the lists match. Any user can create a market with any token and oracle, and ``all`` follows
    every one of them.

    ``usd_feeds`` maps tokens to Chainlink-shaped price sources in US dollars. A market's oracle
    only compares its two tokens. The value of a profit needs the feed of the loan token. Without
    one a market is watched but nothing in it is liquidated. The wrapped native coin belongs there
    too if no native price feed is set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    morpho: AddressField
    all: bool = False
    markets: tuple[MarketIdField, ...] = ()
    loan_tokens: tuple[AddressField, ...] = ()
    collateral_tokens: tuple[AddressField, ...] = ()
    irms: tuple[AddressField, ...] = ()
    oracles: tuple[AddressField, ...] = ()
    oracle_factories: tuple[AddressField, ...] = ()
    usd_feeds: Mapping[AddressField, AddressField] = {}

    @model_validator(mode="after")
    def _validate_selection(self) -> Self:
        if self.all == any(self._lists):
            raise ValueError(
                "say which markets to follow: markets, loan_tokens, collateral_tokens, irms,"
                " oracles or oracle_factories; or all = true, and none of them"
            )
        return self

    @property
    def _lists(self) -> tuple[tuple[str, ...], ...]:
        return (
            self.markets,
            self.loan_tokens,
            self.collateral_tokens,
            self.irms,
            self.oracles,
            self.oracle_factories,
        )

    @property
    def stranger_risk(self) -> str:
        """Explanation of how a stranger's market gets into the section. Empty if none can."""
        if self.markets:
            return ""
        if not (self.oracles or self.oracle_factories):
            return (
                "anybody can add a market with an oracle of their own, which may work in"
                " simulations only: no market, oracle or oracle factory is named"
            )
        if not (self.loan_tokens and self.collateral_tokens):
            return (
                "anybody can add a market with a token of their own, which may work in"
                " simulations only: the loan tokens or the collateral tokens are not named"
            )
        return ""

    @property
    def feeds(self) -> dict[Address, Address]:
        """The price source in US dollars of each token that has one."""
        return {Address(token): Address(feed) for token, feed in self.usd_feeds.items()}

    @property
    def listed(self) -> tuple[MarketId, ...]:
        """The markets that are listed by id."""
        return tuple(MarketId(one) for one in self.markets)

    @property
    def factories(self) -> tuple[Address, ...]:
        """The factories of accepted oracles."""
        return tuple(Address(one) for one in self.oracle_factories)

    def wants(self, params: Params) -> bool:
        """Return whether the market matches every list, except for the oracle factories."""
        pairs = (
            (self.markets, params.id),
            (self.loan_tokens, params.loan_token),
            (self.collateral_tokens, params.collateral_token),
            (self.irms, params.irm),
            (self.oracles, params.oracle),
        )
        return all(not wanted or value in wanted for wanted, value in pairs)
