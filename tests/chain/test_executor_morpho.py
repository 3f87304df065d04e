"""The executor on Morpho Blue, real contracts: each source of money, each protocol, each exit."""

import pytest
from eth_abi.abi import encode

from contracts.build import BUILDS
from keeper.domain.units import UINT256_MAX
from keeper.execution.executor import decode_results
from tests.chain import executor_morpho_world as morphos
from tests.chain import executor_world as worlds
from tests.chain.executor_morpho_world import CALLBACK, MORPHO_LOAN, Market, MorphoWorld
from tests.chain.executor_world import Step
from tests.support.undoing import undo

LOAN, SWAP, FLASH = 1, 2, 3
FUNDINGS = (LOAN, SWAP, FLASH, CALLBACK, MORPHO_LOAN)
EXITS = {
    "one hop": ("USDC", "WETH", ("WETH", 500, "USDC")),
    "two hops": ("USDC", "WETH", ("WETH", 500, "USDT", 100, "USDC")),
    "three hops": ("USDT", "WETH", ("WETH", 500, "WBTC", 3000, "USDC", 100, "USDT")),
    "no return value": ("USDT", "WETH", ("WETH", 500, "USDT")),
    "eight decimals": ("WETH", "WBTC", ("WBTC", 500, "WETH")),
    "same asset": ("WETH", "WETH", ()),
}
LENDERS = {
    "USDC": ("DAI", "USDC", 100),
    "USDT": ("USDC", "USDT", 100),
    "WETH": ("WETH", "DAI", 3000),
}
# A flash swap needs a pool; a pool that lends is locked, and the third hop is through it.
IMPOSSIBLE = {(SWAP, "same asset"), (FLASH, "three hops")}
CASES = [(each, name) for each in FUNDINGS for name in EXITS if (each, name) not in IMPOSSIBLE]
AAVE_EXITS = {
    "one hop": ("plain", "USDC", "WETH", ("WETH", 500, "USDC")),
    "three hops": ("tether", "USDT", "WETH", ("WETH", 500, "WBTC", 3000, "USDC", 100, "USDT")),
    "same asset": ("same_asset", "WETH", "WETH", ()),
}
WORTH = 50_000 * worlds.USD
FALLEN = {"WETH": 2_600 * worlds.USD, "WBTC": 50_000 * worlds.USD}


@pytest.fixture(scope="module", params=[build.name for build in BUILDS])
def ready(request, market36):
    kept = market36.node.rpc("evm_snapshot")
    world = morphos.with_morpho(market36, request.param)
    before = market36.prices()
    for number, (name, (loan, collateral, _)) in enumerate(EXITS.items(), 0xB0000):
        tokens = market36.tokens
        market = world.market(tokens[loan], tokens[collateral], number)
        amount = morphos.BY_SYMBOL[collateral].units_worth(WORTH)
        world.enter(market, amount, morphos.price_of(collateral, loan, before), 7_500)
        world.markets[name] = market
    market36.set_prices(FALLEN)
    after = market36.prices()
    for name, (loan, collateral, _) in EXITS.items():
        price = morphos.price_of(collateral, loan, after)
        # Where the price cannot fall by itself, the oracle says that it did.
        told = price * 5 // 6 if name in ("same asset", "eight decimals") else price
        world.markets[name].oracle.send("tell", told)
    yield world
    undo(market36.node, kept)


@pytest.fixture
def world(ready):
    kept = ready.node.rpc("evm_snapshot")
    yield ready
    undo(ready.node, kept)


def step_of(world: MorphoWorld, funding: int, name: str) -> Step:
    """Return a liquidation on Morpho."""
    market = world.markets[name]
    lender = {
        LOAN: world.devnet.aave.pool.address,
        FLASH: world.pool(*LENDERS[EXITS[name][0]]),
        MORPHO_LOAN: world.morpho.address,
    }.get(funding, worlds.ZERO)
    borrow = 0 if funding == CALLBACK else world.debt_of(market) * 1001 // 1000
    return world.step(market, EXITS[name][2], funding=funding, lender=lender, borrow=borrow)


def aave_step(world: MorphoWorld, funding: int, name: str) -> Step:
    """Return a liquidation on Aave."""
    kind, spend, receive, route = AAVE_EXITS[name]
    account = world.borrower(kind)
    debt = world.debt(spend, account)
    return Step(
        data=world.aave_data(account),
        spend=world.address(spend),
        receive=world.address(receive),
        funding=funding,
        lender={LOAN: world.devnet.aave.pool, MORPHO_LOAN: world.morpho}[funding].address,
        borrow=debt + debt // 1000,
        factory=world.devnet.venue.factory.address,
        path=world.path(*route),
    )


def left(world: MorphoWorld) -> set[int]:
    """Return every balance of the executor and every allowance it gives."""
    pools = [world.pool(*LENDERS[symbol]) for symbol in LENDERS]
    spenders = [world.devnet.aave.pool.address, world.morpho.address, *pools]
    tokens = [world.address(symbol) for symbol in world.devnet.tokens]
    kept = {world.balance(token, world.executor.address) for token in tokens}
    return kept | {world.allowance(token, spender) for token in tokens for spender in spenders}


def settle_a_part(world: MorphoWorld, market: Market, shares: int) -> None:
    """Let somebody repay a part of the borrower's debt."""
    world.morpho.send("repay", market.params, 0, shares, market.borrower, b"")


@pytest.mark.parametrize(("funding", "name"), CASES)
def test_each_funding_and_exit_leaves_a_profit_at_the_receiver(world, funding, name):
    """What is reported is what Morpho says; the debt is gone, nothing is kept, nothing allowed."""
    step = step_of(world, funding, name)
    receiver = world.devnet.accounts.receiver
    before = world.balance(step.spend, receiver)

    receipt, (report,) = world.run(step)

    assert report.failure == ""
    assert report.profit > 0
    assert world.balance(step.spend, receiver) - before == report.profit
    assert world.liquidated(receipt) == [(report.spent, report.received, 0)]
    assert world.position(world.markets[name])[0] == 0
    assert left(world) == {0}


@pytest.mark.parametrize("name", AAVE_EXITS)
def test_morpho_lends_for_a_liquidation_on_aave(world, name):
    """Its flash loan costs nothing, so that the whole sale less the debt is profit."""
    step = aave_step(world, MORPHO_LOAN, name)

    _, (report,) = world.run(step)

    assert report.failure == ""
    assert report.profit > 0
    assert left(world) == {0}


def test_both_protocols_share_a_transaction(world):
    """Steps of each, with money of the other, and one that asks for the impossible."""
    steps = [
        aave_step(world, MORPHO_LOAN, "one hop"),
        step_of(world, CALLBACK, "no return value"),
        step_of(world, CALLBACK, "one hop").with_(min_profit=10**30),
        step_of(world, LOAN, "same asset"),
        aave_step(world, LOAN, "same asset"),
        step_of(world, MORPHO_LOAN, "eight decimals"),
    ]

    receipt, reports = world.run(*steps)

    assert [bool(report.failure) for report in reports] == [False, False, True, False, False, False]
    assert reports[2].failure.startswith("BelowMinProfit(")
    assert len(world.liquidated(receipt)) == 3
    assert left(world) == {0}


@pytest.mark.parametrize("funding", [CALLBACK, LOAN, SWAP, MORPHO_LOAN])
def test_all_the_collateral_can_be_seized_under_water(world, funding):
    """By collateral, where the shares would be worth more: the rest of the debt is written off."""
    market = world.markets["one hop"]
    _, collateral = world.position(market)
    market.oracle.send("tell", morphos.price_of("WETH", "USDC", world.devnet.prices()) * 9 // 10)
    step = step_of(world, funding, "one hop")
    data = world.seizure(market, seized=collateral)

    receipt, (report,) = world.run(step.with_(data=data))

    ((repaid, seized, bad_debt),) = world.liquidated(receipt)
    assert (report.spent, report.received) == (repaid, seized)
    assert seized == collateral
    assert bad_debt > 0
    assert world.position(market) == (0, 0)
    assert left(world) == {0}


def test_all_the_shares_of_a_debt_under_water_fail_alone(world):
    """They are worth more than the collateral: Morpho's own arithmetic refuses."""
    market = world.markets["one hop"]
    market.oracle.send("tell", morphos.price_of("WETH", "USDC", world.devnet.prices()) * 9 // 10)

    assert "Panic(17)" in world.refusal(step_of(world, CALLBACK, "one hop"))


@pytest.mark.parametrize("funding", [CALLBACK, LOAN])
@pytest.mark.parametrize("by", ["shares", "seized"])
def test_somebody_who_repays_a_share_first_stops_nothing(world, funding, by):
    """What is asked for is the most that is wanted; what is left is liquidated."""
    market = world.markets["one hop"]
    shares, collateral = world.position(market)
    wanted = {"shares": shares} if by == "shares" else {"seized": collateral + 1}
    if by == "seized":
        market.oracle.send(
            "tell", morphos.price_of("WETH", "USDC", world.devnet.prices()) * 9 // 10
        )
    step = step_of(world, funding, "one hop").with_(data=world.seizure(market, **wanted))
    settle_a_part(world, market, 1)

    _, (report,) = world.run(step)

    assert report.failure == ""
    assert world.position(market)[0] == 0


@pytest.mark.parametrize("funding", FUNDINGS)
def test_f32_a_rival_who_took_all_leaves_a_cheap_no(world, funding):
    """There is no debt any more: nothing is accrued, nothing borrowed."""
    market = world.markets["one hop"]
    step = step_of(world, funding, "one hop")
    settle_a_part(world, market, world.position(market)[0])

    assert f"NotLiquidatable({market.borrower}" in world.refusal(step)


@pytest.mark.parametrize(
    ("funding", "reason"), [(each, "NotLiquidatable(") for each in (LOAN, SWAP, FLASH, MORPHO_LOAN)]
)
def test_a_healthy_position_is_refused_before_anything_is_borrowed(world, funding, reason):
    """The executor computes the health itself, for Morpho has no view of it."""
    step = step_of(world, funding, "one hop").with_(lender=worlds.ZERO, borrow=2**255)
    market = world.markets["one hop"]
    market.oracle.send("tell", morphos.price_of("WETH", "USDC", {"WETH": 3_000, "USDC": 1}))

    assert reason in world.refusal(step)


def test_where_nothing_is_borrowed_morpho_looks_itself(world):
    """Its liquidation starts with the health, and its words come through."""
    market = world.markets["one hop"]
    market.oracle.send("tell", morphos.price_of("WETH", "USDC", {"WETH": 3_000, "USDC": 1}))

    assert world.refusal(step_of(world, CALLBACK, "one hop")) == (
        "nothing worked: position is healthy"
    )


@pytest.mark.parametrize("healthy", [True, False])
def test_the_health_counts_interest_up_to_the_very_block(world, healthy):
    """One unit of the price decides, with the interest of this block, as Morpho itself says."""
    market = world.markets["one hop"]
    _, collateral = world.position(market)
    stored, then = world.debt_of(market), world.timestamp() + 30 * 86_400
    kept = world.node.rpc("evm_snapshot")
    world.node.rpc("evm_setNextBlockTimestamp", [hex(then)])
    world.morpho.send("accrueInterest", market.params)
    due = world.debt_of(market)
    undo(world.node, kept)
    limit = -(-due * morphos.WAD // morphos.LLTV)
    price = -(-limit * morphos.PRICE_SCALE // collateral)
    market.oracle.send("tell", price if healthy else price - 1)
    steps = [
        step_of(world, LOAN, "one hop").with_(borrow=due),
        step_of(world, CALLBACK, "one hop"),
        step_of(world, CALLBACK, "same asset"),
    ]

    world.node.rpc("evm_setNextBlockTimestamp", [hex(then)])
    _, reports = world.run(*steps)

    gone = f"NotLiquidatable({market.borrower}, {UINT256_MAX})"
    at_the_limit = [f"NotLiquidatable({market.borrower}, {10**18})", "position is healthy", ""]
    assert stored < due
    assert [each.failure for each in reports] == (at_the_limit if healthy else ["", gone, ""])


def test_nonsense_is_named(world):
    """A mistake of ours shows its name, whichever contract finds it."""
    market, other = world.markets["one hop"], world.markets["same asset"]
    step = step_of(world, CALLBACK, "one hop")
    shares, collateral = world.position(market)
    unknown = Market((*market.params[:4], 1), market.oracle, market.borrower)
    mistakes = {
        "OtherMarket(": {"data": world.seizure(other, shares=shares)},
        "NotItsModule(4, 1)": {"module": 1, "data": world.aave_data(world.borrower("plain"))},
        "inconsistent input": {"data": world.seizure(market, seized=collateral, shares=shares)},
        "NotLiquidatable(": {"data": world.seizure(unknown, shares=shares)},
        "zero assets": {"funding": MORPHO_LOAN, "lender": world.morpho.address},
        "transfer reverted": {
            "funding": MORPHO_LOAN,
            "lender": world.morpho.address,
            "borrow": 2**128,
        },
        "NotAllowed(": {"funding": MORPHO_LOAN, "lender": world.irm.address},
        "BadPath()": {"path": b""},
    }
    for reason, change in mistakes.items():
        said = world.refusal(step.with_(**change))
        assert reason in said, said


@pytest.mark.parametrize("funding", [CALLBACK, LOAN])
def test_only_an_allowed_morpho_is_called(world, funding):
    """The owner's list decides, for the liquidation as for the loan."""
    step, who = step_of(world, funding, "one hop"), world.devnet.accounts
    allowed = False
    world.executor.send("setLendingPool", world.morpho.address, allowed, sender=who.owner)

    assert f"NotAllowed({world.morpho.address.lower()})" in world.refusal(step)


def test_a_sale_that_does_not_pay_the_debt_undoes_the_step(world):
    """The pool is pushed down first: less than the debt comes in, and Morpho gets no allowance."""
    step, venue = step_of(world, CALLBACK, "one hop"), world.devnet.venue
    terms = (world.address("WETH"), step.spend, 500, venue.router.sender, worlds.SOON)
    venue.router.send("exactInputSingle", (*terms, 3_000 * 10**18, 0, 0))

    assert "Shortfall(" in world.refusal(step)


def test_a_donation_pays_no_debt_and_is_no_profit(world):
    """What lay in the executor before stays there, on Morpho too."""
    step, who = step_of(world, CALLBACK, "one hop"), world.devnet.accounts
    for symbol in ("USDC", "WETH"):
        world.devnet.tokens[symbol].send("transfer", world.executor.address, 10**6)

    receipt, (report,) = world.run(step)

    assert report.profit == world.balance(step.spend, who.receiver)
    assert world.liquidated(receipt) == [(report.spent, report.received, 0)]
    assert left(world) == {0, 10**6}


@pytest.mark.parametrize("funding", [CALLBACK, MORPHO_LOAN])
def test_less_than_the_minimum_is_no_deal(world, funding):
    """The minimum is in what the receiver gets, to the unit, however the debt was paid."""
    step = step_of(world, funding, "same asset")
    (expected,) = decode_results(world.node.call(world.transaction([step])))

    assert "BelowMinProfit(" in world.refusal(step.with_(min_profit=expected.profit * 2))
    _, (report,) = world.run(step.with_(min_profit=expected.profit - expected.profit // 10**6))
    assert report.failure == ""


@pytest.mark.parametrize("funding", FUNDINGS)
def test_a_sale_below_the_owners_floor_is_undone(world, funding):
    """The floor is the market's own oracle's, to the basis point, whoever lends."""
    step, owner = step_of(world, funding, "one hop"), world.devnet.accounts.owner
    market = world.markets["one hop"]
    before = world.node.rpc("evm_snapshot")
    _, (report,) = world.run(step)
    value = report.received * market.oracle.call("price") // 10**36
    brought = (report.spent + report.profit) * 10_000 // value
    undo(world.node, before)
    world.executor.send("setMinSale", brought + 1, sender=owner)

    refusal = world.refusal(step)
    world.executor.send("setMinSale", brought, sender=owner)
    _, (allowed,) = world.run(step)

    assert "SaleBelowFloor" in refusal
    assert allowed.failure == ""


def test_a_floor_without_a_price_is_no_deal(world):
    """An oracle that says zero would make the floor zero: what cannot be valued is not sold."""
    market, owner = world.markets["one hop"], world.devnet.accounts.owner
    market.oracle.send("tell", 0)
    seizure = [world.morpho.address, market.params, market.borrower, 10**18, 0]
    data = encode(["address", morphos.PARAMS, "address", "uint256", "uint256"], seizure)
    step = step_of(world, CALLBACK, "one hop").with_(data=data)
    world.executor.send("setMinSale", 1, sender=owner)

    refusal = world.refusal(step)
    world.executor.send("setMinSale", 0, sender=owner)
    _, (unbound,) = world.run(step)

    assert "NoPrice" in refusal
    assert unbound.failure == ""


@pytest.mark.parametrize("entry", ["onMorphoLiquidate", "onMorphoFlashLoan"])
def test_callbacks_of_morpho_that_nobody_waits_for_are_refused(world, entry):
    """Not from strangers, not from the owner, not from Morpho itself out of turn."""
    who = world.devnet.accounts
    for caller in (who.owner, who.hot, world.morpho.address, worlds.ZERO):
        asked = world.executor.transaction(entry, 1, b"", sender=caller)
        assert worlds.refusal(world.node, asked).startswith("UnexpectedCallback")
