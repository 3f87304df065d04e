"""Tokens, pools and callers that mean ill: the executor reverts, or earns by balances."""

import pytest

from contracts.build import BUILDS
from keeper.chain.abi import checksum
from keeper.chain.reader import connect
from keeper.devnet.artifacts import Contract, Deployer
from keeper.domain.plan import Batch
from keeper.execution.simulator import ExecutorSimulator
from tests.chain import executor_world as worlds
from tests.chain.executor_world import Step, World
from tests.support.scripted_submission import plan
from tests.support.undoing import undo

TOKEN_MODES = (
    "plain",
    "no_return",
    "returns_false",
    "fee_on_transfer",
    "burns_gas",
    "return_bomb",
    "approve_race",
    "no_zero_approve",
    "reenters",
    "gas_price",
    "base_fee",
    "coinbase",
    "randomness",
    "origin",
    "height",
    "time",
)
POOL_MODES = (
    "plain",
    "takes_half",
    "other_initiator",
    "other_data",
    "no_callback",
    "two_callbacks",
    "healthy",
    "other_loan",
)
UNIT = 10**18


class Trap(World):
    """A world with one hostile token and one hostile pool that is on the allow-list."""

    token: Contract
    pool: Contract

    def step(self, **changes: object) -> Step:
        """Return a step of which the token is both sides."""
        step = Step(
            data=worlds.encode(
                ["address", "address", "uint256"], [self.pool.address, worlds.ZERO, 100 * UNIT]
            ),
            spend=self.token.address,
            receive=self.token.address,
            lender=self.pool.address,
            borrow=100 * UNIT,
        )
        return step.with_(**changes)

    def left(self) -> tuple[int, int]:
        """Return what the executor still has, and still allows."""
        return (
            self.balance(self.token.address, self.executor.address),
            self.allowance(self.token.address, self.pool.address),
        )


@pytest.fixture(scope="module", params=[build.name for build in BUILDS])
def laid(request, market36):
    kept = market36.node.rpc("evm_snapshot")
    contracts = worlds.hostile()
    deployer = Deployer(market36.node, market36.accounts.admin)
    pool = deployer.deploy(contracts["HostilePool"])
    token = deployer.deploy(contracts["HostileToken"])
    token.send("give", pool.address, 10**6 * UNIT)
    trap = Trap(market36, worlds.deployed(market36, request.param, pool.address).executor)
    trap.token, trap.pool = token, pool
    yield trap
    undo(market36.node, kept)


@pytest.fixture
def trap(laid):
    kept = laid.node.rpc("evm_snapshot")
    yield laid
    undo(laid.node, kept)


@pytest.mark.parametrize("mode", ["plain", "no_return", "approve_race", "no_zero_approve"])
def test_odd_but_honest_tokens_work(trap, mode):
    """No return value, zero first, never zero: each kind exists in the wild."""
    trap.token.send("behave", TOKEN_MODES.index(mode))

    _, (report,) = trap.run(trap.step())

    assert report.failure == ""
    assert report.profit == 10 * UNIT - 1
    assert (report.spent, report.received) == (100 * UNIT, 110 * UNIT)
    assert trap.balance(trap.token.address, trap.devnet.accounts.receiver) == report.profit
    assert trap.left() == (0, 0)


@pytest.mark.parametrize("mode", ["returns_false", "burns_gas", "return_bomb"])
def test_f31_bad_tokens_fail_alone_and_within_the_gas_limit(trap, mode):
    """Whatever the token does costs its own step; the next one works, the report is short."""
    trap.token.send("behave", TOKEN_MODES.index(mode))
    good = Deployer(trap.node, trap.devnet.accounts.admin).deploy(worlds.hostile()["HostileToken"])
    good.send("give", trap.pool.address, 10**6 * UNIT)
    second = trap.step(spend=good.address, receive=good.address)

    receipt, reports = trap.run(trap.step(gas=700_000), second)

    assert [bool(report.failure) for report in reports] == [True, False]
    assert int(receipt["gasUsed"], 16) < 700_000 + 700_000
    assert max(len(log["data"]) for log in receipt["logs"]) < 2 + 2 * 400
    assert trap.left() == (0, 0)


def test_profit_is_what_arrives(trap):
    """A token that keeps one percent of each transfer: the receiver's balance is what counts."""
    trap.token.send("behave", TOKEN_MODES.index("fee_on_transfer"))
    trap.pool.send("behave", POOL_MODES.index("takes_half"))
    kept_here = 345 * UNIT // 100 - 1

    _, (report,) = trap.run(trap.step())

    assert "BelowMinProfit(" in trap.refusal(trap.step(min_profit=kept_here))
    assert report.profit == kept_here - kept_here // 100
    assert report.profit == trap.balance(trap.token.address, trap.devnet.accounts.receiver)
    assert report.received == 5445 * UNIT // 100
    assert trap.left() == (0, 0)


def test_an_allowance_that_is_not_used_is_taken_back(trap):
    """The pool takes half of what it may: nothing is left for later."""
    trap.pool.send("behave", POOL_MODES.index("takes_half"))

    _, (report,) = trap.run(trap.step())

    assert (report.spent, report.received) == (50 * UNIT, 55 * UNIT)
    assert trap.left() == (0, 0)


def test_what_the_pool_does_not_use_is_taken_back_whoever_lends(trap):
    """Where the pool lends, too, taking back what the loan was allowed hides what it was."""
    lender = Deployer(trap.node, trap.devnet.accounts.admin).deploy(worlds.hostile()["HostilePool"])
    trap.token.send("give", lender.address, 10**6 * UNIT)
    allowed, owner = True, trap.devnet.accounts.owner
    trap.executor.send("setLendingPool", lender.address, allowed, sender=owner)
    trap.pool.send("behave", POOL_MODES.index("takes_half"))

    _, (report,) = trap.run(trap.step(lender=lender.address))

    assert (report.failure, report.spent) == ("", 50 * UNIT)
    assert trap.left() == (0, 0)
    assert trap.allowance(trap.token.address, lender.address) == 0


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("other_initiator", "ForeignInitiator("),
        ("other_data", "UnexpectedCallback("),
        ("no_callback", "CallbackMissing("),
        ("two_callbacks", "UnexpectedCallback("),
        ("other_loan", "OtherLoan("),
        ("healthy", "NotLiquidatable("),
    ],
)
def test_a_lender_without_manners_is_refused(trap, mode, reason):
    """Even one on the allow-list is believed once, with our data, on our initiative."""
    trap.pool.send("behave", POOL_MODES.index(mode))

    assert reason in trap.refusal(trap.step())
    assert trap.left() == (0, 0)


@pytest.mark.parametrize(
    "entry", ["liquidate", "runStep", "executeOperation", "uniswapV3SwapCallback"]
)
def test_a_transfer_hook_gets_in_nowhere(trap, entry):
    """The token calls back in the middle of a step, as an operator even: every door is shut."""
    data = {
        "liquidate": ([trap.step().values()], worlds.SOON, 0),
        "runStep": (0, trap.step().values(), 0),
        "executeOperation": (trap.token.address, 1, 0, trap.executor.address, b""),
        "uniswapV3SwapCallback": (1, -1, b""),
    }[entry]
    message = trap.executor.artifact.calldata(entry, *data)
    owner, token = trap.devnet.accounts.owner, trap.token.address
    trap.executor.send("setOperator", token, not False, sender=owner)
    trap.token.send("reenterWith", trap.executor.address, message)
    trap.token.send("behave", TOKEN_MODES.index("reenters"))

    _, (report,) = trap.run(trap.step())

    errors = {"liquidate": "Reentered", "runStep": "NotSelf"}
    said = worlds.failure_reason(trap.token.call("answer"))
    assert said.startswith(errors.get(entry, "UnexpectedCallback"))
    assert report.profit == 10 * UNIT - 1
    assert trap.left() == (0, 0)


def test_a_forged_uniswap_pool_does_not_lend(trap):
    """A contract that says it is a pool, but no allowed factory knows it."""
    step = trap.step(funding=3, factory=trap.devnet.venue.factory.address)

    assert "nothing worked" in trap.refusal(step)


def test_reports_name_the_hostile_token(trap):
    """Who reads the log can put it on the list of tokens to avoid."""
    trap.token.send("behave", TOKEN_MODES.index("returns_false"))

    reason = trap.refusal(trap.step())

    assert checksum(trap.token.address).lower() in reason.lower()


async def simulated(trap):
    """Return what the keeper's own simulation says of the trap's step, on the newest block."""
    devnet = trap.devnet
    transaction = trap.transaction([trap.step()])
    batch = Batch(
        plans=(plan(),),
        executor=checksum(trap.executor.address),
        calldata=transaction.data,
        gas_limit=3_500_000,
        deadline=worlds.SOON,
        net_profit=1,
    )
    async with connect([f"http://127.0.0.1:{trap.node.port}"], chain_id=31337) as reader:
        executor = ExecutorSimulator(
            reader,
            executor=batch.executor,
            operator=devnet.accounts.hot,
            step_gas=lambda _: worlds.GAS,
        )
        (answer,) = await executor.simulated([batch], await reader.head())
    return answer


@pytest.mark.parametrize("mode", ["plain", *TOKEN_MODES[-7:]])
async def test_b3_a_simulation_cannot_be_told_from_the_chain(trap, mode):
    """
    Tokens that work in simulations only would make the keeper send what reverts.

    What the simulation says is what the next block does, whatever the token looks at.
    """
    trap.node.rpc("anvil_setCoinbase", ["0x" + "c0" * 20])
    trap.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(10**10)])
    trap.node.rpc("evm_mine")
    block = trap.node.rpc("eth_getBlockByNumber", ["latest", False])
    seen = int(block["timestamp" if mode == "time" else "number"], 16)
    trap.token.send("wait", seen + 1 if mode in ("height", "time") else 0)
    trap.token.send("behave", TOKEN_MODES.index(mode))

    answer = await simulated(trap)
    works = _works(trap)

    assert works == (mode == "plain")
    assert bool(answer.plans and not answer.plans[0].failure) == works


def _works(trap) -> bool:
    """Whether the step's transaction succeeds in the next block."""
    transaction = trap.transaction([trap.step()]).as_json()
    return trap.node.rpc("eth_sendTransactionSync", [transaction])["status"] == "0x1"
