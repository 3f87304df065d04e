"""Immutable state of the contracts of a Morpho Blue deployment."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NewType

from eth_hash.auto import keccak

from keeper.chain.abi import encoded
from keeper.domain.units import Address, MarketKey, Timestamp, TokenUnits, Wad

MarketId = NewType("MarketId", str)
"""``keccak256(abi.encode(marketParams))`` as 0x-prefixed lower-case hex."""

Shares = NewType("Shares", int)
"""A share of a market's supply or debt; assets per share only grow, but for bad debt."""

OraclePrice = NewType("OraclePrice", int)
"""Loan units for one unit of collateral, times 1e36."""

PARAMS_TYPE: Final = "(address,address,address,address,uint256)"
ZERO_ADDRESS: Final = Address("0x" + "00" * 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The permanent identity of a market. ``lltv`` is a wad."""

    loan_token: Address
    collateral_token: Address
    oracle: Address
    irm: Address
    lltv: Wad

    @property
    def values(self) -> tuple[Address, Address, Address, Address, Wad]:
        """The parameters in the contract's order."""
        return (self.loan_token, self.collateral_token, self.oracle, self.irm, self.lltv)

    @property
    def id(self) -> MarketId:
        """The market's id. Source: ``MarketParamsLib.id``."""
        return MarketId("0x" + keccak(encoded((PARAMS_TYPE,), (self.values,))).hex())


class Irm(enum.Enum):
    """Kind of a market's rate model."""

    NONE = "none"  # the zero address: there is no interest
    ADAPTIVE_CURVE = "adaptive_curve"  # answered as AdaptiveCurveIrm does when it was asked
    UNKNOWN = "unknown"  # another rate model: the debt cannot be told ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as its contract describes itself."""

    address: Address
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One isolated market. ``key`` is its market key."""

    id: MarketId
    key: MarketKey
    params: Params
    loan: Token
    collateral: Token
    irm: Irm

    @property
    def name(self) -> str:
        """The market's short display name."""
        return f"{self.collateral.symbol}/{self.loan.symbol} {self.id[:10]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A Chainlink-shaped price source in US dollars."""

    source: Address
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """The deployment's markets and tokens that the settings select."""

    morpho: Address
    markets: Mapping[MarketId, Market]
    feeds: Mapping[Address, Feed]
    tokens: Mapping[Address, Token]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A market's totals at ``last_update``, with the IRM's own state.

    ``fee`` is the share of the interest (wad) that becomes supply shares of the fee's recipient.
    ``rate_at_target`` is a wad per second, 0 before the first borrow.
    """

    supply_assets: TokenUnits
    supply_shares: Shares
    borrow_assets: TokenUnits
    borrow_shares: Shares
    last_update: Timestamp
    fee: Wad
    rate_at_target: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Debt and collateral of one account in one market."""

    borrow_shares: Shares
    collateral: TokenUnits
