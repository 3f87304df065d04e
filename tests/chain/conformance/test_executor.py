"""The executor takes the adapter's step, and does with it what the outcome says."""

from collections import Counter

from keeper.devnet.artifacts import Deployer
from keeper.devnet.assets import POOLS
from keeper.devnet.executor import executor_artifact
from keeper.domain.errors import RpcRefused
from keeper.domain.opportunity import Outcome
from keeper.domain.units import UINT256_MAX
from keeper.execution.executor import StepReport, decode_logs
from tests.chain.conformance.books import advanced, fall, followed, unhealthy, window
from tests.chain.conformance.keepers import configured
from tests.chain.executor_world import Step, World, logs_of, refusal
from tests.chain.worlds import decisions, driven, plans_of
from tests.support.undoing import undo


def pools(devnet):
    """Return the cheapest direct pool's fee for each pair of tokens."""
    found = {}
    for each in POOLS:
        pair = [devnet.tokens[symbol].address for symbol in (each.first, each.second)]
        for key in (tuple(pair), tuple(reversed(pair))):
            found[key] = min(each.fee, found.get(key, each.fee))
    return found


def step_of(world, taken, offer, amount):
    """Return the executor's step with a loan, or with what the liquidation itself brings."""
    fee = pools(world.devnet)[offer.receive_token, offer.spend_token]
    own = offer.own_funding or taken.flash_lenders(offer.spend_token)[0]
    made = offer.step(amount)
    path = bytes.fromhex(offer.receive_token[2:]) + fee.to_bytes(3)
    return Step(
        module=made.module,
        data=made.data,
        spend=offer.spend_token,
        receive=offer.receive_token,
        funding=own[0].source,
        lender=own[0].lender,
        borrow=offer.outcome(amount).spend_at_most,
        factory=world.devnet.venue.factory.address,
        path=path + bytes.fromhex(offer.spend_token[2:]),
    )


async def test_the_executor_does_what_the_outcome_says(world, reader):
    """Parts and everything: spent and received by the executor's own report, to the wei."""
    devnet = world.devnet
    executor = Deployer(devnet.node, devnet.accounts.admin).at(executor_artifact(), devnet.executor)
    runner = World(devnet, executor)
    book, _ = await followed(reader, world)
    fall(world, 1, leave_pools=False)
    done = Counter()
    found = unhealthy(await advanced(book, reader))
    for (_, account), taken in sorted(found.items(), key=lambda one: one[0]):
        for offer in taken.opportunities(account, window(taken))[0]:
            if (offer.receive_token, offer.spend_token) in pools(devnet):
                done += performed(world, runner, taken, offer)
    assert done["part"] >= 3


def performed(world, runner, taken, offer):
    """Let the executor do a small part and everything; return what of it worked."""
    done = Counter()
    for name, amount in {
        "part": offer.partial[0] * 2 if offer.partial else 0,
        "all": UINT256_MAX,
    }.items():
        outcome = offer.outcome(amount)
        if isinstance(outcome, Outcome):
            report = reported(runner, step_of(world, taken, offer, amount), window(taken).earliest)
            # A sale of everything may bring less than the debt: then nothing has happened.
            if "Shortfall" in report.failure or "BelowMinProfit" in report.failure:
                continue
            assert report.failure == ""
            assert (report.spend_token, report.spent) == (offer.spend_token, outcome.spend)
            assert (report.receive_token, report.received) == (offer.receive_token, outcome.receive)
            done[name] += 1
    return done


def reported(runner, step, moment):
    """Return what the executor says of a step at a timestamp; it is undone."""
    node = runner.node
    kept = node.rpc("evm_snapshot")
    node.rpc("evm_setNextBlockTimestamp", [moment])
    transaction = runner.transaction([step])
    try:
        (receipt,) = node.send_all([transaction])
    except RpcRefused:
        return StepReport(index=0, failure=refusal(node, transaction))
    else:
        (report,) = decode_logs(logs_of(receipt), runner.executor.address)
        return report
    finally:
        undo(node, kept)


def test_plans_come_true(world, tmp_path):
    """The keeper's own transactions: none reverts, each plan of them was decided."""
    keeper = configured(tmp_path / "keeper", world.devnet, world)
    fall(world, 1, leave_pools=False)

    events = driven(keeper, 3)

    done = plans_of(events)
    planned = {(one["market"], one["account"]) for one in decisions(events, "liquidate")}
    assert len(done) >= 5
    assert [one["failure"] for one in done if one["failure"]] == []
    assert {(one["market"], one["account"]) for one in done} <= planned
