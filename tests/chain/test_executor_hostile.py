"""Tokens, pools and callers that mean ill: the executor reverts, or earns by balances."""

import pytest

from contracts.build import BUILDS
from keeper.chain.abi import checksum
from keeper.chain.reader import connect
from keeper.devnet.artifacts import Contract, Deployer
from keeper.domain.errors import RpcRefused
from keeper.domain.plan import Batch
from keeper.domain.submission import Attempt, AttemptKind, Fees, Submission
from keeper.execution.landing_run import LandingRun
from keeper.execution.repeating import PendingRun
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


class Poor:
    """A node without eth_simulateV1."""

    def __init__(self, reader):
        self.call, self.estimate_gas = reader.call, reader.estimate_gas

    async def simulate_v1(self, payload, basis):
        raise RpcRefused("no such method", number=-32601, text="Method not found")


def trapped_batch(trap):
    """Return the transaction of the trap's step."""
    return Batch(
        plans=(plan(),),
        executor=checksum(trap.executor.address),
        calldata=trap.transaction([trap.step()]).data,
        gas_limit=3_500_000,
        deadline=worlds.SOON,
        net_profit=1,
    )


def simulator(trap, chain):
    return ExecutorSimulator(
        chain,
        executor=checksum(trap.executor.address),
        operator=trap.devnet.accounts.hot,
        step_gas=lambda _: worlds.GAS,
    )


def connected(trap):
    return connect([f"http://127.0.0.1:{trap.node.port}"], chain_id=31337)


async def simulated(trap, *, is_poor=False):
    """Return what the keeper's own simulation says of the trap's step, on the newest block."""
    async with connected(trap) as reader:
        executor = simulator(trap, Poor(reader) if is_poor else reader)
        (answer,) = await executor.simulated([trapped_batch(trap)], await reader.head())
    return answer


@pytest.mark.parametrize("is_poor", [False, True], ids=["in sequence", "alone"])
@pytest.mark.parametrize("mode", ["plain", *TOKEN_MODES[-7:]])
async def test_b3_a_simulation_cannot_be_told_from_the_chain(trap, mode, is_poor):
    """
    Tokens that work in simulations only would make the keeper send what reverts.

    What the simulation says is what the next block does, whatever the token looks at, also
    where a transaction can only be run alone. The number and the time of the newest block still
    work, those of the next one do not.
    """
    trap.node.rpc("anvil_setCoinbase", ["0x" + "c0" * 20])
    trap.node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(10**10)])
    trap.token.send("behave", TOKEN_MODES.index(mode))
    block = trap.node.rpc("eth_getBlockByNumber", ["latest", False])
    number, time = (int(block[name], 16) + 1 for name in ("number", "timestamp"))
    trap.node.rpc("evm_setNextBlockTimestamp", [time])
    trap.token.send("wait", {"height": number, "time": time}.get(mode, 0))

    answer = await simulated(trap, is_poor=is_poor)
    works = _works(trap)

    assert works == (mode == "plain")
    assert bool(answer.plans and not answer.plans[0].failure) == works


def pending(nonce, batch, to, data):
    """Return a nonce that waits for a block."""
    attempt = Attempt(
        nonce=nonce,
        kind=AttemptKind.SEND,
        hash=f"0x{nonce}",
        raw=b"",
        fees=Fees(max_fee=10**11, priority_fee=10**9),
        gas_limit=3_500_000,
        to=to,
        calldata=data,
        block_number=1,
    )
    return Submission(nonce=nonce, batch=batch, attempts=(attempt,))


@pytest.mark.parametrize("waits", [True, False])
async def test_a_bump_is_simulated_after_what_waits_whoever_is_called(trap, waits):
    """
    Lower nonces run first: a person's order, another executor's, the vault's.

    Here the order that waits makes the token honest. The very calldata of the later nonce works
    after it, and fails without it.
    """
    trap.token.send("behave", TOKEN_MODES.index("returns_false"))
    change = trap.token.transaction("behave", 0)
    order = pending(0, None, checksum(trap.token.address), change.data)
    batch = trapped_batch(trap)
    step = pending(1, batch, batch.executor, batch.calldata)

    async with connected(trap) as reader:
        run = PendingRun(
            landing=LandingRun(chain=reader, sender=trap.devnet.accounts.hot),
            alone={batch.executor: simulator(trap, reader)},
        )
        found = await run([order, step] if waits else [step], await reader.head())

    assert list(found) == [1]
    assert (found[1].failure == "") is waits


def _works(trap) -> bool:
    """Whether the step's transaction succeeds in the next block."""
    transaction = trap.transaction([trap.step()]).as_json()
    return trap.node.rpc("eth_sendTransactionSync", [transaction])["status"] == "0x1"
