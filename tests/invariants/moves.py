"""What somebody does next: mostly what makes sense, seldom what does not."""

from dataclasses import dataclass

from tests.invariants.abi import calldata, encode
from tests.invariants.evm import COINBASE
from tests.invariants.world import (
    ACCOUNT,
    ADMIN,
    LIQUIDATE,
    OPERATOR,
    SHAPES,
    STRANGER,
    WRAPPED,
    ZERO,
    World,
)

MARKET = "(address,address,address,address,uint256)"
SEIZURE = f"(address,{MARKET},address,uint256,uint256)"
CURE = "cure((uint8,bytes,address,uint256,uint256,uint256))"
CLEAR = "clear((uint8,bytes,address,uint256,address,uint256,uint256))"
HEALTH_SLOT = 5
LATE = 2**40
MOST = 2**256 - 1


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step, its tokens by number."""

    spend: int
    receive: int
    module: int
    funding: int
    min_profit: int
    values: tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class Move:
    """One call."""

    name: str
    sender: str
    to: str
    data: bytes
    steps: tuple[Step, ...] = ()
    token: int = -2
    collateral: int = -2
    max_loss: int = 0
    place: str = ""


def drawn(world: World) -> Move:
    """Return the next call."""
    chance = world.rng.random()
    if chance < 0.1:
        world.machine.wait(world.rng.randrange(40_000))
    set_health(world)
    if chance < 0.6:
        return _liquidation(world)
    if chance < 0.75:
        return _cure(world)
    if chance < 0.87:
        return _clearing(world)
    return _intrusion(world)


def set_health(world: World) -> None:
    """Let the account be ill, mostly, at both places."""
    health = world.rng.choice((9 * 10**17, 9 * 10**17, 10**18 - 1, 10**18, 12 * 10**17))
    for place in (world.aave, world.morpho):
        world.machine.must(ADMIN, place, "setHealth(address,uint256)", ACCOUNT, health)


def _liquidation(world: World) -> Move:
    rng = world.rng
    loan, collateral = (rng.randrange(len(SHAPES)) for _ in range(2))
    world.set_terms(loan, collateral)
    steps = tuple(_step(world, loan, collateral) for _ in range(rng.choice((1, 1, 2, 3))))
    share = rng.choice((0, 0, world.max_share, world.max_share + 1))
    deadline = LATE if rng.random() < 0.97 else 1
    sender = OPERATOR if rng.random() < 0.97 else STRANGER
    data = calldata(LIQUIDATE, [step.values for step in steps], deadline, share)
    return Move(name="liquidate", sender=sender, to=world.executor, data=data, steps=steps)


def _step(world: World, loan: int, collateral: int) -> Step:
    rng = world.rng
    module = rng.choice((1, 1, 2))
    if module == 1:
        loan, collateral = (rng.randrange(len(SHAPES)) for _ in range(2))
        if rng.random() < 0.3:
            loan = WRAPPED
        if rng.random() < 0.2:
            collateral = loan
    funding = rng.choice((1, 2, 3, 5) if module == 1 else (1, 2, 3, 4, 5))
    debt = world.units(loan, rng.randrange(1, 30_000))
    borrow = debt * rng.choice((1_000, 1_001, 1_500)) // 1_000
    minimum = rng.choice((0, 1, debt // 200, debt // 50, debt))
    lender = {1: world.aave, 3: _lending_pool(world, loan, collateral), 5: world.morpho}
    values = (
        *(module, _data(world, module, loan, collateral, debt), world.tokens[loan]),
        *(world.tokens[collateral], funding, lender.get(funding, ZERO), borrow, world.factory),
        *(_path(world, loan, collateral), minimum, rng.choice((3_000_000, 3_000_000, 90_000))),
    )
    return Step(
        spend=loan,
        receive=collateral,
        module=module,
        funding=funding,
        min_profit=minimum,
        values=values,
    )


def _data(world: World, module: int, loan: int, collateral: int, debt: int) -> bytes:
    if module == 1:
        asked = debt if world.rng.random() < 0.8 else MOST
        return encode(["address", "address", "uint256"], [world.aave, ACCOUNT, asked])
    seized = debt * SHAPES[loan][1] * 10 ** SHAPES[collateral][0]
    seized //= 10 ** SHAPES[loan][0] * SHAPES[collateral][1]
    return encode(
        ["address", MARKET, "address", "uint256", "uint256"],
        [world.morpho, world.market(loan, collateral), ACCOUNT, seized, 0],
    )


def _path(world: World, loan: int, collateral: int) -> bytes:
    if loan == collateral:
        return b""
    way = [collateral, loan]
    if world.rng.random() < 0.3:
        way.insert(1, world.rng.randrange(len(SHAPES)))
    if len(set(way)) < len(way):
        way = [collateral, loan]
    fee = (3_000).to_bytes(3)
    return fee.join(bytes.fromhex(world.tokens[number][2:]) for number in way)


def _lending_pool(world: World, loan: int, collateral: int) -> str:
    others = [pair for pair in world.pools if loan in pair and collateral not in pair - {loan}]
    return world.pools[world.rng.choice(others)]


def _cure(world: World) -> Move:
    rng = world.rng
    kind = rng.randrange(1, 5)
    token, other = rng.randrange(len(SHAPES)), rng.randrange(len(SHAPES))
    world.set_terms(0, 0, exact=True)
    amount = world.units(token, rng.randrange(1, 15_000))
    if kind < 3:
        place = world.aave
        data = encode(["address", "address", "uint256"], [place, ACCOUNT, 2])
    else:
        place = world.morpho
        pair = (other, token) if kind == 3 else (token, other)
        data = encode(["address", MARKET, "address"], [place, world.market(*pair), ACCOUNT])
    least = rng.choice((0, 0, 11 * 10**17, 12 * 10**17))
    order = (kind, data, world.tokens[token], amount, least, LATE)
    sender = OPERATOR if rng.random() < 0.95 else STRANGER
    return Move(
        name="cure",
        sender=sender,
        to=world.vault,
        data=calldata(CURE, order),
        token=token,
        place=place,
    )


def _clearing(world: World) -> Move:
    rng = world.rng
    token, collateral = (rng.randrange(len(SHAPES)) for _ in range(2))
    amount = world.units(token, rng.randrange(1, 15_000))
    data = encode(["address", "address"], [world.aave, ACCOUNT])
    loss = rng.choice((0, 100 * 10**8, MOST))
    order = (5, data, world.tokens[token], amount, world.tokens[collateral], loss, LATE)
    return Move(
        name="clear",
        sender=OPERATOR if rng.random() < 0.95 else STRANGER,
        to=world.vault,
        data=calldata(CLEAR, order),
        token=token,
        collateral=collateral,
        max_loss=loss,
        place=world.aave,
    )


def _intrusion(world: World) -> Move:
    """Return a call that nobody but the owner, or nobody at all, may make."""
    rng = world.rng
    token = world.tokens[rng.randrange(len(SHAPES))]
    executor, vault = world.executor, world.vault
    yes = bool(1)
    step = _step(world, 0, 1).values
    calls = (
        (executor, "setReceiver(address)", STRANGER),
        (executor, "setOperator(address,bool)", STRANGER, yes),
        (executor, "setLendingPool(address,bool)", STRANGER, yes),
        (executor, "setFactory(address,bool)", STRANGER, yes),
        (executor, "setPaused(bool)", yes),
        (executor, "setMinSale(uint16)", rng.randrange(10_001)),
        (executor, "setMaxBuilderShare(uint16)", rng.randrange(10_001)),
        (executor, "rescue(address,address,uint256)", token, STRANGER, 1),
        (executor, "transferOwnership(address)", STRANGER),
        (executor, "acceptOwnership()"),
        (executor, f"runStep(uint256,{_step_type()},uint16)", 0, step, 0),
        (executor, "onMorphoFlashLoan(uint256,bytes)", 1, b""),
        (executor, "onMorphoLiquidate(uint256,bytes)", 1, b""),
        (executor, "uniswapV3SwapCallback(int256,int256,bytes)", 1, -1, b""),
        (executor, "uniswapV3FlashCallback(uint256,uint256,bytes)", 1, 1, b""),
        (
            executor,
            "executeOperation(address,uint256,uint256,address,bytes)",
            token,
            1,
            1,
            executor,
            b"",
        ),
        (vault, "withdraw(address,address,uint256)", token, STRANGER, 1),
        (vault, "setOperator(address,bool)", STRANGER, yes),
        (vault, "setLimit(address,uint128,uint128)", token, 2**127, 2**127),
        (vault, "setListing(bytes32,address,uint128,uint128)", b"\1" * 32, STRANGER, 1, 1),
        (vault, "transferOwnership(address)", STRANGER),
        (vault, "acceptOwnership()"),
    )
    to, signature, *values = rng.choice(calls)
    sender = rng.choice((STRANGER, OPERATOR, COINBASE))
    return Move(name="intrude", sender=sender, to=to, data=calldata(signature, *values))


def _step_type() -> str:
    return LIQUIDATE.removeprefix("liquidate(").partition("[]")[0]
