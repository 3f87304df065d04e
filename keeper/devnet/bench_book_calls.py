"""Work before planning with thousands of liquidatable accounts in one block, in ``guardian``.

The limit is all of the block's margin calls, persisted in a real file, for which the policy's
answer would have to wait if all calls came first.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time
from typing import Any, Final

from keeper.devnet.bench_book import Row, Wanted
from keeper.domain.units import WAD, Address, BaseCurrency, MarketKey, Wad
from keeper.margin.settings import GUARDIAN
from keeper.protocols.aave_v3.snapshot import AaveSnapshot
from keeper.stages.margincalls import MarginCalls
from keeper.stages.margincalls import Wanted as Advised
from keeper.storage import database
from keeper.synthetic.aave import aave_book

TARGET: Final = 0.25
MOST: Final = 30_000
"""Accounts: the file must hold a call of every second one of them."""
POSITIONS: Final = 4
FALL: Final = 62
"""Per cent of their prices that is left of all but dollars."""
DOLLAR: Final = range(90_000_000, 111_000_000)


@dataclass(slots=True)
class _Book:
    """A book that follows nothing."""

    fork: int | None = None
    quarantined: Mapping[MarketKey, str] = field(default_factory=dict)


def measured(wanted: Wanted) -> Sequence[Row]:
    """Measure the processor seconds of the policy's answer, and of all calls, once."""
    with tempfile.TemporaryDirectory() as folder:
        return [asyncio.run(_measure_calls(wanted, Path(folder) / "keeper.sqlite"))]


async def _measure_calls(wanted: Wanted, path: Path) -> Row:
    book = aave_book(min(wanted.accounts, MOST), wanted.seed, positions=POSITIONS)
    kept = database.opened(path)
    calls = _build_calls(kept)
    await calls.told(book.snapshot.head, [book.snapshot])
    crashed = book.after(12, _lower_prices(book.snapshot))
    past = len(crashed.liquidatable())
    start = process_time()
    await calls.restraint(crashed.head, [crashed])
    asked = process_time()
    await calls.told(crashed.head, [crashed])
    told = process_time()
    kept.close()
    return Row(
        name=f"the policy's answer on {past:,} accounts past the line in one block",
        unit="s",
        measured=round(asked - start, 2),
        limit_name="that and everybody's calls, kept",
        limit=round(told - start, 2),
        ratio=round((asked - start) / (told - start), 3),
        target=TARGET,
        parts={"accounts in a tier": len(calls.state.standings)},
    )


def _lower_prices(snapshot: AaveSnapshot) -> dict[Address, BaseCurrency]:
    return {
        token: BaseCurrency(one.price * FALL // 100)
        for token, one in snapshot.prices.items()
        if one.price not in DOLLAR
    }


def _build_calls(kept: database.Database) -> MarginCalls:
    nothing: Any = None  # no chain is asked
    book: Any = _Book()
    return MarginCalls(
        settings=replace(GUARDIAN, both_clocks=False),
        database=kept,
        reader=nothing,
        book=book,
        markets=[],
        valuer=nothing,
        wanted=Advised(target=Wad(126 * WAD // 100), holds_seconds=86_400),
        emit=lambda _: None,
    )
