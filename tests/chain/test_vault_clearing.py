"""The vault on a real pool: it clears accounts under water within its budget, and no others."""

import pytest

from contracts.build import VAULT_BUILDS
from tests.chain import vault_world as vaults
from tests.chain.conftest import undone
from tests.chain.vault_world import DAY, FAR, WAD
from tests.support.undoing import undo

STRANGER = "0x" + "77" * 20
COUNTED = 9_000


@pytest.fixture(scope="module", params=[build.name for build in VAULT_BUILDS])
def laid(request, market36):
    for each in undone(market36):
        world = vaults.deployed(each, request.param)
        world.node.set_balance(STRANGER, WAD)
        yield world


@pytest.fixture
def world(laid):
    kept = laid.node.rpc("evm_snapshot")
    yield laid
    undo(laid.node, kept)


def drowned(world):
    """Return an account whose collateral is worth less than its debt, the collateral, the debt."""
    people = [one.address for one in world.devnet.borrowers if one.kind == "plain"]
    account = max(people, key=world.health)
    weth, usdc = (world.devnet.tokens[symbol].address for symbol in ("WETH", "USDC"))
    price = world.devnet.prices()["WETH"]
    world.devnet.set_prices({"WETH": price * 6 * 10**17 // world.health(account)})
    collateral, debt, *_ = world.devnet.aave.pool.call("getUserAccountData", account)
    assert 0 < collateral < debt
    world.limit(usdc)
    return account, weth, usdc


def owed(world, account, token):
    return int(world.devnet.aave.data_provider.call("getUserReserveData", token, account)[2])


def asked(world, account, collateral, token, **terms):
    """Return the transaction that asks for all of the debt: the pool takes what it can."""
    amount = 2 * owed(world, account, token)
    return world.clear(account, token, amount, collateral, **terms)


def loss_of(world, transaction):
    """Return what clearing would lose, as the vault says, with nothing sent."""
    return int.from_bytes(world.node.call(transaction)[64:96])


def test_an_account_under_water_is_cleared_and_the_loss_is_booked_exactly(world):
    """The collateral lies in the vault, the loss counts the day's budget, no allowance is left."""
    account, weth, usdc = drowned(world)
    world.open(weth, day=10**15, counted=COUNTED)
    place, before = world.aave_place(), (world.balance(weth), world.balance(usdc))

    world.run(asked(world, account, weth, usdc))

    received, spent = world.balance(weth) - before[0], before[1] - world.balance(usdc)
    prices = world.devnet.prices()
    cost = -(-spent * prices["USDC"] // 10**6)
    loss = cost - received * prices["WETH"] // WAD * COUNTED // 10_000
    assert received > 0
    assert loss > 0
    assert world.vault.call("lossLeftToday", place) == 10**15 - loss
    assert world.vault.call("leftToday", usdc) == FAR - spent
    assert world.allowance(usdc, world.devnet.aave.pool.address) == 0
    assert world.devnet.aave.pool.call("getUserAccountData", account)[0] == 0


def test_at_its_full_price_the_collateral_pays_for_the_debt(world):
    """The pool pays a bonus at its own prices: without a discount there is no loss to book."""
    account, weth, usdc = drowned(world)
    world.open(weth, each=1, day=1, counted=10_000)

    world.run(asked(world, account, weth, usdc, most=0))

    assert world.vault.call("lossLeftToday", world.aave_place()) == 1


def test_each_limit_of_the_loss_holds_to_the_unit(world):
    """Asked, per transaction, of the day: at the limit it works, a unit of loss above it is no."""
    account, weth, usdc = drowned(world)
    world.open(weth)
    world.node.rpc("anvil_setBlockTimestampInterval", [0])  # the loss of now is that of then
    loss = loss_of(world, asked(world, account, weth, usdc))
    assert loss > 0

    for limits, most in (({}, loss), ({"each": loss}, FAR), ({"day": loss}, FAR)):
        kept = world.node.rpc("evm_snapshot")
        tighter = {name: limit - 1 for name, limit in limits.items()}
        world.open(weth, **tighter)
        less = most if tighter else most - 1
        assert "OverLoss" in world.refusal(asked(world, account, weth, usdc, most=less))
        world.open(weth, **limits)
        found = loss_of(world, asked(world, account, weth, usdc, most=most))
        assert found == loss
        undo(world.node, kept)


def test_the_tokens_limits_hold_for_clearing_too(world):
    """What is asked for counts against the limits that cures have, before it is spent."""
    account, weth, usdc = drowned(world)
    world.open(weth)
    for limits, error in (({"each": 99}, "OverTransactionLimit"), ({"day": 99}, "OverDayLimit")):
        world.limit(usdc, **limits)
        assert error in world.refusal(world.clear(account, usdc, 100, weth))


def test_losses_of_a_day_add_up_and_the_next_begins_anew(world):
    """The second account of the day has what the first left; after midnight there is all again."""
    account, weth, usdc = drowned(world)
    now = int(world.node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)
    world.node.pass_time(DAY - now % DAY + 60)
    people = [one.address for one in world.devnet.borrowers if one.kind == "plain"]
    other = next(one for one in people if one != account and world.health(one) < WAD)
    world.open(weth)
    loss = loss_of(world, asked(world, account, weth, usdc))
    world.open(weth, day=loss + loss // 1_000)  # and what interest adds until it is mined

    world.run(asked(world, account, weth, usdc))
    assert "OverLoss" in world.refusal(asked(world, other, weth, usdc))

    world.node.pass_time(DAY)
    assert world.vault.call("lossLeftToday", world.aave_place()) == loss + loss // 1_000


def test_nothing_is_cleared_that_the_owner_did_not_open(world):
    """No place, no collateral, no operator, a pause, a deadline, another kind, no money: no."""
    account, weth, usdc = drowned(world)

    def refused(**terms):
        return world.refusal(asked(world, account, weth, usdc, **terms))

    assert "NotOpen" in refused()
    world.owned("setCounted", world.aave_place(), weth, 10_000)
    assert "NotOpen" in refused()
    world.open(weth)
    wbtc = world.devnet.tokens["WBTC"].address
    assert "NotOpen" in world.refusal(asked(world, account, wbtc, usdc))
    world.owned("setCounted", world.aave_place(), usdc, 10_000)
    assert "SameToken" in world.refusal(asked(world, account, usdc, usdc))
    for stranger in (STRANGER, world.devnet.accounts.owner):
        assert "NotOperator" in refused(sender=stranger)
    assert "DeadlinePassed" in refused(deadline=1)
    assert "UnknownKind" in refused(kind=1)
    much = world.balance(usdc) + 1
    assert "NotFunded" in world.refusal(world.clear(account, usdc, much, weth))
    yes = True
    world.owned("setPaused", yes)
    assert "IsPaused" in refused()


def test_a_healthy_account_is_refused_by_the_pool(world):
    """The vault asks the protocol to liquidate, and the protocol knows who may be."""
    account, weth, usdc = drowned(world)
    world.open(weth)
    world.devnet.set_prices({"WETH": world.devnet.prices()["WETH"] * 3})
    assert world.health(account) > WAD
    before = world.balance(usdc)

    assert "HealthFactorNotBelowThreshold" in world.refusal(asked(world, account, weth, usdc))
    assert world.balance(usdc) == before


def test_only_the_owner_opens_a_place(world):
    """And no collateral counts more than its price."""
    weth, hot = world.devnet.tokens["WETH"].address, world.devnet.accounts.hot
    place, owner = world.aave_place(), world.devnet.accounts.owner
    for call in (("setLossLimit", place, 1, 1), ("setCounted", place, weth, 1)):
        assert "NotOwner" in world.refusal(world.vault.transaction(*call, sender=hot))
    above = world.vault.transaction("setCounted", place, weth, 10_001, sender=owner)
    assert "BadShare" in world.refusal(above)
