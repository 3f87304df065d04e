"""A dry run on paper: one booking per breach, and its own sales in the way of the next ones."""

from dataclasses import replace

import pytest

from keeper.domain.decision import Liquidate
from keeper.execution.paper import OVERLAY_BLOCKS, PaperSubmitter, resume_paper
from keeper.execution.paper_simulator import PaperSimulator
from keeper.stages.waiting import PaperPlans
from keeper.stages.witness import witnessed
from keeper.storage.database import opened
from keeper.storage.paper import PaperLedger
from tests.flow.scripted_market import (
    HEAD,
    MARKET,
    Desk,
    ScriptedExecutor,
    ScriptedSnapshot,
    ScriptedVenue,
    account,
    pair,
)
from tests.unit.strategy.market import exits, route, weth_pool

SMALL = weth_pool(1_500_000)


class Snapshot(ScriptedSnapshot):
    def account(self, whose):
        return next((one for one in self.accounts() if one.account == whose), None)


class AnyHead(ScriptedExecutor):
    async def simulated(self, batches, head):
        return await super().simulated(batches, HEAD)


class Generous(AnyHead):
    """The chain never saw the paper sales: it pays what the untouched pool would."""

    def _answer(self, batch):
        answer = super()._answer(batch)
        plans = tuple(replace(one, profit=one.profit * 2) for one in answer.plans)
        return replace(answer, plans=plans)


@pytest.fixture
def database(tmp_path):
    made = opened(tmp_path / "paper.sqlite")
    yield made
    made.close()


def at_block(number):
    return replace(HEAD, number=number)


def unhealthy(*_):
    return True


def planner(paper, executor=None):
    desk = Desk(
        venues=[ScriptedVenue(exits(route(SMALL), pools=(SMALL,)))],
        executors={MARKET: PaperSimulator(executor or AnyHead(), paper.has_sold_before)},
    )
    return desk.planner(waiting=PaperPlans(sold=paper.sold))


async def booked_at(paper, number, *accounts, executor=None):
    """What a head books of these accounts."""
    head = at_block(number)
    await paper.follow(head, unhealthy)
    snapshot = Snapshot(tuple(pair(one, 20_000) for one in accounts))
    result = await witnessed(planner(paper, executor), head, [snapshot], paper.in_flight())
    await paper.submit(result.batches, head)
    return [one.plan for one in result.decisions if isinstance(one, Liquidate)]


@pytest.mark.slow
async def test_an_account_is_booked_once_however_long_it_stays_liquidatable(database):
    """Nobody acts on the real chain: three hundred blocks later it is still the same breach."""
    paper = PaperSubmitter(ledger=PaperLedger(database), emit=lambda _: None)

    counts = [len(await booked_at(paper, 100 + block, 1)) for block in range(0, 330, 30)]

    assert counts == [1, *[0] * 10]
    assert (await paper.ledger.totals()).liquidations == 1


@pytest.mark.slow
async def test_a_second_breach_is_booked_again(database):
    """In between the account was healthy."""
    paper = PaperSubmitter(ledger=PaperLedger(database), emit=lambda _: None)
    await booked_at(paper, 100, 1)
    await paper.follow(at_block(101), lambda *_: False)

    assert len(await booked_at(paper, 102, 1)) == 1


@pytest.mark.slow
async def test_a_restart_knows_what_was_booked(database):
    """It is planned again and not booked; one that was healthy in between is booked again."""
    ledger = PaperLedger(database)
    first = PaperSubmitter(ledger=ledger, emit=lambda _: None)
    await booked_at(first, 100, 1, 2)

    second = await resume_paper(ledger, lambda _: None)
    await second.follow(at_block(200), lambda _, who: who == account(1))

    planned = {plan.account for plan in await booked_at(second, 201, 1, 2)}

    assert planned == {account(1), account(2)}
    assert second.in_flight() == {(MARKET, account(1)), (MARKET, account(2))}
    assert (await ledger.totals()).liquidations == 3


@pytest.mark.slow
@pytest.mark.parametrize("executor", [AnyHead, Generous])
async def test_what_was_sold_on_paper_counts_as_sold_for_some_blocks(database, executor):
    """The next account is booked at the price that the first sale would have left."""
    alone = PaperSubmitter(ledger=PaperLedger(database), emit=lambda _: None)
    (untouched,) = await booked_at(alone, 100, 2)
    paper = PaperSubmitter(ledger=PaperLedger(database), emit=lambda _: None)
    await booked_at(paper, 100, 1)

    (soon,) = await booked_at(paper, 101, 2, executor=executor())
    (late,) = await booked_at(paper, 103 + OVERLAY_BLOCKS, 3)

    assert soon.gross_profit < untouched.gross_profit
    assert late.gross_profit == untouched.gross_profit


async def test_what_waited_on_paper_is_on_record(database):
    """A replay of a dry run's decisions needs its sales."""
    paper = PaperSubmitter(ledger=PaperLedger(database), emit=lambda _: None)
    await booked_at(paper, 100, 1)
    snapshot = Snapshot((pair(2, 20_000),))

    result = await witnessed(planner(paper), at_block(101), [snapshot], paper.in_flight())

    assert len(result.inputs.pending) == 1
