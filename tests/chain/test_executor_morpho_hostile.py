"""Markets that anybody may create, and a Morpho gone bad: the executor reverts, or is paid."""

from dataclasses import dataclass

import pytest

from contracts.build import BUILDS
from keeper.devnet.artifacts import Contract, Deployer
from tests.chain import executor_morpho_world as morphos
from tests.chain import executor_world as worlds
from tests.chain.executor_morpho_world import CALLBACK, MORPHO_LOAN, Market, MorphoWorld
from tests.chain.executor_world import Step
from tests.chain.test_executor_hostile import TOKEN_MODES
from tests.support.undoing import undo

LOAN = 1
ORACLE_MODES = ("plain", "reverts", "burns_gas", "return_bomb", "short")
MORPHO_MODES = (
    "plain",
    "no_callback",
    "two_callbacks",
    "other_data",
    "other_entry",
    "other_loan",
    "asks_for_more",
    "takes_half",
    "takes_more",
    "gone",
)
UNIT = 10**18
LIMIT = 900_000


@dataclass
class Trap:
    """A market of a hostile token on the real Morpho, a good one beside it, and a bad Morpho."""

    world: MorphoWorld
    token: Contract
    market: Market
    good: Market
    bad: Contract

    def step(self, funding: int = CALLBACK, **changes: object) -> Step:
        """Return the liquidation on the hostile market."""
        lender = self.world.morpho.address if funding == MORPHO_LOAN else worlds.ZERO
        step = self.world.step(self.market, funding=funding, lender=lender, gas=LIMIT)
        borrow = 0 if funding == CALLBACK else self.world.debt_of(self.market) * 1001 // 1000
        return step.with_(borrow=borrow).with_(**changes)

    def bad_step(self, funding: int) -> Step:
        """Return a step of which the bad Morpho is everything."""
        data = worlds.encode(
            ["address", morphos.PARAMS, "address", "uint256", "uint256"],
            [self.bad.address, self.market.params, self.market.borrower, 110 * UNIT, 0],
        )
        borrow = 0 if funding == CALLBACK else 100 * UNIT
        return self.step(funding, data=data, lender=self.bad.address, borrow=borrow)

    def left(self) -> set[int]:
        """Return what the executor still has of the token, and what it still allows."""
        world, token = self.world, self.token.address
        allowed = {world.allowance(token, each.address) for each in (world.morpho, self.bad)}
        return allowed | {world.balance(token, world.executor.address)}


@pytest.fixture(scope="module", params=[build.name for build in BUILDS])
def laid(request, market36):
    kept = market36.node.rpc("evm_snapshot")
    world = morphos.with_morpho(market36, request.param)
    who = market36.accounts
    deployer = Deployer(market36.node, who.admin)
    made = []
    for number in (0xB1000, 0xB1001):
        token = deployer.deploy(world.hostile["HostileToken"])
        token.send("give", who.admin, 10**6 * UNIT)
        token.send("approve", world.morpho.address, 2**255)
        market = world.market(token, token, number)
        world.enter(market, 100 * UNIT, morphos.PRICE_SCALE, 8_000)
        market.oracle.send("tell", morphos.PRICE_SCALE * 9 // 10)
        made.append((token, market))
    (token, market), (_, good) = made
    bad = deployer.deploy(world.hostile["HostileMorpho"])
    token.send("give", bad.address, 10**6 * UNIT)
    allowed = True
    world.executor.send("setLendingPool", bad.address, allowed, sender=who.owner)
    yield Trap(world, token, market, good, bad)
    undo(market36.node, kept)


@pytest.fixture
def trap(laid):
    kept = laid.world.node.rpc("evm_snapshot")
    yield laid
    undo(laid.world.node, kept)


@pytest.mark.parametrize(
    ("mode", "funding"),
    [
        *((mode, CALLBACK) for mode in ("plain", "no_return", "approve_race", "no_zero_approve")),
        # A loan is a little more than the debt: a token that takes no zero cannot be disallowed.
        *((mode, MORPHO_LOAN) for mode in ("plain", "no_return", "approve_race")),
    ],
)
def test_odd_but_honest_tokens_work(trap, mode, funding):
    """No return value, zero first, never zero: a market of each is liquidated."""
    trap.token.send("behave", TOKEN_MODES.index(mode))

    receipt, (report,) = trap.world.run(trap.step(funding))

    ((repaid, seized, _),) = trap.world.liquidated(receipt)
    assert report.failure == ""
    assert report.profit == seized - repaid
    assert (report.spent, report.received) == (repaid, seized)
    assert trap.left() == {0}


@pytest.mark.parametrize("funding", [CALLBACK, MORPHO_LOAN])
@pytest.mark.parametrize("mode", ["returns_false", "burns_gas", "return_bomb"])
def test_f31_a_bad_token_fails_alone_and_within_its_gas(trap, mode, funding):
    """The market of another token in the same transaction is liquidated all the same."""
    trap.token.send("behave", TOKEN_MODES.index(mode))

    receipt, reports = trap.world.run(trap.step(funding), trap.world.step(trap.good))

    assert [bool(report.failure) for report in reports] == [True, False]
    assert int(receipt["gasUsed"], 16) < 2 * LIMIT
    assert max(len(log["data"]) for log in receipt["logs"]) < 2 + 2 * 400
    assert trap.left() == {0}


def test_profit_is_what_arrives(trap):
    """A token that keeps one percent of each transfer: Morpho is paid short, we count balances."""
    trap.token.send("behave", TOKEN_MODES.index("fee_on_transfer"))
    receiver = trap.world.devnet.accounts.receiver

    receipt, (report,) = trap.world.run(trap.step())

    ((repaid, seized, _),) = trap.world.liquidated(receipt)
    kept_here = seized - seized // 100 - repaid
    assert report.received == seized - seized // 100
    assert report.profit == kept_here - kept_here // 100
    assert report.profit == trap.world.balance(trap.token.address, receiver)
    assert trap.left() == {0}


@pytest.mark.parametrize("funding", [CALLBACK, MORPHO_LOAN])
@pytest.mark.parametrize("mode", ORACLE_MODES[1:])
def test_f31_a_bad_oracle_fails_alone_and_within_its_gas(trap, mode, funding):
    """It is asked before anything is borrowed, and costs at most its own step's limit."""
    trap.market.oracle.send("behave", ORACLE_MODES.index(mode))

    receipt, reports = trap.world.run(trap.step(funding), trap.world.step(trap.good))

    assert [bool(report.failure) for report in reports] == [True, False]
    assert int(receipt["gasUsed"], 16) < 2 * LIMIT
    assert max(len(log["data"]) for log in receipt["logs"]) < 2 + 2 * 400


@pytest.mark.parametrize("funding", [CALLBACK, MORPHO_LOAN])
@pytest.mark.parametrize(
    "entry",
    ["liquidate", "runStep", "onMorphoLiquidate", "onMorphoFlashLoan", "uniswapV3SwapCallback"],
)
def test_a_transfer_hook_gets_in_nowhere(trap, entry, funding):
    """The token calls back while Morpho is waited for, as an operator even: every door is shut."""
    world, step = trap.world, trap.step(funding)
    data = {
        "liquidate": ([step.values()], worlds.SOON, 0),
        "runStep": (0, step.values(), 0),
        "uniswapV3SwapCallback": (1, -1, b""),
    }.get(entry, (1, morphos.job_of(step)))
    message = world.executor.artifact.calldata(entry, *data)
    allowed, owner = True, world.devnet.accounts.owner
    world.executor.send("setOperator", trap.token.address, allowed, sender=owner)
    trap.token.send("reenterWith", world.executor.address, message)
    trap.token.send("behave", TOKEN_MODES.index("reenters"))

    _, (report,) = world.run(step)

    errors = {"liquidate": "Reentered", "runStep": "NotSelf"}
    said = worlds.failure_reason(trap.token.call("answer"))
    assert said.startswith(errors.get(entry, "UnexpectedCallback"))
    assert report.failure == ""
    assert trap.left() == {0}


def test_what_the_hook_tried_was_the_message_that_is_waited_for(trap):
    """The data alone opens nothing: it is the very message that Morpho comes back with."""
    step = trap.step(CALLBACK)
    said = trap.world.node.rpc(
        "debug_traceCall",
        [trap.world.transaction([step]).as_json(), "latest", {"tracer": "callTracer"}],
    )

    assert morphos.job_of(step).hex() in str(said)


@pytest.mark.parametrize(
    ("funding", "mode", "reason"),
    [
        (CALLBACK, "no_callback", "CallbackMissing("),
        (CALLBACK, "two_callbacks", "UnexpectedCallback("),
        (CALLBACK, "other_data", "UnexpectedCallback("),
        (CALLBACK, "other_entry", "UnexpectedCallback("),
        (CALLBACK, "asks_for_more", "Shortfall("),
        (CALLBACK, "takes_more", "Panic(17)"),
        (CALLBACK, "gone", "NotLiquidatable("),
        (MORPHO_LOAN, "no_callback", "CallbackMissing("),
        (MORPHO_LOAN, "two_callbacks", "UnexpectedCallback("),
        (MORPHO_LOAN, "other_data", "UnexpectedCallback("),
        (MORPHO_LOAN, "other_entry", "UnexpectedCallback("),
        (MORPHO_LOAN, "other_loan", "OtherLoan("),
        (MORPHO_LOAN, "gone", "NotLiquidatable("),
    ],
)
def test_a_morpho_without_manners_is_refused(trap, funding, mode, reason):
    """Even one on the allow-list is believed once, with our data, at the door that we opened."""
    trap.bad.send("behave", MORPHO_MODES.index(mode))

    said = trap.world.refusal(trap.bad_step(funding))

    assert reason in said, said
    assert trap.left() == {0}


@pytest.mark.parametrize("funding", [CALLBACK, MORPHO_LOAN])
@pytest.mark.parametrize("mode", ["plain", "takes_half"])
def test_an_allowance_that_is_not_used_is_taken_back(trap, funding, mode):
    """Exactly the debt is allowed; what is not taken of it cannot be taken later."""
    trap.bad.send("behave", MORPHO_MODES.index(mode))

    _, (report,) = trap.world.run(trap.bad_step(funding))

    assert report.failure == ""
    assert report.received == 110 * UNIT
    assert report.profit == (10 if mode == "plain" else 60) * UNIT
    assert trap.left() == {0}
