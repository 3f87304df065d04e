"""The executor against the real market and the real pools: every funding, every exit."""

import json

import pytest

from contracts.build import BUILDS, compiled
from keeper.devnet.node import Transaction
from keeper.execution import executor as language
from keeper.execution.executor import decode_results
from tests.chain import executor_world as worlds
from tests.chain.executor_world import Step, World
from tests.support.undoing import undo

pytestmark = pytest.mark.early(6)

MAX_RUNTIME = 24 * 1024
YES = True
LOAN, SWAP, FLASH = 1, 2, 3
EXITS = {
    "one hop": ("plain", "USDC", "WETH", ("WETH", 500, "USDC")),
    "two hops": ("plain", "USDC", "WETH", ("WETH", 500, "USDT", 100, "USDC")),
    "three hops": ("tether", "USDT", "WETH", ("WETH", 500, "WBTC", 3000, "USDC", 100, "USDT")),
    "no return value": ("tether", "USDT", "WETH", ("WETH", 500, "USDT")),
    "same asset": ("same_asset", "WETH", "WETH", ()),
}
LENDERS = {
    "USDC": ("DAI", "USDC", 100),
    "USDT": ("USDC", "USDT", 100),
    "WETH": ("WETH", "DAI", 3000),
}
CASES = [
    (funding, name)
    for funding in (LOAN, SWAP, FLASH)
    for name in EXITS
    # A flash swap needs a pool; a pool that lends is locked, and the third hop is through it.
    if (funding, name) not in {(SWAP, "same asset"), (FLASH, "three hops")}
]


@pytest.fixture(scope="module", params=["36", "30"])
def fallen(request):
    devnet = request.getfixturevalue(f"market{request.param}")
    kept = devnet.node.rpc("evm_snapshot")
    devnet.set_prices({"WETH": 2_500 * worlds.USD})
    yield devnet
    undo(devnet.node, kept)


@pytest.fixture(scope="module", params=[build.name for build in BUILDS])
def ready(request, fallen):
    return worlds.deployed(fallen, request.param)


@pytest.fixture
def world(ready):
    kept = ready.node.rpc("evm_snapshot")
    yield ready
    undo(ready.node, kept)
    ready.node.rpc("anvil_setCoinbase", [worlds.ZERO])


def step_of(world: World, funding: int, name: str) -> Step:
    kind, spend, receive, route = EXITS[name]
    account = world.borrower(kind)
    lender = world.devnet.aave.pool.address
    if funding == FLASH:
        lender = world.pool(*LENDERS[spend])
    debt = world.debt(spend, account)
    return Step(
        data=world.aave_data(account),
        spend=world.address(spend),
        receive=world.address(receive),
        funding=funding,
        lender=lender,
        borrow=debt + debt // 1000,
        factory=world.devnet.venue.factory.address,
        path=world.path(*route),
    )


def test_artifacts_are_what_the_sources_give():
    """Whoever deploys the committed bytes deploys these sources, and they fit the limit."""
    for build in BUILDS:
        made = compiled(build)

        assert build.file.read_text() == json.dumps(made, indent=1) + "\n"
        assert len(made["deployedBytecode"]) // 2 - 1 < MAX_RUNTIME


def test_numbers_are_the_same_in_python_and_on_chain(world):
    """Each source of money that the contract names has its number in the keeper, and no other."""
    stated = {entry.get("name", "") for entry in world.executor.artifact.abi}
    names = {name for name in stated if name.startswith("FUNDING_")}

    ours = {name: number for name, number in vars(language).items() if name.startswith("FUNDING_")}
    assert ours == {name: world.executor.call(name) for name in names}


@pytest.mark.parametrize(("funding", "name"), CASES)
def test_each_funding_and_exit_leaves_a_profit_at_the_receiver(world, funding, name):
    """The profit is where it belongs, the executor is empty, no allowance is left, debt is less."""
    step = step_of(world, funding, name)
    receiver, executor = world.devnet.accounts.receiver, world.executor.address
    before = world.balance(step.spend, receiver)

    _, (report,) = world.run(step)

    assert report.failure == ""
    assert report.profit > 0
    assert world.balance(step.spend, receiver) - before == report.profit
    assert 0 < report.spent <= step.borrow
    for token in (world.address(symbol) for symbol in world.devnet.tokens):
        assert world.balance(token, executor) == 0
        assert world.allowance(token, world.devnet.aave.pool.address) == 0
        assert world.allowance(token, step.lender) == 0


def test_a_failing_step_is_undone_and_the_rest_go_on(world):
    """Three in one transaction, the middle one asks for the impossible."""
    first, last = step_of(world, LOAN, "one hop"), step_of(world, SWAP, "no return value")
    wanting = step_of(world, LOAN, "same asset").with_(min_profit=10**30)

    _, reports = world.run(first, wanting, last)

    assert [bool(report.failure) for report in reports] == [False, True, False]
    assert reports[1].failure.startswith("BelowMinProfit(")


def test_f32_the_same_account_twice_is_reported_as_healthy_again(world):
    """A rival, or we ourselves, were there before: a cheap no before anything is borrowed."""
    step = step_of(world, LOAN, "one hop")
    account = world.borrower("plain")
    world.devnet.aave.pool.send("repay", step.spend, 2**255, 2, account)

    assert f"NotLiquidatable({account.lower()}" in world.refusal(step)


def test_nothing_happens_after_the_deadline(world):
    """A late transaction earns nothing and costs little."""
    now = int(world.node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)

    assert world.refusal(step_of(world, LOAN, "one hop"), deadline=now - 1).startswith(
        "DeadlinePassed"
    )


def test_a_donation_is_neither_profit_nor_lost(world):
    """What somebody left here stays, and only the owner can send it away."""
    step, who = step_of(world, SWAP, "one hop"), world.devnet.accounts
    for symbol in ("USDC", "WETH"):
        world.devnet.tokens[symbol].send("transfer", world.executor.address, 10**6)
    _, (clean,) = world.run(step)

    assert clean.profit == world.balance(step.spend, who.receiver)
    assert world.balance(step.spend, world.executor.address) == 10**6
    world.executor.send("rescue", step.spend, who.treasury, 10**6, sender=who.owner)
    assert world.balance(step.spend, who.treasury) == 10**6


def test_a_step_without_enough_gas_is_not_started(world):
    """The first may not eat what the second was promised; it is reported, not tried."""
    first, second = step_of(world, LOAN, "one hop"), step_of(world, LOAN, "no return value")

    _, reports = world.run(first.with_(gas=900_000), second, gas=2_000_000)

    assert reports[0].failure == ""
    assert reports[1].failure.startswith("NotEnoughGas(")


def test_f31_a_step_that_needs_more_than_its_gas_limit_fails_alone(world):
    """Out of gas inside a step leaves enough to go on outside."""
    starved = step_of(world, LOAN, "one hop").with_(gas=150_000)

    _, reports = world.run(starved, step_of(world, LOAN, "no return value"))

    assert [bool(report.failure) for report in reports] == [True, False]


def test_f33_a_sandwich_cannot_take_more_than_the_minimum_allows(world):
    """Somebody sells into our pool first: less than the minimum is no deal at all."""
    step, venue = step_of(world, LOAN, "one hop"), world.devnet.venue
    (expected,) = decode_results(world.node.call(world.transaction([step])))
    whale, weth = venue.router.sender, world.address("WETH")
    terms = (weth, step.spend, 500, whale, worlds.SOON, 300 * 10**18, 0, 0)
    venue.router.send("exactInputSingle", terms)

    reason = world.refusal(step.with_(min_profit=expected.profit * 99 // 100))

    assert "BelowMinProfit(" in reason or "Shortfall(" in reason


def test_a_pool_that_lends_is_locked_meanwhile(world):
    """The exit may not lead through the lender; the step fails and costs gas only."""
    step = step_of(world, FLASH, "three hops")

    assert "LOK" in world.refusal(step)


def test_a_pool_without_depth_undoes_the_step(world):
    """A thin pool that cannot fill is a failure, not a bad sale."""
    step = step_of(world, SWAP, "one hop").with_(borrow=10**16)

    assert "nothing worked" in world.refusal(step)


def test_the_builder_gets_its_share_of_wrapped_native_profit(world):
    """Unwrapped and paid to the block's coinbase; the receiver has the rest."""
    step, builder = step_of(world, LOAN, "same asset"), "0x" + "b1" * 20
    world.node.rpc("anvil_setCoinbase", [builder])
    receipt, (report,) = world.run(step, share=9_000)

    tips = world.node.balance(builder)
    price = int(receipt["effectiveGasPrice"], 16)
    base = int(
        world.node.rpc("eth_getBlockByNumber", [receipt["blockNumber"], False])["baseFeePerGas"], 16
    )
    paid = tips - int(receipt["gasUsed"], 16) * (price - base)
    assert report.profit > 0
    assert paid // 9 in (report.profit, report.profit - 1)
    assert world.node.balance(world.executor.address) == 0


def test_a_builder_that_refuses_blocks_nothing(world):
    """Its share is wrapped again and goes to the receiver."""
    builder = worlds.Deployer(world.node, world.devnet.accounts.admin).deploy(
        worlds.hostile()["ProudBuilder"]
    )
    world.node.rpc("anvil_setCoinbase", [builder.address])
    step = step_of(world, LOAN, "same asset")

    _, (report,) = world.run(step, share=10_000)

    assert report.profit > 0
    assert world.balance(step.spend, world.devnet.accounts.receiver) == report.profit


def test_only_allowed_contracts_are_called(world):
    """Lending pool, lender, factory, a pool that lends: each must be on the list."""
    who, step = world.devnet.accounts, step_of(world, LOAN, "one hop")
    other = world.devnet.aave.provider.address
    for change in ({"lender": other}, {"factory": other}, {"funding": FLASH, "lender": step.spend}):
        assert "nothing worked" in world.refusal(step.with_(**change))
    world.executor.send("setLendingPool", step.lender, not YES, sender=who.owner)
    assert "NotAllowed" in world.refusal(step)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"path": b""}, "BadPath"),
        ({"path": b"\x01" * 43}, "BadPath"),
        ({"path": b"\x01" * 44}, "BadPath"),
        ({"module": 9}, "UnknownModule(9)"),
        ({"funding": 9}, "UnknownFunding(9)"),
    ],
)
def test_nonsense_is_named(world, change, reason):
    """A mistake of ours shows its name."""
    assert reason in world.refusal(step_of(world, LOAN, "one hop").with_(**change))


def test_operators_may_only_liquidate_and_only_they(world):
    """The hot key changes nothing; strangers do not even liquidate."""
    who, step = world.devnet.accounts, step_of(world, LOAN, "one hop")
    changes = [
        ("setReceiver", who.hot),
        ("setOperator", who.hot, YES),
        ("setPaused", YES),
        ("setLendingPool", who.hot, YES),
        ("setFactory", who.hot, YES),
        ("rescue", step.spend, who.hot, 0),
        ("transferOwnership", who.hot),
    ]
    for name, *arguments in changes:
        asked = world.executor.transaction(name, *arguments, sender=who.hot)
        assert worlds.refusal(world.node, asked).startswith("NotOwner")
    for stranger in (who.owner, who.admin):
        assert world.refusal(step, sender=stranger).startswith("NotOperator")


def test_ownership_changes_in_two_steps(world):
    """An address that cannot act never becomes the owner."""
    who, executor = world.devnet.accounts, world.executor
    executor.send("transferOwnership", who.treasury, sender=who.owner)
    assert executor.call("owner") == who.owner.lower()
    taken = executor.transaction("acceptOwnership", sender=who.hot)
    assert worlds.refusal(world.node, taken).startswith("NotPendingOwner")
    executor.send("acceptOwnership", sender=who.treasury)
    assert executor.call("owner") == who.treasury.lower()


def test_a_paused_executor_does_nothing(world):
    """The owner's brake."""
    world.executor.send("setPaused", YES, sender=world.devnet.accounts.owner)

    assert world.refusal(step_of(world, LOAN, "one hop")) == "IsPaused()"


def test_native_coin_comes_from_unwrapping_only(world):
    """A transfer by mistake is refused; what was forced in can be rescued."""
    who = world.devnet.accounts
    gift = Transaction(sender=who.admin, to=world.executor.address, value=5)
    assert worlds.refusal(world.node, gift).startswith("NotWrappedNative")
    world.node.set_balance(world.executor.address, 7)
    before = world.node.balance(who.receiver)
    world.executor.send("rescue", worlds.ZERO, who.receiver, 7, sender=who.owner)
    assert world.node.balance(who.receiver) - before == 7


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("uniswapV3SwapCallback", (1, -1, b"")),
        ("uniswapV3FlashCallback", (0, 0, b"")),
        ("executeOperation", (worlds.ZERO, 0, 0, worlds.ZERO, b"")),
    ],
)
def test_callbacks_that_nobody_waits_for_are_refused(world, name, arguments):
    """Not from strangers, not from the owner, not from a real pool out of turn."""
    pool = world.pool("WETH", "USDC", 500)
    for caller in (world.devnet.accounts.owner, world.devnet.accounts.hot, pool, worlds.ZERO):
        asked = world.executor.transaction(name, *arguments, sender=caller)
        assert worlds.refusal(world.node, asked).startswith("UnexpectedCallback")


def test_a_step_runs_inside_the_executor_only(world):
    """The entry of a single step is not a way around the operators."""
    step = step_of(world, LOAN, "one hop")
    asked = world.executor.transaction(
        "runStep", 0, step.values(), 0, sender=world.devnet.accounts.hot
    )

    assert worlds.refusal(world.node, asked).startswith("NotSelf")
