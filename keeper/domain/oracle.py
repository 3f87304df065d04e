"""Price feed data of a market at one block, as the feeds state them."""

from dataclasses import dataclass

from keeper.domain.units import Address, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A feed's newest round, as ``latestRoundData`` states it. ``answer`` is signed."""

    round_id: int
    answer: int
    updated_at: Timestamp
    answered_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One price of a market with its source.

    ``price`` is per whole token in the unit that all of the market's readings share, None where the
    source fails. ``feed`` is the contract that states the age of the answer, or the source itself
    if ``round`` is None. ``minimum`` and ``maximum`` are the bounds to which the aggregator clamps
    its answers, None if unknown. ``decimals`` are the feed's, ``expected_decimals`` those that the
    market assumes, None if not compared.
    """

    token: Address
    symbol: str
    price: int | None
    feed: Address
    round: Round | None = None
    minimum: int | None = None
    maximum: int | None = None
    decimals: int | None = None
    expected_decimals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondPrice:
    """A token's price from a second source, in the readings' unit. None if it fails."""

    source: str
    price: int | None
