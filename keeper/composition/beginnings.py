"""The block in which each market's history begins, where the settings do not say it."""

import asyncio
import logging

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


async def find_first_blocks(settings: Settings, reader: NodeReader) -> list[int | None]:
    """
    Return the block of the creation of each market whose ``from_block`` is not set.

    None where it is set, or cannot be found: the history is read from block 0 then.
    """
    if all(market.from_block for market in settings.market):
        return [None for _ in settings.market]
    known = await asyncio.to_thread(kept_origins, settings.book_path, settings.chain.id)
    blocks = list[int | None]()
    for market in settings.market:
        block = None
        if not market.from_block:
            adapter = load_market(market, reader)
            kept = known.get(adapter.key)
            if kept is not None and await _is_canonical(reader, kept):
                block = kept.number
            elif isinstance(adapter, HasOrigin):
                block = await _found(settings, reader, adapter.key, adapter)
        blocks.append(block)
    return blocks


async def _is_canonical(reader: NodeReader, origin: KeptOrigin) -> bool:
    try:
        return (await reader.head(origin.number)).hash == origin.hash
    except ChainError:
        return False


async def _found(
    settings: Settings, reader: NodeReader, key: MarketKey, market: HasOrigin
) -> int | None:
    """Look for the block, say what was found, and keep it."""
    try:
        head = await reader.head()
        origin = await market.origin(head)
        creation = await creation_by_any(settings.chain, reader, origin, head)
        if creation.block is None:
            log.warning(
                "first_block_not_found market=%s reason=%s: its history is read from block 0;"
                " set the market's from_block",
                key,
                creation.reason,
            )
            return None
        first = await reader.head(creation.block)
    except (ChainError, ConfigError) as error:
        log.warning("first_block_not_found market=%s reason=%s", key, error)
        return None
    log.warning("first_block_found market=%s block=%d by=%s", key, creation.block, creation.source)
    kept = KeptOrigin(number=first.number, hash=first.hash)
    await asyncio.to_thread(keep_origin, settings.book_path, settings.chain.id, key, kept)
    return creation.block


async def creation_by_any(chain: Chain, reader: NodeReader, origin: Origin, head: Head) -> Creation:
    """Return what the first endpoint says that can tell: not each keeps old state and logs."""
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
