"""Start block of each market's history, where the settings do not state it."""

import asyncio
import logging
from typing import Final

from keeper.abilities import HasOrigin
from keeper.book.kept import KeptOrigin
from keeper.book.origins import keep_origin, kept_origins
from keeper.chain.creation import Creation, find_creation
from keeper.chain.reader import NodeReader, connect
from keeper.composition.wiring import load_market
from keeper.config import Chain, Settings
from keeper.domain.errors import ChainError, ConfigError, KeeperError
from keeper.domain.head import Head
from keeper.domain.reads import Origin
from keeper.domain.units import MarketKey

log = logging.getLogger(__name__)

KEPT: Final = "kept"
"""Source of a creation that was persisted earlier."""


async def find_first_blocks(settings: Settings, reader: NodeReader) -> list[int | None]:
    """Find the creation block of each market without ``from_block``.

    None if it is set or cannot be found, in which case the history is read from block 0.
    """
    blocks = list[int | None]()
    for market in settings.market:
        adapter = None if market.from_block else load_market(market, reader)
        if adapter is None or not isinstance(adapter, HasOrigin):
            blocks.append(None)
            continue
        try:
            creation = await find_kept_creation(settings, reader, adapter.key, adapter)
        except (ChainError, ConfigError) as error:  # reported when the market is read
            creation = Creation(block=None, reason=str(error))
        _report_creation(adapter.key, creation)
        blocks.append(creation.block)
    return blocks


def _report_creation(key: MarketKey, creation: Creation) -> None:
    if creation.block is None:
        log.warning(
            "first_block_not_found market=%s reason=%s: its history is read from block 0; set the"
            " market's from_block",
            key,
            creation.reason,
        )
    elif creation.source != KEPT:
        log.warning(
            "first_block_found market=%s block=%d by=%s", key, creation.block, creation.source
        )


async def find_kept_creation(
    settings: Settings, reader: NodeReader, key: MarketKey, market: HasOrigin
) -> Creation:
    """Return a market contract's creation from the book's file, else find and persist it.

    Raises:
        ConfigError: there is no such market at the address.
        ChainError: no endpoint answers.
    """
    path, chain = settings.book_path, settings.chain
    kept = (await asyncio.to_thread(kept_origins, path, chain.id)).get(key)
    if kept is not None and await _is_canonical(reader, kept):
        return Creation(block=kept.number, source=KEPT)
    head = await reader.head()
    creation = await find_creation_by_any(chain, reader, await market.origin(head), head)
    if creation.block is not None:
        first = await reader.head(creation.block)
        origin = KeptOrigin(number=first.number, hash=first.hash)
        await asyncio.to_thread(keep_origin, path, chain.id, key, origin)
    return creation


async def _is_canonical(reader: NodeReader, origin: KeptOrigin) -> bool:
    try:
        return (await reader.head(origin.number)).hash == origin.hash
    except ChainError:
        return False


async def find_creation_by_any(
    chain: Chain, reader: NodeReader, origin: Origin, head: Head
) -> Creation:
    """Find a creation through the first capable endpoint, as not all keep old state and logs."""
    addresses = chain.endpoint_addresses
    if len(addresses) == 1:
        return await find_creation(reader, origin, head)
    creation = Creation(block=None, reason="no endpoint answers")
    for address in addresses:
        try:
            async with connect([address], multicall=chain.multicall, chain_id=chain.id) as own:
                creation = await find_creation(own, origin, head)
        except KeeperError:
            continue
        if creation.block is not None:
            return creation
    return creation
