"""Watch over competing pending transactions beside a running node."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from keeper.chain.pending_block import fetch_pending
from keeper.composition.session import Session
from keeper.domain.units import Bps, Wei
from keeper.execution.rivals import Rivals
from keeper.execution.submitter import NodeSubmitter

LOOKS_PER_BLOCK: Final = 8
LEAST_SECONDS: Final = 0.1
MOST_SECONDS: Final = 1.5


@contextlib.asynccontextmanager
async def racing(session: Session, submitter: object) -> AsyncIterator[None]:
    """Watch for rivals of pending transactions while the context lasts, if anything is sent."""
    share = session.settings.policy.race_bid_bps
    if not isinstance(submitter, NodeSubmitter) or not share:
        yield
        return
    sending = submitter

    async def bump(nonce: int, tip: Wei) -> None:
        await sending.bump(nonce, tip=tip)

    rivals = Rivals(
        sender=sending.signer.address,
        share_bps=Bps(share),
        bound=sending.tracker.bound,
        fetch=partial(fetch_pending, session.reader.rpc),
        bump=bump,
    )
    block = session.settings.chain.block_time_ms / 1_000
    pause = max(LEAST_SECONDS, min(block / LOOKS_PER_BLOCK, MOST_SECONDS))
    looking = asyncio.create_task(_watch_rivals(rivals, pause), name="look-for-rivals")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def _watch_rivals(rivals: Rivals, pause: float) -> None:
    while True:
        await asyncio.sleep(pause)
        await rivals.look()
