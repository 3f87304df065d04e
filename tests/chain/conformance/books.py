"""The adapter as the keeper has it: made from settings, in a book that follows the chain."""

from keeper.book.follower import Follower
from keeper.composition.wiring import load_market
from keeper.config import Market
from keeper.domain.opportunity import Window
from keeper.domain.units import UINT256_MAX
from tests.chain.conformance.world import PRICE_UNIT

DELAY, DEADLINE = 12, 600


async def followed(reader, *worlds):
    """Return a book that was made from nothing, and what it says of the newest block."""
    markets = [load_market(Market.model_validate(one.options()), reader) for one in worlds]
    book = Follower(reader, markets)
    head = await reader.head()
    await book.start(head)
    return book, await book.advance(head)


async def advanced(book, reader):
    """Move a book to the newest block."""
    return await book.advance(await reader.head())


def window(taken):
    """Return when a plan that is made now may land."""
    now = taken.head.timestamp
    return Window(earliest=now + DELAY, deadline=now + DEADLINE)


def state(snapshots):
    """Return all that a market says, as far as somebody borrows there."""
    return {one.market: said_by(one) for one in snapshots if one.accounts()}


def said_by(one):
    healths = one.accounts()
    return (
        tuple(healths),
        {each.account: one.balances(each.account) for each in healths},
        dict(one.prices),
        dict(one.liquidity),
        {each.account: offers(one, each.account) for each in healths if each.liquidatable},
    )


def offers(one, account):
    """Return the account's offers by their figures, and the refusals."""
    found, refusals = one.opportunities(account, window(one))
    everything = [(each.outcome(UINT256_MAX), each.step(UINT256_MAX)) for each in found]
    return [(each.spend_token, each.receive_token, each.partial) for each in found], (
        everything,
        refusals,
    )


def unhealthy(snapshots):
    """Return who can be liquidated, by market and account."""
    return {
        (one.market, each.account): one
        for one in snapshots
        for each in one.accounts()
        if each.liquidatable
    }


def fall(world, step, *, leave_pools=True):
    """Let prices fall by one of the world's steps."""
    prices = {symbol: dollars * PRICE_UNIT for symbol, dollars in world.falls[step].items()}
    world.devnet.set_prices(prices, leave_pools=leave_pools)
