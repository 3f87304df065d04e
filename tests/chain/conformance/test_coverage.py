"""The debts of the book are the contracts' own totals, to the unit; a hole in the book is told."""

import dataclasses

import pytest

from keeper.book.follower import Follower
from keeper.composition.wiring import load_market
from keeper.config import Market
from keeper.coverage import StatesDebtTotals, StatesFigures
from keeper.domain.reads import LogFilter
from tests.chain.conformance.books import advanced, fall, followed, unhealthy, window
from tests.chain.conformance.keepers import configured

YEAR = 365 * 24 * 3_600


@dataclasses.dataclass(frozen=True)
class Late:
    """A world whose settings begin the history one block after its first borrower."""

    world: object
    from_block: int

    def options(self):
        return {**self.world.options(), "from_block": self.from_block}


async def first_debt_block(world, reader):
    """Return the block of the first log that names a borrower."""
    market = load_market(Market.model_validate(world.options()), reader)
    head = await reader.head()
    await market.discover(head)
    (pool,), ((borrow, *_),) = market.history_filter.addresses, market.history_filter.topics
    wanted = LogFilter(addresses=(pool,), topics=((borrow,),))
    logs = await reader.logs_between(wanted, market.from_block, head.number)
    return min(log.block_number for log in logs)


def totals_of(book):
    """Return every total that the book is held against."""
    return [total for totals in book.coverage.totals().values() for total in totals]


def act(world):
    for transactions in world.actions():
        for one in transactions:
            world.devnet.node.send(one)


async def test_every_market_states_what_is_owed(world, reader):
    """A protocol that declares no totals could lose a borrower without a word."""
    market = load_market(Market.model_validate(world.options()), reader)
    book, snapshots = await followed(reader, world)

    assert isinstance(market, StatesDebtTotals)
    assert isinstance(market, StatesFigures)
    owed = {(one.market, debt.token) for one in snapshots for debt in debts(one)}
    assert owed <= {(total.market, total.token) for total in totals_of(book) if total.stated}


def debts(snapshot):
    return [debt for one in snapshot.accounts() for debt in snapshot.balances(one.account)[1]]


async def test_sums_equal_totals_to_the_unit_whatever_happens(world, reader):
    """Positions, interest, liquidations, gaps: a unit of tolerance would hide a borrower."""
    book, _ = await followed(reader, world)
    assert not [total for total in totals_of(book) if total.uncovered]

    for transactions in world.actions():
        for one in transactions:
            world.devnet.node.send(one)
        await advanced(book, reader)
        assert not [total for total in totals_of(book) if total.uncovered]

    world.devnet.pass_time(YEAR)
    fall(world, 1)
    done = 0
    for (_, account), taken in sorted(
        unhealthy(await advanced(book, reader)).items(), key=lambda one: one[0]
    )[:4]:
        for offer in taken.opportunities(account, window(taken))[0][:1]:
            if offer.partial is not None:
                world.liquidate(offer, offer.partial[1])
                done += 1
    await advanced(book, reader)

    assert done
    assert not [total for total in totals_of(book) if total.uncovered]


async def test_sums_equal_totals_after_a_reorganisation(world, reader):
    """What orphaned blocks had done is undone in the sums, too."""
    book, _ = await followed(reader, world)
    for transactions in world.actions():
        for one in transactions:
            world.devnet.node.send(one)
        await advanced(book, reader)

    world.devnet.node.rpc("anvil_reorg", [3, []])
    await advanced(book, reader)

    assert not [total for total in totals_of(book) if total.uncovered]


async def test_a_history_that_begins_late_is_uncovered_debt(world, reader):
    """One block too late: who borrowed in it is in no book, and nobody else would notice."""
    late = Late(world, await first_debt_block(world, reader) + 1)
    book = Follower(reader, [load_market(Market.model_validate(late.options()), reader)])
    head = await reader.head()
    await book.start(head)
    await book.advance(head)
    world.devnet.node.rpc("evm_mine")
    await advanced(book, reader)

    (news,) = book.coverage_news()
    assert not news.is_covered
    assert news.uncovered_usd_e8 > book.coverage.limit_usd_e8
    assert "from_block" in news.hint
    assert "from_block" in book.coverage.concern()


@pytest.mark.parametrize("command", [("scan",), ("audit", "book"), ("doctor",)])
async def test_commands_say_how_much_debt_is_covered(world, reader, tmp_path, command):
    """All of it; or how much is not, with the setting that is probably wrong."""
    late = Late(world, await first_debt_block(world, reader) + 1)
    whole = configured(tmp_path / "whole", world.devnet, world).command(*command, "--json")
    keeper = configured(tmp_path / "late", world.devnet, late)
    holed, text = keeper.command(*command, "--json"), keeper.command(*command)

    assert uncovered_usd_e8(command, whole.document) == 0
    assert uncovered_usd_e8(command, holed.document) > 1_000 * 10**8
    said = text.out + text.err
    assert "owed by no account of the book" in said
    assert "from_block" in said
    assert (whole.code, holed.code) == ((0, 0) if command == ("scan",) else (0, 3))


def uncovered_usd_e8(command, document):
    """Return what a command's JSON says in 1e-8 dollars."""
    if command == ("doctor",):
        found = next(one for one in document["checks"] if one["what"].startswith("coverage"))
        return int(found["figures"]["uncovered_usd_e8"])
    return int(document["coverage"]["uncovered_usd_e8"])


async def test_logs_explain_every_change(world, reader):
    """Interest, positions, liquidations, gaps: a change without a log would be a false alarm."""
    book, _ = await followed(reader, world)

    def unexplained():
        return [one.describe() for one in book.looks.explanations.open]

    for transactions in world.actions():
        for one in transactions:
            world.devnet.node.send(one)
            await advanced(book, reader)
            assert unexplained() == []
    world.devnet.pass_time(YEAR)
    fall(world, 2)
    for (_, account), taken in sorted(
        unhealthy(await advanced(book, reader)).items(), key=lambda one: one[0]
    )[:8]:
        for offer in taken.opportunities(account, window(taken))[0][:1]:
            if offer.partial is not None:
                world.liquidate(offer, offer.partial[1])
    await advanced(book, reader)
    assert unexplained() == []
    world.devnet.node.rpc("anvil_reorg", [2, []])
    await advanced(book, reader)
    assert unexplained() == []
