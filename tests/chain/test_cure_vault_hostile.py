"""Tokens that mean ill in a vault: the cure is done or nothing happens, and no allowance stays."""

from dataclasses import dataclass

import pytest

from contracts.build import VAULT_BUILDS
from keeper.devnet.artifacts import Contract, Deployer
from tests.chain import executor_morpho_world as morphos
from tests.chain import vault_world as vaults
from tests.chain.conftest import undone
from tests.chain.executor_morpho_world import Market
from tests.chain.test_executor_hostile import TOKEN_MODES
from tests.chain.vault_world import MORPHO_REPAY, MORPHO_SUPPLY, WAD, VaultWorld
from tests.support.undoing import undo

UNIT = 10**18


@dataclass
class Trap:
    """A listed borrower in a market of a hostile token, which lies in the vault, too."""

    world: VaultWorld
    token: Contract
    market: Market

    def cure(self, kind, amount=20 * UNIT):
        """Return a cure with the token."""
        data = self.world.on_morpho(self.market)
        return self.world.cure(kind, data, self.token.address, amount, min_health=WAD)

    def left(self):
        """Return what Morpho may still take."""
        assert self.world.morpho is not None
        return self.world.allowance(self.token.address, self.world.morpho.address)


@pytest.fixture(scope="module", params=[build.name for build in VAULT_BUILDS])
def laid(request, market36):
    for each in undone(market36):
        other = morphos.with_morpho(each, "LiquidationExecutor")
        world = vaults.deployed(each, request.param, other.morpho)
        token = Deployer(each.node, each.accounts.admin).deploy(other.hostile["HostileToken"])
        for whom in (each.accounts.admin, world.vault.address):
            token.send("give", whom, 10**6 * UNIT)
        token.send("approve", other.morpho.address, 2**255)
        market = other.market(token, token, 0xD001)
        other.enter(market, 100 * UNIT, morphos.PRICE_SCALE, 8_000)
        market.oracle.send("tell", morphos.PRICE_SCALE * 9 // 10)
        world.limit(token.address)
        world.admit(world.morpho_place(market), market.borrower, token.address)
        yield Trap(world, token, market)


@pytest.fixture
def trap(laid):
    kept = laid.world.node.rpc("evm_snapshot")
    yield laid
    undo(laid.world.node, kept)


@pytest.mark.parametrize("kind", [MORPHO_SUPPLY, MORPHO_REPAY])
@pytest.mark.parametrize(
    "mode", ["plain", "no_return", "approve_race", "no_zero_approve", "fee_on_transfer"]
)
def test_odd_but_honest_tokens_cure(trap, mode, kind):
    """No return value, zero first, never zero, less on the way: the vault pays what was asked."""
    trap.token.send("behave", TOKEN_MODES.index(mode))
    before = trap.world.balance(trap.token.address)

    trap.world.run(trap.cure(kind))

    assert before - trap.world.balance(trap.token.address) == 20 * UNIT
    assert trap.left() == 0


@pytest.mark.parametrize("kind", [MORPHO_SUPPLY, MORPHO_REPAY])
@pytest.mark.parametrize("mode", ["returns_false", "burns_gas", "return_bomb"])
def test_a_token_that_fails_changes_nothing(trap, mode, kind):
    """The limits are as they were: nothing was spent."""
    before = trap.world.balance(trap.token.address)
    trap.token.send("behave", TOKEN_MODES.index(mode))

    assert "TokenCallFailed" in trap.world.refusal(trap.cure(kind))
    trap.token.send("behave", 0)
    assert trap.world.balance(trap.token.address) == before
    assert trap.left() == 0


def test_a_token_that_calls_back_is_not_let_in(trap):
    """Neither as an operator, who may cure, nor as the owner, who may withdraw."""
    world, yes = trap.world, True
    world.owned("setOperator", trap.token.address, yes)
    again = trap.cure(MORPHO_SUPPLY)
    out = world.vault.transaction("withdraw", trap.token.address, trap.token.address, UNIT)
    for attempt in (again, out):
        kept = world.node.rpc("evm_snapshot")
        if attempt is out:
            world.owned("transferOwnership", trap.token.address)
            accept = world.vault.transaction("acceptOwnership", sender=trap.token.address)
            world.node.set_balance(trap.token.address, WAD)
            world.run(accept)
        trap.token.send("reenterWith", world.vault.address, attempt.data)
        trap.token.send("behave", TOKEN_MODES.index("reenters"))

        world.run(trap.cure(MORPHO_SUPPLY))

        assert trap.token.call("answer") == bytes.fromhex("b5dfd9e5")  # Reentered()
        assert trap.left() == 0
        undo(world.node, kept)
