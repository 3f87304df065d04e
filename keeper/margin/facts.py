"""Inputs of margin calls and restraint from one block. Frozen and replayable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure
from keeper.domain.oracle import Reading, SecondPrice
from keeper.domain.parity import Subject
from keeper.domain.units import Address, BlockHash, MarketKey, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """Prices of one market.

    ``seconds`` are the prices of second sources. ``usd_per_base`` (numerator, denominator) converts
    base currency to 1e-8 dollars. None where no dollar price is known.
    """

    readings: tuple[Reading, ...] = ()
    seconds: Mapping[Address, tuple[SecondPrice, ...]] = field(default_factory=dict)
    usd_per_base: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFacts:
    """Facts of one block.

    ``wall`` is this machine's clock (Unix seconds). ``fork`` is the newest block that this chain
    shares with the blocks seen before, None where the block follows directly. ``accounts`` are
    those below the outermost threshold and those in a tier. A missing account in a tier owes
    nothing. ``exposures`` are present only where they matter. ``liquidated`` are the accounts with
    a liquidation on chain since their episode began. ``unanswered`` means that this could not be
    read, and that no episode ends.
    """

    number: int
    hash: BlockHash
    timestamp: Timestamp
    wall: int
    fork: int | None = None
    markets: Mapping[MarketKey, MarketFacts] = field(default_factory=dict)
    failed: Mapping[MarketKey, str] = field(default_factory=dict)
    accounts: Mapping[Subject, AccountHealth] = field(default_factory=dict)
    exposures: Mapping[Subject, Exposure] = field(default_factory=dict)
    liquidated: frozenset[Subject] = frozenset()
    unanswered: bool = False


def merged_by_block(facts: Sequence[BlockFacts]) -> list[BlockFacts]:
    """Merge the entries of each block into one, with all their markets and accounts."""
    merged: dict[BlockHash, BlockFacts] = {}
    for entry in facts:
        known = merged.get(entry.hash)
        merged[entry.hash] = (
            entry
            if known is None
            else replace(
                known,
                markets={**known.markets, **entry.markets},
                accounts={**known.accounts, **entry.accounts},
                exposures={**known.exposures, **entry.exposures},
            )
        )
    return list(merged.values())
