"""Facts of a block about acted-on accounts, stored in the same transaction as their nonces."""

import json
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from keeper.audit.canonical import canonical, restored
from keeper.domain.plan import News
from keeper.domain.units import BlockHash
from keeper.margin.facts import BlockFacts
from keeper.storage.schema import acted

_NEW: Final = insert(acted)  # built once, since a send waits for it


def news_of(facts: BlockFacts) -> News:
    """Encode a block's facts for storage."""
    return News(block_hash=facts.hash, document=canonical(facts))


def keep(connection: Connection, news: News) -> None:
    """Persist a block's facts until ``forget``."""
    connection.execute(_NEW, {"block_hash": news.block_hash, "document": news.document})


def kept(connection: Connection) -> list[BlockFacts]:
    """Load the stored facts, oldest first."""
    documents = connection.execute(select(acted.c.document).order_by(acted.c.id)).scalars()
    return [restored(BlockFacts, json.loads(one)) for one in documents]


def forget(connection: Connection, block_hash: BlockHash) -> None:
    """Delete a block's facts, once the margin state includes them."""
    connection.execute(delete(acted).where(acted.c.block_hash == block_hash))
