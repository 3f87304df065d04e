"""Comparison of a market's historical borrowers with the book."""

from collections.abc import Callable, Sequence

from keeper.abilities import HasOrigin
from keeper.book.follower import Progress
from keeper.composition.beginnings import find_kept_creation
from keeper.composition.session import Session, session_over
from keeper.config import Settings
from keeper.domain.account import AccountHealth
from keeper.domain.errors import ChainError, ConfigError
from keeper.domain.head import Head
from keeper.ports import LendingMarket, MarketSnapshot


async def find_missing(
    session: Session,
    head: Head,
    snapshots: Sequence[MarketSnapshot],
    progress: Callable[[Progress], None],
) -> tuple[AccountHealth, ...]:
    """Read every market's whole history and return indebted accounts missing from the book.

    It starts with the creation of the market's contract if that is before ``from_block``.

    Raises:
        ChainError: a history, or its accounts, cannot be read.
    """
    fresh = session_over(await _extend_to_creation(session), session.reader)
    await fresh.follower.start(head, progress)
    read = await fresh.follower.advance(head)
    for market, reason in fresh.follower.quarantined.items():
        raise ChainError(f"the history of {market} cannot be read: {reason}")
    known = {snapshot.market: snapshot for snapshot in snapshots}
    return tuple(
        health
        for snapshot in read
        for health in snapshot.accounts()
        if snapshot.market not in known or known[snapshot.market].account(health.account) is None
    )


async def _extend_to_creation(session: Session) -> Settings:
    """Return the settings with each market's history from its contract's creation on."""
    settings = session.settings
    markets = [
        configured.model_copy(update={"from_block": await _find_first_block(session, market)})
        for configured, market in zip(settings.market, session.markets, strict=True)
    ]
    return settings.model_copy(update={"market": tuple(markets)})


async def _find_first_block(session: Session, market: LendingMarket) -> int:
    if not isinstance(market, HasOrigin):
        return market.from_block
    try:
        creation = await find_kept_creation(session.settings, session.reader, market.key, market)
    except (ChainError, ConfigError):
        return market.from_block
    return min(market.from_block, market.from_block if creation.block is None else creation.block)
