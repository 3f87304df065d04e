"""The vault on real contracts: it cures who is listed, within its limits, and nothing else."""

import json

import pytest

from contracts.build import VAULT_BUILDS, compiled
from tests.chain import executor_morpho_world as morphos
from tests.chain import vault_world as vaults
from tests.chain.conftest import undone
from tests.chain.vault_world import (
    AAVE_REPAY,
    AAVE_SUPPLY,
    DAY,
    FAR,
    MORPHO_REPAY,
    MORPHO_SUPPLY,
    WAD,
)
from tests.support.undoing import undo

pytestmark = pytest.mark.early(5)

VAULTS = [build.name for build in VAULT_BUILDS]
STRANGER = "0x" + "77" * 20
LEAST = 115 * WAD // 100


@pytest.fixture(scope="module", params=[("3.0", VAULTS[0]), ("3.6", VAULTS[0]), ("3.6", VAULTS[1])])
def laid(request):
    version, build = request.param
    devnet = request.getfixturevalue(f"market{version.replace('.', '')}")
    for each in undone(devnet):
        world = vaults.deployed(each, build)
        world.node.set_balance(STRANGER, WAD)
        yield world


@pytest.fixture
def world(laid):
    kept = laid.node.rpc("evm_snapshot")
    yield laid
    undo(laid.node, kept)


def sick(world, kind="plain"):
    """Return a borrower of a kind, listed for WETH and USDC, and the two tokens."""
    account = next(one.address for one in world.devnet.borrowers if one.kind == kind)
    weth, usdc = (world.devnet.tokens[symbol].address for symbol in ("WETH", "USDC"))
    for token in (weth, usdc):
        world.limit(token)
        world.admit(world.aave_place(), account, token)
    return account, weth, usdc


def amount_for(world, account, kind, token, target):
    """Return the least amount after which the vault's own check passes, by asking it."""
    low, high = 0, world.balance(token)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            world.node.call(world.cure(kind, world.aave(account), token, middle, min_health=target))
            high = middle
        except vaults.worlds.RpcRefused:
            low = middle
    return high


def test_the_artifacts_are_what_the_sources_give():
    """Whoever changes the contract builds it anew."""
    for build in VAULT_BUILDS:
        assert json.loads(build.file.read_text()) == compiled(build)


@pytest.mark.parametrize("kind", [AAVE_SUPPLY, AAVE_REPAY])
def test_it_cures_on_aave_and_keeps_no_allowance(world, kind):
    """The account reaches the health asked for, at the vault's cost; one unit less reverts."""
    account, weth, usdc = sick(world)
    token = weth if kind == AAVE_SUPPLY else usdc
    needed = amount_for(world, account, kind, token, LEAST)
    before = world.balance(token)

    world.run(
        world.cure(kind, world.aave(account), token, needed + needed // 10**6, min_health=LEAST)
    )

    assert world.health(account) >= LEAST
    assert 0 <= before - world.balance(token) - needed <= needed // 10**6
    assert world.allowance(token, world.devnet.aave.pool.address) == 0
    assert world.vault.call("leftToday", token) == FAR - (before - world.balance(token))


def test_what_does_not_cure_changes_nothing(world):
    """The operator's health, or the owner's where that is more, is looked at on the chain."""
    account, weth, _ = sick(world)
    data = world.aave(account)

    assert "NotCured" in world.refusal(world.cure(AAVE_SUPPLY, data, weth, 1_000, min_health=LEAST))
    world.owned("setListing", world.aave_place(), account, FAR, LEAST)
    assert "NotCured" in world.refusal(world.cure(AAVE_SUPPLY, data, weth, 1_000))


def test_a_supply_that_is_not_collateral_does_not_cure(world):
    """The pool does not flag it: the health stays, and the money stays in the vault."""
    account, *_ = sick(world)
    world.devnet.aave.configurator.send(
        "configureReserveAsCollateral", world.devnet.tokens["LINK"].address, 0, 7_100, 10_700
    )
    link = world.devnet.tokens["LINK"].address
    world.limit(link)
    world.admit(world.aave_place(), account, link)

    refused = world.refusal(
        world.cure(AAVE_SUPPLY, world.aave(account), link, 10**20, min_health=LEAST)
    )

    assert "NotCured" in refused


def test_a_repayment_of_more_than_is_owed_takes_the_debt_only(world):
    """The rest stays in the vault, and does not count against its limits."""
    account, _, usdc = sick(world)
    owed = world.devnet.aave.data_provider.call("getUserReserveData", usdc, account)[2]
    before = world.balance(usdc)

    world.run(world.cure(AAVE_REPAY, world.aave(account), usdc, 2 * owed))

    spent = before - world.balance(usdc)
    assert owed <= spent <= owed * 1_001 // 1_000
    assert world.vault.call("leftTodayFor", account, usdc) == FAR - spent
    assert world.health(account) == 2**256 - 1
    assert world.allowance(usdc, world.devnet.aave.pool.address) == 0


def test_each_limit_holds_to_the_unit(world):
    """Per transaction, day and account: at the limit it works, one unit above it is refused."""
    account, _, usdc = sick(world)
    most, data = 10**6, world.aave(account)

    def asked(amount):
        return world.cure(AAVE_REPAY, data, usdc, amount)

    world.owned("setListing", world.aave_place(), account, FAR, 1)
    for set_, error in (
        (lambda limit: world.limit(usdc, each=limit), "OverTransactionLimit"),
        (lambda limit: world.limit(usdc, day=limit), "OverDayLimit"),
        (
            lambda limit: world.owned("setAccountLimit", account, usdc, limit),
            "OverAccountLimit",
        ),
    ):
        world.limit(usdc)
        world.owned("setAccountLimit", account, usdc, FAR)
        kept = world.node.rpc("evm_snapshot")
        set_(most)
        assert error in world.refusal(asked(most + 1))
        world.run(asked(most))
        undo(world.node, kept)


def test_days_add_up_and_the_next_begins_anew(world):
    """What was spent today counts until midnight of the chain's clock, for vault and account."""
    account, _, usdc = sick(world)
    world.owned("setListing", world.aave_place(), account, FAR, 1)
    world.limit(usdc, each=60, day=100)
    world.owned("setAccountLimit", account, usdc, 90)
    data = world.aave(account)
    now = int(world.node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)
    world.node.pass_time(DAY - now % DAY + 60)  # a minute after midnight: the day is young

    world.run(world.cure(AAVE_REPAY, data, usdc, 60))
    assert "OverAccountLimit" in world.refusal(world.cure(AAVE_REPAY, data, usdc, 31))
    assert "OverDayLimit" in world.refusal(world.cure(AAVE_REPAY, data, usdc, 41))
    world.run(world.cure(AAVE_REPAY, data, usdc, 30))
    assert (
        world.vault.call("leftToday", usdc),
        world.vault.call("leftTodayFor", account, usdc),
    ) == (10, 0)

    world.node.pass_time(DAY)
    assert (
        world.vault.call("leftToday", usdc),
        world.vault.call("leftTodayFor", account, usdc),
    ) == (100, 90)
    world.run(world.cure(AAVE_REPAY, data, usdc, 60))


def test_nobody_else_is_cured_and_nobody_else_cures(world):
    """Operators only, listed accounts and limited tokens only, and not where there is no need."""
    account, weth, usdc = sick(world)
    other = next(one.address for one in world.devnet.borrowers if one.kind == "two_by_two")
    data, owner = world.aave(account), world.devnet.accounts.owner

    def refused(*arguments, **terms):
        return world.refusal(world.cure(*arguments, **terms))

    for stranger in (STRANGER, owner, account):
        assert "NotOperator" in refused(AAVE_SUPPLY, data, weth, WAD, sender=stranger)
    assert "NotListed" in refused(AAVE_SUPPLY, world.aave(other), weth, WAD)
    wbtc = world.devnet.tokens["WBTC"].address
    assert "OverTransactionLimit" in refused(AAVE_SUPPLY, data, wbtc, 1)
    world.limit(wbtc)
    assert "OverAccountLimit" in refused(AAVE_SUPPLY, data, wbtc, 1)
    assert "UnknownKind" in refused(9, data, weth, WAD)
    assert "DeadlinePassed" in refused(AAVE_SUPPLY, data, weth, WAD, deadline=1)
    elsewhere = data[:12] + bytes.fromhex(STRANGER[2:]) + data[32:]
    assert "NotListed" in refused(AAVE_SUPPLY, elsewhere, weth, WAD)
    world.owned("setListing", world.aave_place(), account, world.health(account) - 10**12, WAD)
    assert "NotInNeed" in refused(AAVE_SUPPLY, data, weth, WAD)
    world.owned("setListing", world.aave_place(), account, FAR, WAD)
    assert "NotFunded" in refused(AAVE_REPAY, data, usdc, world.balance(usdc) + 1)
    paused = True
    world.owned("setPaused", paused)
    assert "IsPaused" in refused(AAVE_SUPPLY, data, weth, WAD)


def test_only_the_owner_takes_money_out_or_changes_anything(world):
    """And the ownership moves in two steps."""
    weth, hot = world.devnet.tokens["WETH"].address, world.devnet.accounts.hot
    yes = True
    for function, *arguments in (
        ("withdraw", weth, hot, 1),
        ("setLimit", weth, 1, 1),
        ("setAccountLimit", hot, weth, 1),
        ("setListing", bytes(32), hot, 1, 1),
        ("setOperator", STRANGER, yes),
        ("setPaused", yes),
        ("transferOwnership", hot),
    ):
        assert "NotOwner" in world.refusal(
            world.vault.transaction(function, *arguments, sender=hot)
        )
    before = world.devnet.tokens["WETH"].call("balanceOf", STRANGER)
    world.owned("withdraw", weth, STRANGER, 5)
    assert world.devnet.tokens["WETH"].call("balanceOf", STRANGER) == before + 5

    world.owned("transferOwnership", STRANGER)
    assert "NotPendingOwner" in world.refusal(
        world.vault.transaction("acceptOwnership", sender=hot)
    )
    world.vault.send("acceptOwnership", sender=STRANGER)
    assert world.vault.call("owner").lower() == STRANGER


@pytest.fixture(scope="module")
def morpho_laid(market36):
    for each in undone(market36):
        world, other = vaults.with_morpho(each, VAULTS[0])
        prices = each.prices()
        weth, usdc = each.tokens["WETH"], each.tokens["USDC"]
        market = other.market(usdc, weth, 0xC001)
        other.enter(market, 10 * WAD, morphos.price_of("WETH", "USDC", prices), 7_900)
        for token in (weth.address, usdc.address):
            world.limit(token)
            world.admit(world.morpho_place(market), market.borrower, token)
        yield world, other, market


@pytest.fixture
def on_morpho(morpho_laid):
    kept = morpho_laid[0].node.rpc("evm_snapshot")
    yield morpho_laid
    undo(morpho_laid[0].node, kept)


def test_it_cures_on_morpho_and_keeps_no_allowance(on_morpho):
    """Collateral to the unit; debt in part, or all of it where more than is owed is given."""
    world, other, market = on_morpho
    loan, collateral, *_ = market.params
    data = world.on_morpho(market)
    shares, pledged = other.position(market)

    world.run(world.cure(MORPHO_SUPPLY, data, collateral, 7 * WAD // 2, min_health=LEAST))
    assert other.position(market) == (shares, pledged + 7 * WAD // 2)

    before = world.balance(loan)
    world.run(world.cure(MORPHO_REPAY, data, loan, 10**9, min_health=LEAST))
    assert before - world.balance(loan) == 10**9

    owed = other.debt_of(market)
    world.run(world.cure(MORPHO_REPAY, data, loan, 2 * owed))
    assert other.position(market)[0] == 0
    assert owed <= before - 10**9 - world.balance(loan) <= owed * 1_001 // 1_000
    for token in (loan, collateral):
        assert world.allowance(token, world.morpho.address) == 0


def test_on_morpho_the_market_is_the_place(on_morpho):
    """A market that anybody made, with an oracle of his, is none that the owner listed."""
    world, other, market = on_morpho
    loan, collateral, *_ = market.params
    made = other.market(world.devnet.tokens["USDC"], world.devnet.tokens["WETH"], 0xC002)
    theirs = morphos.Market(made.params, made.oracle, market.borrower)

    assert "NotListed" in world.refusal(
        world.cure(MORPHO_SUPPLY, world.on_morpho(theirs), collateral, WAD)
    )
    data = world.on_morpho(market)
    assert "OtherToken" in world.refusal(world.cure(MORPHO_SUPPLY, data, loan, 1))
    assert "OtherToken" in world.refusal(world.cure(MORPHO_REPAY, data, collateral, 1))
    assert "NotCured" in world.refusal(
        world.cure(MORPHO_SUPPLY, data, collateral, 1, min_health=2 * WAD)
    )
