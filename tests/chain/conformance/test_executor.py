"""The executor takes the adapter's step, and does with it what the outcome says."""

from collections import Counter

from keeper.domain.opportunity import Outcome
from keeper.domain.units import UINT256_MAX
from keeper.execution.executor import encode_path
from tests.chain.conformance.books import advanced, fall, followed, unhealthy, window
from tests.chain.conformance.keepers import configured
from tests.chain.executor_world import Step, World, logs_of, undo
from tests.chain.worlds import decisions, driven, plans_of

from keeper.devnet.artifacts import Deployer
from keeper.devnet.assets import POOLS
from keeper.devnet.executor import executor_artifact


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
    devnet, node = world.devnet, world.devnet.node
    executor = Deployer(node, devnet.accounts.admin).at(executor_artifact(), devnet.executor)
    runner = World(devnet, executor)
    book, _ = await followed(reader, world)
    fall(world, 1, leave_pools=False)
    done = Counter()
    for (_, account), taken in sorted(
        unhealthy(await advanced(book, reader)).items(), key=lambda one: one[0]
    ):
        for offer in taken.opportunities(account, window(taken))[0]:
            if (offer.receive_token, offer.spend_token) not in pools(devnet):
                continue
            low = offer.partial[0] * 2 if offer.partial else UINT256_MAX
            for amount in {low, UINT256_MAX}:
                outcome = offer.outcome(amount)
                if not isinstance(outcome, Outcome) or outcome.bad_debt:
                    continue
                kept = node.rpc("evm_snapshot")
                node.rpc("evm_setNextBlockTimestamp", [window(taken).earliest])
                sent = runner.transaction([step_of(world, taken, offer, amount)])
                (receipt,) = node.send_all([sent])
                (report,) = reported(receipt, executor)
                undo(node, kept)
                if report.failure:
                    assert "Shortfall" in report.failure or "TooLittle" in report.failure
                    continue
                assert (report.spent, report.received) == (outcome.spend, outcome.receive)
                assert report.spend_token == offer.spend_token
                done["all" if amount == UINT256_MAX else "part"] += 1
    assert done["part"] >= 3


def reported(receipt, executor):
    from keeper.execution.executor import decode_logs

    return decode_logs(logs_of(receipt), executor.address)


def test_plans_come_true(world, tmp_path):
    """The keeper's own transactions: none reverts, and each earns what was planned or more."""
    keeper = configured(tmp_path / "keeper", world.devnet, world)
    fall(world, 1, leave_pools=False)

    events = driven(keeper, 3)

    done = plans_of(events)
    assert len(done) >= 5
    assert [one["failure"] for one in done if one["failure"]] == []
    planned = {
        (one["market"], one["account"]): one for one in decisions(events, "liquidate")
    }
    assert {(one["market"], one["account"]) for one in done} <= set(planned)
    assert encode_path is not None
