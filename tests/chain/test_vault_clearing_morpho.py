"""The vault on real Morpho Blue: it clears by the market's own rules, within its own limits."""

import pytest

from contracts.build import VAULT_BUILDS
from keeper.devnet.artifacts import Deployer
from tests.chain import executor_morpho_world as morphos
from tests.chain import vault_world as vaults
from tests.chain.conftest import undone
from tests.chain.executor_morpho_world import PRICE_SCALE
from tests.chain.test_executor_hostile import TOKEN_MODES
from tests.chain.vault_world import FAR, WAD
from tests.support.undoing import undo

COUNTED = 9_000
STRANGER = "0x" + "77" * 20
PLEDGED = 10 * WAD
UNIT = 10**18


@pytest.fixture(scope="module", params=[build.name for build in VAULT_BUILDS])
def laid(request, market36):
    """A borrower of USDC against WETH, and one of USDC against a token that means ill."""
    for each in undone(market36):
        world, other = vaults.with_morpho(each, request.param)
        weth, usdc = each.tokens["WETH"], each.tokens["USDC"]
        market = other.market(usdc, weth, 0xC101)
        price = morphos.price_of("WETH", "USDC", each.prices())
        other.enter(market, PLEDGED, price, 8_000)
        world.limit(usdc.address)
        world.open_place(world.morpho_place(market), weth.address, counted=COUNTED)
        yield world, other, market, price


@pytest.fixture
def drowned(laid):
    """The collateral is worth three quarters of the debt."""
    world, other, market, price = laid
    kept = world.node.rpc("evm_snapshot")
    market.oracle.send("tell", price * 6 // 10)
    yield world, other, market
    undo(world.node, kept)


def loss_of(world, transaction):
    """Return what clearing would lose, as the vault says, with nothing sent."""
    return int.from_bytes(world.node.call(transaction)[64:96])


def test_an_account_under_water_is_cleared_to_the_unit(drowned):
    """All collateral for what Morpho takes for it; the lenders bear the rest, as by its rules."""
    world, other, market = drowned
    usdc, weth, *_ = market.params
    place, price = world.morpho_place(market), market.oracle.call("price")
    before = (world.balance(usdc), world.balance(weth))

    receipt = world.run(world.clear_on_morpho(market, other.debt_of(market), seized=FAR))

    ((repaid, seized, bad_debt),) = other.liquidated(receipt)
    spent, received = before[0] - world.balance(usdc), world.balance(weth) - before[1]
    assert (spent, received) == (repaid, seized) == (repaid, PLEDGED)
    assert bad_debt > 0
    assert other.position(market) == (0, 0)
    loss = spent - received * price // PRICE_SCALE * COUNTED // 10_000
    assert loss > 0
    assert world.vault.call("lossLeftToday", place) == FAR - loss
    assert world.vault.call("leftToday", usdc) == FAR - spent
    for token in (usdc, weth):
        assert world.allowance(token, world.morpho.address) == 0


def test_one_that_is_only_past_the_line_is_cleared_by_its_debt(drowned, laid):
    """More shares than are owed are all that are owed; what is left of the collateral is his."""
    world, other, market = drowned
    usdc, weth, *_ = market.params
    market.oracle.send("tell", laid[3] * 9 // 10)
    shares, _ = other.position(market)
    before = (world.balance(usdc), world.balance(weth))

    debt = other.debt_of(market)
    receipt = world.run(world.clear_on_morpho(market, debt * 11 // 10, shares=2 * shares))

    ((repaid, seized, bad_debt),) = other.liquidated(receipt)
    assert (before[0] - world.balance(usdc), world.balance(weth) - before[1]) == (repaid, seized)
    assert other.position(market) == (0, PLEDGED - seized)
    assert (bad_debt, world.allowance(usdc, world.morpho.address)) == (0, 0)


def test_each_limit_of_the_loss_holds_to_the_unit(drowned):
    """Asked, per transaction, of the day: at the limit it works, a unit of loss above it is no."""
    world, other, market = drowned
    weth, place = market.params[1], world.morpho_place(market)
    asked = {"amount": 2 * other.debt_of(market), "seized": PLEDGED}
    loss = loss_of(world, world.clear_on_morpho(market, **asked))
    assert loss > 0

    for limits, most in (({}, loss), ({"each": loss}, FAR), ({"day": loss}, FAR)):
        world.open_place(place, weth, counted=COUNTED, **limits)
        assert loss_of(world, world.clear_on_morpho(market, **asked, most=most)) == loss
        tighter = {name: limit - 1 for name, limit in limits.items()}
        world.open_place(place, weth, counted=COUNTED, **tighter)
        less = most if tighter else most - 1
        assert "OverLoss" in world.refusal(world.clear_on_morpho(market, **asked, most=less))

    world.open_place(place, weth, day=2 * loss - 1, counted=COUNTED)
    world.run(world.clear_on_morpho(market, asked["amount"], seized=PLEDGED - 1))
    assert world.vault.call("lossLeftToday", place) < loss


def test_nothing_is_cleared_that_the_owner_did_not_open(drowned, laid):
    """Another market of the same tokens, other tokens, nobody's key, a healthy account: no."""
    world, other, market = drowned
    usdc, weth, *_ = market.params
    debt, before = other.debt_of(market), world.balance(usdc)
    made = other.market(world.devnet.tokens["USDC"], world.devnet.tokens["WETH"], 0xC103)
    theirs = morphos.Market(made.params, made.oracle, market.borrower)
    assert "NotOpen" in world.refusal(world.clear_on_morpho(theirs, debt, seized=WAD))

    for words in ({"token": weth}, {"collateral": usdc}):
        asked = world.clear_on_morpho(market, debt, seized=WAD, **words)
        assert "OtherMarket" in world.refusal(asked)
    for sender in (STRANGER, world.devnet.accounts.owner):
        world.node.set_balance(sender, WAD)
        asked = world.clear_on_morpho(market, debt, seized=WAD, sender=sender)
        assert "NotOperator" in world.refusal(asked)
    called = world.clear_on_morpho(market, 1, seized=PLEDGED)  # less than Morpho takes for it
    assert world.refusal(called)
    world.owned("setCounted", world.morpho_place(market), weth, 0)
    assert "NotOpen" in world.refusal(world.clear_on_morpho(market, debt, seized=WAD))
    world.owned("setCounted", world.morpho_place(market), weth, COUNTED)
    market.oracle.send("tell", laid[3])
    assert "position is healthy" in world.refusal(world.clear_on_morpho(market, debt, seized=WAD))
    assert world.balance(usdc) == before
    assert world.allowance(usdc, world.morpho.address) == 0


@pytest.fixture
def trap(laid):
    """A market, opened by the owner, whose collateral is a token that means ill."""
    world, other, *_ = laid
    kept = world.node.rpc("evm_snapshot")
    admin = world.devnet.accounts.admin
    token = Deployer(world.node, admin).deploy(other.hostile["HostileToken"])
    token.send("give", admin, 10**6 * UNIT)
    token.send("approve", other.morpho.address, 2**255)
    market = other.market(world.devnet.tokens["USDC"], token, 0xC104)
    other.enter(market, 100 * UNIT, PRICE_SCALE // 10**12, 8_000)  # a dollar each
    market.oracle.send("tell", PRICE_SCALE // 10**12 * 6 // 10)
    world.open_place(world.morpho_place(market), token.address, counted=COUNTED)
    yield world, other, market, token
    undo(world.node, kept)


def test_a_collateral_that_calls_back_is_not_let_in(trap):
    """It is paid out to the vault before Morpho takes its money: nothing else gets in meanwhile."""
    world, other, market, token = trap
    yes, usdc = True, market.params[0]
    world.owned("setOperator", token.address, yes)
    again = world.clear_on_morpho(market, other.debt_of(market), seized=UNIT)
    token.send("reenterWith", world.vault.address, again.data)
    token.send("behave", TOKEN_MODES.index("reenters"))

    world.run(world.clear_on_morpho(market, other.debt_of(market), seized=FAR))

    assert token.call("answer") == bytes.fromhex("b5dfd9e5")  # Reentered()
    assert world.allowance(usdc, world.morpho.address) == 0


def test_only_what_arrives_counts(trap):
    """A token that keeps a part on the way makes the loss larger, and the limits hold for that."""
    world, other, market, token = trap
    debt, place = other.debt_of(market), world.morpho_place(market)
    plain = loss_of(world, world.clear_on_morpho(market, debt, seized=FAR))
    token.send("behave", TOKEN_MODES.index("fee_on_transfer"))
    more = loss_of(world, world.clear_on_morpho(market, debt, seized=FAR))
    assert more > plain > 0
    world.open_place(place, token.address, each=more - 1, counted=COUNTED)
    assert "OverLoss" in world.refusal(world.clear_on_morpho(market, debt, seized=FAR))

    token.send("behave", TOKEN_MODES.index("returns_false"))
    assert world.refusal(world.clear_on_morpho(market, debt, seized=FAR))
    assert world.allowance(market.params[0], world.morpho.address) == 0
