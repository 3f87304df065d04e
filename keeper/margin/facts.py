"""What one block says, as far as margin calls and restraint go by it: frozen, replayable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure
from keeper.domain.oracle import Reading, SecondPrice
from keeper.domain.parity import Subject
from keeper.domain.units import Address, BlockHash, MarketKey, Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """
    One market's prices.

    ``usd_per_base`` (numerator, denominator) makes 1e-8 dollars of base currency; None where no
    dollar price is known.
    """

    readings: tuple[Reading, ...] = ()
    seconds: Mapping[Address, tuple[SecondPrice, ...]] = field(default_factory=dict)
    usd_per_base: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFacts:
    """
    One block.

    ``wall`` is this machine's clock (Unix seconds). ``fork`` is the newest block that this one's
    chain has in common with what was seen before; None where this one just follows.
    ``accounts`` are those below the outermost threshold and those that are in a tier; of whom is
    in a tier and missing, the market says that nothing is owed. ``exposures`` are of those for
    whom it matters. ``liquidated`` are those of whom the chain has a liquidation since their
    episode began; ``unanswered`` is set where it could not be asked, and then nothing is closed.
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
    """Return one entry for each block, with the markets and accounts of all of its entries."""
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
