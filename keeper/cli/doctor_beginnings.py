"""Doctor's findings on the first block of a market's history."""

from typing import Final

from keeper.abilities import HasOrigin
from keeper.chain.creation import LogSearch
from keeper.cli.findings import Finding, fail, ok, warn
from keeper.cli.here import Here
from keeper.composition.beginnings import find_kept_creation
from keeper.domain.errors import ChainError, ConfigError
from keeper.ports import LendingMarket

MOST_QUERIES: Final = 50
"""The most log queries about those who borrowed before the configured block."""


async def beginning_findings(place: Here, market: LendingMarket, name: str) -> list[Finding]:
    """Compare a discovered market's first block with the creation of its contract."""
    if market.from_block > place.head.number:
        return [fail(name, f"from_block {market.from_block} is in the future", "lower it")]
    if not isinstance(market, HasOrigin):
        return []
    try:
        creation = await find_kept_creation(place.settings, place.reader, market.key, market)
    except (ChainError, ConfigError) as error:
        return [warn(name, f"its first block cannot be looked for: {error}", error.hint)]
    if creation.block is None:
        return [await _check_by_logs(place, market, name, creation.reason)]
    if market.from_block <= creation.block:
        text = f"history from block {market.from_block}, contract made in block {creation.block}"
        return [ok(name, text)]
    return [await _check_late_start(place, market, name, creation.block)]


async def _check_late_start(place: Here, market: LendingMarket, name: str, created: int) -> Finding:
    """Return whether accounts borrowed between the contract's creation and the configured block."""
    search = LogSearch(place.reader, market.history_filter, MOST_QUERIES)
    block = await search.first(created, market.from_block - 1)
    late = f"from_block {market.from_block} is after the contract's creation in block {created}"
    figures = {"created": str(created), "from_block": str(market.from_block)}
    if block is not None:
        text = f"{late}, and an account borrowed in block {block}: such accounts are not known"
        return warn(name, text, f"set from_block = {created}", figures)
    if search.gave_up:
        text = f"{late}; the node does not say whether anybody borrowed before it"
        return warn(name, text, f"set from_block = {created}", figures)
    return ok(name, f"{late}; nobody borrowed before it", figures)


async def _check_by_logs(place: Here, market: LendingMarket, name: str, reason: str) -> Finding:
    """Return whether accounts borrowed before the configured block, as far as logs show it."""
    search = LogSearch(place.reader, market.history_filter, MOST_QUERIES)
    block = await search.first(0, market.from_block - 1) if market.from_block else None
    if block is not None:
        text = f"from_block {market.from_block} is late: an account borrowed in block {block}"
        return warn(name, text, f"set from_block = {block}, or lower")
    text = f"history from block {market.from_block}; the contract's creation is not found"
    return ok(name, f"{text}: {reason}")
