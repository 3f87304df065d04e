"""The book against the contracts' own answers: honest books agree, a doctored one is found."""

from dataclasses import replace

from keeper.book.follower import Follower
from keeper.book.parity import SAMPLE, audited_book
from keeper.columns.block import Side
from keeper.columns.words import packed
from keeper.composition.wiring import load_market
from keeper.config import Market
from keeper.domain.decision import SkipReason
from tests.chain.conformance.books import advanced, fall, followed, unhealthy, window

MONTH = 30 * 24 * 3_600


def doctored(market, key, account):
    """Change one balance of the book, a little, behind everybody's back."""
    books = market.books if hasattr(market, "books") else {key: market.columns}
    book = next(one for identity, one in books.items() if key.endswith(identity))
    address = packed([account])
    block = book.block(book.index.rows_of(address))
    sides = book.codes.side_of()[block.code]
    leg = next(at for at, side in enumerate(sides) if side == Side.OWED and block.words[at, 0])
    words = block.words.copy()
    words[leg, 0] += words[leg, 0] // 1_000
    book.put(address, replace(block, words=words))


async def followed_market(reader, world):
    """Return a book of one market with the market itself."""
    market = load_market(Market.model_validate(world.options()), reader)
    book = Follower(reader, [market])
    head = await reader.head()
    await book.start(head)
    return market, book, await book.advance(head)


async def differing(reader, snapshots):
    """Return how many accounts were compared, and what differs."""
    audit = await audited_book(reader, snapshots[0].head, snapshots)
    return audit.accounts, audit.differences


async def test_an_honest_book_agrees_through_blocks_interest_and_prices(world, reader):
    """The whole of it, to the wei, after everything that changes what an account is worth."""
    book, snapshots = await followed(reader, world)
    counts = set()
    for step in range(len(world.falls)):
        for transactions in world.actions()[step : step + 1]:
            for one in transactions:
                world.devnet.node.send(one)
        world.devnet.pass_time(MONTH)
        fall(world, step)
        snapshots = await advanced(book, reader)
        accounts, found = await differing(reader, snapshots)
        counts.add(accounts)
        assert found == ()

    assert min(counts) >= len(world.people())
    assert book.parity.differed == 0
    assert not book.parity.doubted


async def test_the_sample_comes_round_to_everybody(world, reader):
    """A constant number a block; the whole book after as many blocks as that takes."""
    book, snapshots = await followed(reader, world)
    everybody = {
        (one.market, each) for one in snapshots for each in one.everyone() if one.is_auditable(each)
    }
    rounds = -(-len(everybody) // SAMPLE)
    asked = [{one.subject for one in book.parity.questions()} for _ in range(rounds)]

    assert {len(one) for one in asked} == {SAMPLE}
    assert set().union(*asked) == everybody


async def test_a_doctored_balance_is_found_read_again_and_not_acted_on(world, reader):
    """Found within one round, refused with its reason meanwhile, and right in the next block."""
    market, book, _ = await followed_market(reader, world)
    fall(world, 1)
    before = unhealthy(await advanced(book, reader))
    key, account = min(before)
    doctored(market, key, account)

    refused = None
    for _ in range(40):
        world.devnet.node.rpc("evm_mine")
        snapshots = await advanced(book, reader)
        taken = next(one for one in snapshots if one.market == key)
        if (key, account) in book.parity.doubted:
            refused = taken.opportunities(account, window(taken))
            break
    assert refused is not None
    assert refused[0] == ()
    assert [one.reason for one in refused[1]] == [SkipReason.PARITY]
    told = book.parity_news()
    assert {(one.difference.account, one.agrees) for one in told} == {(account, False)}
    assert (await differing(reader, snapshots))[1]

    world.devnet.node.rpc("evm_mine")
    snapshots = await advanced(book, reader)
    taken = next(one for one in snapshots if one.market == key)
    assert not book.parity.doubted
    assert [one.agrees for one in book.parity_news()] == [True]
    assert (await differing(reader, snapshots))[1] == ()
    assert taken.opportunities(account, window(taken))[0]
