"""What a market's prices rest on at one block: the feeds' own words, as plain facts."""

from dataclasses import dataclass

from keeper.domain.units import Address, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A feed's newest round, as ``latestRoundData`` states it; ``answer`` is signed."""

    round_id: int
    answer: int
    updated_at: Timestamp
    answered_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    One price of a market and where it comes from.

    ``price`` is per whole token in the unit that all of the market's readings share, None where
    the source fails. ``feed`` is the contract that states the age of the answer; where none is
    known (``round`` is None) it is the source itself. ``minimum`` and ``maximum`` are the bounds
    that the aggregator cuts its answers to, None where they are not known. ``decimals`` are the
    feed's, ``expected_decimals`` what the market takes them for; None where nothing is compared.
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
    """What another source says of a token, in the readings' unit; None where it fails."""

    source: str
    price: int | None
