"""A hostile collateral that has a real exit: what happens between the seizure and the sale."""

from dataclasses import dataclass
from math import isqrt

import pytest

from contracts.build import BUILDS
from keeper.devnet.artifacts import Contract, Deployer
from tests.chain import executor_morpho_world as morphos
from tests.chain import executor_world as worlds
from tests.chain.executor_morpho_world import CALLBACK, MORPHO_LOAN, Market, MorphoWorld
from tests.chain.executor_world import Step
from tests.chain.test_executor_hostile import TOKEN_MODES
from tests.support.undoing import undo

SWAP = 2
FUNDINGS = (CALLBACK, SWAP, MORPHO_LOAN)
FEE = 3_000
UNIT, USDC = 10**18, 10**6
LAST_TICK = 887_220
PLEDGED = 1_000


@dataclass
class Trap:
    """A market of real dollars against the hostile token, which trades for a dollar."""

    world: MorphoWorld
    token: Contract
    market: Market

    def step(self, funding: int) -> Step:
        """Return the liquidation of everything, with the exit through the token's own pool."""
        world = self.world
        token, dollars = bytes.fromhex(self.token.address[2:]), world.path("USDC")
        lender = world.morpho.address if funding == MORPHO_LOAN else worlds.ZERO
        borrow = 0 if funding == CALLBACK else world.debt_of(self.market) * 1001 // 1000
        step = world.step(self.market, funding=funding, lender=lender, borrow=borrow)
        return step.with_(path=token + FEE.to_bytes(3) + dollars)

    def left(self) -> set[int]:
        """Return what the executor still has of both tokens, and what it still allows."""
        world, spenders = self.world, (self.world.morpho.address, self.token.address)
        tokens = (self.token.address, world.address("USDC"))
        kept = {world.balance(token, world.executor.address) for token in tokens}
        return kept | {world.allowance(token, who) for token in tokens for who in spenders}


@pytest.fixture(scope="module", params=[build.name for build in BUILDS])
def laid(request, market36):
    kept = market36.node.rpc("evm_snapshot")
    world = morphos.with_morpho(market36, request.param)
    admin, manager = market36.accounts.admin, market36.venue.manager
    token = Deployer(market36.node, admin).deploy(world.hostile["HostileToken"])
    token.send("give", admin, 10**7 * UNIT)
    for spender in (world.morpho, manager):
        token.send("approve", spender.address, 2**255)
    amounts = {token.address: 10**6 * UNIT, world.address("USDC"): 10**6 * USDC}
    first, second = sorted(amounts, key=str.lower)
    root = isqrt((amounts[second] << 192) // amounts[first])
    manager.send("createAndInitializePoolIfNecessary", first, second, FEE, root)
    terms = (first, second, FEE, -LAST_TICK, LAST_TICK, amounts[first], amounts[second], 0, 0)
    manager.send("mint", (*terms, admin, worlds.SOON))
    market = world.market(market36.tokens["USDC"], token, 0xB2000)
    par = morphos.PRICE_SCALE * USDC // UNIT
    world.enter(market, PLEDGED * UNIT, par, 8_000)
    market.oracle.send("tell", par * 9 // 10)
    yield Trap(world, token, market)
    undo(market36.node, kept)


@pytest.fixture
def trap(laid):
    kept = laid.world.node.rpc("evm_snapshot")
    yield laid
    undo(laid.world.node, kept)


@pytest.mark.parametrize("funding", FUNDINGS)
def test_an_exit_through_the_token_itself_pays(trap, funding):
    """While it behaves, the market is one like any other."""
    receipt, (report,) = trap.world.run(trap.step(funding))

    ((repaid, seized, _),) = trap.world.liquidated(receipt)
    assert (report.failure, report.spent, report.received) == ("", repaid, seized)
    assert report.profit == trap.world.balance(
        trap.world.address("USDC"), trap.world.devnet.accounts.receiver
    )
    assert trap.left() == {0}


@pytest.mark.parametrize("funding", FUNDINGS)
@pytest.mark.parametrize("mode", ["returns_false", "burns_gas", "return_bomb", "fee_on_transfer"])
def test_a_collateral_that_cannot_be_sold_undoes_the_step(trap, mode, funding):
    """Nobody's dollars are spent on it, and none are left allowed."""
    trap.token.send("behave", TOKEN_MODES.index(mode))

    assert "nothing worked" in trap.world.refusal(trap.step(funding))
    assert trap.left() == {0}


@pytest.mark.parametrize("funding", FUNDINGS)
@pytest.mark.parametrize("transfers", [0, 1])
@pytest.mark.parametrize("entry", ["onMorphoLiquidate", "onMorphoFlashLoan", "executeOperation"])
def test_a_hook_gets_in_neither_at_the_seizure_nor_at_the_sale(trap, entry, transfers, funding):
    """Before Morpho's callback somebody else is waited for, and after it nobody is."""
    step = trap.step(funding)
    own = trap.world.executor.address
    data = {"executeOperation": (trap.token.address, 1, 0, own, b"")}.get(
        entry, (1, morphos.job_of(step))
    )
    message = trap.world.executor.artifact.calldata(entry, *data)
    trap.token.send("reenterWith", own, message)
    trap.token.send("wait", transfers)
    trap.token.send("behave", TOKEN_MODES.index("reenters"))

    _, (report,) = trap.world.run(step)

    said = worlds.failure_reason(trap.token.call("answer"))
    assert trap.token.call("reentered")
    assert said.startswith("UnexpectedCallback")
    assert report.failure == ""
    assert trap.left() == {0}
