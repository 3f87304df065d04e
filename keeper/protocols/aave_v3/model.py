"""Immutable structure of a market, and its contracts' state at one block."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from keeper.domain.oracle import Round
from keeper.domain.units import Address, BaseCurrency, Bps, MarketKey, Ray, Timestamp, TokenUnits
from keeper.protocols.aave_v3.rulebook import Rules

ZERO_ADDRESS: Final = Address("0x" + "0" * 40)

_SIXTEEN_BITS: Final = 0xFFFF
_EIGHT_BITS: Final = 0xFF
_CAP_BITS: Final = 2**36 - 1


@dataclass(frozen=True, slots=True)
class Configuration:
    """A reserve's configuration word.

    Source: ``ReserveConfiguration`` of core-v3 1.19.3 and of aave-v3-origin at fd1fbd91. Bits
    168-175 (the eMode category) are used up to 3.1 only.
    """

    word: int

    def _get_bit(self, at: int) -> bool:
        return bool(self.word >> at & 1)

    @property
    def ltv(self) -> Bps:
        """The most that may be borrowed against the asset."""
        return Bps(self.word & _SIXTEEN_BITS)

    @property
    def liquidation_threshold(self) -> Bps:
        """The asset's weight in the health factor."""
        return Bps(self.word >> 16 & _SIXTEEN_BITS)

    @property
    def liquidation_bonus(self) -> Bps:
        """The value seized per value repaid, principal included."""
        return Bps(self.word >> 32 & _SIXTEEN_BITS)

    @property
    def decimals(self) -> int:
        """The decimals that the pool uses."""
        return self.word >> 48 & _EIGHT_BITS

    @property
    def active(self) -> bool:
        """Whether the reserve can be used at all."""
        return self._get_bit(56)

    @property
    def frozen(self) -> bool:
        """Whether supplying and borrowing are stopped (liquidations are not)."""
        return self._get_bit(57)

    @property
    def borrowing_enabled(self) -> bool:
        """Whether the asset can be borrowed."""
        return self._get_bit(58)

    @property
    def paused(self) -> bool:
        """Whether all actions including liquidations are stopped."""
        return self._get_bit(60)

    @property
    def borrowable_in_isolation(self) -> bool:
        """Whether the asset can be borrowed against isolated collateral."""
        return self._get_bit(61)

    @property
    def siloed(self) -> bool:
        """Whether its borrowers must not borrow anything else."""
        return self._get_bit(62)

    @property
    def flash_loans_enabled(self) -> bool:
        """Whether the asset can be borrowed for one transaction."""
        return self._get_bit(63)

    @property
    def reserve_factor(self) -> Bps:
        """The treasury's share of the interest."""
        return Bps(self.word >> 64 & _SIXTEEN_BITS)

    @property
    def supply_cap(self) -> int:
        """The most that may be supplied, in whole tokens. 0 means no limit."""
        return self.word >> 116 & _CAP_BITS

    @property
    def protocol_fee(self) -> Bps:
        """The protocol's share of the bonus."""
        return Bps(self.word >> 152 & _SIXTEEN_BITS)

    @property
    def emode_category(self) -> int:
        """The one eMode category of the asset (3.0 and 3.1)."""
        return self.word >> 168 & _EIGHT_BITS

    @property
    def debt_ceiling(self) -> int:
        """The most debt against it in isolation, with two decimals. 0 means not isolated."""
        return self.word >> 212 & (2**40 - 1)

    @property
    def virtual_accounting(self) -> bool:
        """Whether the pool counts the underlying itself (3.1 to 3.3, always from 3.4)."""
        return self._get_bit(252)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSource:
    """Source of a price.

    ``feed`` is the contract with the ``latestRoundData`` that states the age of the answer, after
    unwrapping adapters. None means that the age is unknown. ``aggregator`` is behind it, and clamps
    its answers to ``minimum`` and ``maximum`` if it states them.
    """

    source: Address
    feed: Address | None = None
    aggregator: Address | None = None
    decimals: int | None = None
    minimum: int | None = None
    maximum: int | None = None

    @property
    def age(self) -> str:
        """Text on whether the age of the price is known."""
        return "age unknown" if self.feed is None else f"feed {self.feed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """One asset of the pool and its tokens. ``identity`` is its place in the bitmaps."""

    identity: int
    token: Address
    symbol: str
    a_token: Address
    variable_token: Address
    stable_token: Address | None
    price_source: PriceSource
    foreign_debt_token: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """All properties of a market that only its administrators change."""

    key: MarketKey
    provider: Address
    pool: Address
    oracle: Address
    configurator: Address
    data_provider: Address
    sentinel: Address | None
    revision: int
    rules: Rules
    supported: bool
    base_unit: BaseCurrency
    reserves: tuple[Reserve, ...]
    categories: tuple[int, ...]
    category_sources: Mapping[int, Address]
    flash_flag: bool

    def tokens(self) -> tuple[Address, ...]:
        """Return every token contract that holds balances."""
        return tuple(
            token
            for reserve in self.reserves
            for token in (reserve.a_token, reserve.variable_token, reserve.stable_token)
            if token is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveState:
    """The pool's data of a reserve at one block. ``price`` is None if its source failed.

    ``scaled_supply``, ``scaled_debt`` (variable) and ``accrued_to_treasury`` exclude interest. They
    are None if the token did not answer. ``round`` is the feed's newest round. If a known feed does
    not answer it has number 0 and time 0.
    """

    reserve: Reserve
    configuration: Configuration
    liquidity_index: Ray
    liquidity_rate: Ray
    variable_index: Ray
    variable_rate: Ray
    last_update: Timestamp
    price: BaseCurrency | None
    grace_until: Timestamp
    available: TokenUnits
    round: Round | None = None
    scaled_supply: int | None = None
    scaled_debt: int | None = None
    accrued_to_treasury: int = 0

    @property
    def answered_at(self) -> Timestamp | None:
        """The time of the feed's answer. None if unknown."""
        return self.round.updated_at if self.round is not None and self.round.updated_at else None

    @property
    def unit(self) -> int:
        """One whole token."""
        return int(10**self.configuration.decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One eMode.

    ``collateral`` is the bitmap of reserves that its parameters apply to (from 3.2), ``has_price``
    and ``price`` its own price source and that source's answer (up to 3.1). ``borrowable`` and
    ``ltv_zero`` do not affect liquidations.
    """

    identity: int
    ltv: Bps
    liquidation_threshold: Bps
    liquidation_bonus: Bps
    collateral: int = 0
    borrowable: int = 0
    ltv_zero: int = 0
    has_price: bool = False
    price: BaseCurrency | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """An account's balances in one reserve, before interest."""

    scaled_supply: int = 0
    scaled_debt: int = 0
    stable_principal: int = 0
    stable_rate: int = 0
    stable_since: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the contracts store it, with two bits per reserve, an eMode and holdings."""

    flags: int
    category: int
    holdings: Mapping[int, Holding]

    def is_collateral(self, identity: int) -> bool:
        """Return whether the reserve backs the account's debt."""
        return bool(self.flags >> (2 * identity + 1) & 1)

    def is_borrowing(self, identity: int) -> bool:
        """Return whether the account has debt in the reserve."""
        return bool(self.flags >> (2 * identity) & 1)

    @property
    def owes(self) -> bool:
        """Whether the account has debt according to its flags and balances."""
        return any(
            self.is_borrowing(at)
            and (
                (h := self.holdings.get(at)) is None or h.scaled_debt > 0 or h.stable_principal > 0
            )
            for at in self.flagged()
        )

    def flagged(self) -> list[int]:
        """Return the reserves that the account uses, in the pool's order."""
        found, flags, at = list[int](), self.flags, 0
        while flags:
            if flags & 3:
                found.append(at)
            flags, at = flags >> 2, at + 1
        return found


@lru_cache(maxsize=65_536)
def used(flags: int) -> tuple[tuple[int, bool, bool], ...]:
    """Return each used reserve, with its flags for collateral and debt."""
    anyone = Account(flags, 0, {})
    found = anyone.flagged()
    return tuple((at, anyone.is_collateral(at), anyone.is_borrowing(at)) for at in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """A market at one block without its accounts."""

    structure: Structure
    reserves: Mapping[int, ReserveState]
    categories: Mapping[int, Category]
    liquidations_allowed: bool
    flash_premium: Bps
