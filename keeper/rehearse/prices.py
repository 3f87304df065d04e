"""Recorded price paths, and the blocks of a virtual chain along them.

Prices are linear between two records. A wick is a price that falls for two consecutive blocks and
recovers in the third, without any trade.
"""

import csv
import io
import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from keeper.domain.errors import ConfigError
from keeper.domain.units import BPS, USD_E8, BaseCurrency, Timestamp

TIME: Final = "timestamp_utc"
BLOCK_SECONDS: Final = 12
WICK_BLOCKS: Final = 2
LOOK_BLOCKS: Final = 3
"""Consecutive blocks of a look, unless a policy's guard needs more."""
MOST_USD: Final = 10**12
"""Above any valid price."""

Prices = Mapping[str, BaseCurrency]
"""Dollars, in 1e-8, by symbol."""


@dataclass(frozen=True, slots=True)
class PricePath:
    """Prices by symbol at increasing times. All records have the same symbols."""

    times: tuple[Timestamp, ...]
    prices: tuple[Prices, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The assets, in the file's order."""
        return tuple(self.prices[0])

    def part(self, after: int, lasting: int) -> "PricePath":
        """Return the records of ``lasting`` seconds, from ``after`` seconds after the first one.

        Raises:
            ConfigError: fewer than two records are in it.
        """
        start = self.times[0] + after
        kept = [at for at, when in enumerate(self.times) if start <= when <= start + lasting]
        if len(kept) < 2:  # noqa: PLR2004 - a line has two ends
            raise ConfigError("that part of the path has fewer than two records")
        return PricePath(
            tuple(self.times[at] for at in kept), tuple(self.prices[at] for at in kept)
        )

    def at(self, when: int) -> Prices:
        """Return the prices at a time, linear between two records, rounded down."""
        last = len(self.times) - 1
        at = min(max(bisect_right(self.times, when) - 1, 0), last - 1)
        start, end = self.times[at], self.times[at + 1]
        done = min(max(when - start, 0), end - start)
        before, after = self.prices[at], self.prices[at + 1]
        return {
            symbol: BaseCurrency(
                (before[symbol] * (end - start - done) + after[symbol] * done) // (end - start)
            )
            for symbol in before
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wick:
    """A false price of a symbol for two blocks from a time on."""

    symbol: str
    at: Timestamp
    off_bps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One block of the virtual chain. ``wick`` marks a false price.

    ``again`` marks a block that only repeats the previous one, to confirm a breach.
    """

    number: int
    timestamp: Timestamp
    prices: Prices
    wick: bool = False
    again: bool = False


def parsed(text: str, name: str) -> PricePath:
    """Parse a CSV with ``timestamp_utc`` and a column of dollars for each asset.

    Raises:
        ConfigError: not such a file. The error names the line.
    """
    rows = csv.DictReader(io.StringIO(text))
    symbols = [one for one in rows.fieldnames or () if one != TIME]
    if TIME not in (rows.fieldnames or ()) or not symbols:
        raise ConfigError(
            f"{name} has no column {TIME}, or no other",
            hint=f"its first line is {TIME},WETH,USDC,...",
        )
    if len(set(symbols)) < len(symbols):
        twice = next(one for one in symbols if symbols.count(one) > 1)
        raise ConfigError(f"{name} has the column {twice} twice", hint="keep one of them")
    times, prices = list[Timestamp](), list[Prices]()
    for line, row in enumerate(rows, start=2):
        if None in row:
            raise ConfigError(
                f"{name}:{line} has more values than there are columns",
                hint="part them by commas, and write no commas in figures",
            )
        times.append(_parse_time(row[TIME], f"{name}:{line}"))
        prices.append({one: _parse_price(row[one], f"{name}:{line} {one}") for one in symbols})
        if len(times) > 1 and times[-1] <= times[-2]:
            raise ConfigError(
                f"{name}:{line} is not later than the line before it",
                hint="sort the lines by time, and keep one for each",
            )
    if len(times) < 2:  # noqa: PLR2004 - a line has two ends
        raise ConfigError(f"{name} has fewer than two records", hint="a path needs two of them")
    return PricePath(tuple(times), tuple(prices))


def wicks(
    path: PricePath, symbols: Sequence[str], count: int, off_bps: int, seed: int
) -> list[Wick]:
    """Draw ``count`` wicks at random times and of random symbols, reproducible by seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    first, last = path.times[0], path.times[-1]
    found = [
        Wick(
            symbol=chance.choice(list(symbols)),
            at=Timestamp(chance.randrange(first, last)),
            off_bps=off_bps,
        )
        for _ in range(count)
    ]
    return sorted(found, key=lambda one: (one.at, one.symbol))


def moments(
    path: PricePath, times: Iterable[int], false: Sequence[Wick], look_blocks: int = LOOK_BLOCKS
) -> Iterator[Moment]:
    """Yield the blocks of all looks and wicks, in order.

    A look has some consecutive blocks, so that a lasting breach is confirmed. A wick has two false
    blocks and one true block after them.
    """
    looks = {one // BLOCK_SECONDS for one in times}
    blocks = {one + more for one in looks for more in range(look_blocks)}
    wicked = dict[int, Wick]()
    for wick in false:
        start = wick.at // BLOCK_SECONDS
        wicked.update((start + more, wick) for more in range(WICK_BLOCKS))
        looks |= {start + more for more in range(WICK_BLOCKS + 1)}
    first = path.times[0] // BLOCK_SECONDS
    for block in sorted(blocks | looks):
        when = Timestamp(block * BLOCK_SECONDS)
        prices, found = path.at(when), wicked.get(block)
        if found is not None:
            off = prices[found.symbol] * (BPS - found.off_bps) // BPS
            prices = {**prices, found.symbol: BaseCurrency(off)}
        yield Moment(
            number=block - first + 1,
            timestamp=when,
            prices=prices,
            wick=found is not None,
            again=block not in looks,
        )


def _parse_time(text: str | None, where: str) -> Timestamp:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        raise ConfigError(
            f"{where}: {text!r} is not a time", hint="write it as 2021-05-19T13:00:00Z"
        ) from None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return Timestamp(int(aware.timestamp()))


def _parse_price(text: str | None, where: str) -> BaseCurrency:
    try:
        dollars = Decimal(text or "")
    except InvalidOperation:
        raise ConfigError(
            f"{where}: {text!r} is not a price" if text else f"{where}: there is no price",
            hint="dollars with a point, as in 1805.38",
        ) from None
    if not dollars.is_finite() or not 0 < dollars <= MOST_USD:
        raise ConfigError(
            f"{where}: {text!r} is not a price above zero and up to 10^12",
            hint="dollars with a point, as in 1805.38; leave the line out if nothing is known",
        )
    return BaseCurrency(max(1, int(dollars * USD_E8)))
