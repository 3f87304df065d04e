"""An executor and a vault among contracts that may turn on them, made from one seed."""

import random
from dataclasses import dataclass, field

from eth_hash.auto import keccak

from tests.invariants.abi import calldata, encode
from tests.invariants.evm import (
    ADMIN,
    COINBASE,
    RICH,
    Machine,
    hostile_code,
    our_code,
    slot_of,
)

MARKS = ("01", "02", "03", "04", "05")
OWNER, OPERATOR, RECEIVER, STRANGER, ACCOUNT = ("0x" + mark * 20 for mark in MARKS)
ZERO = "0x" + "0" * 40
USD = 10**8
KINDS = ("plain", "no return", "fee", "fee on top", "race", "no zero", "hooks", "false", "big")
SHAPES = ((6, USD), (18, 2_000 * USD), (8, 30_000 * USD), (18, 5 * USD))
"""Decimals and price of each token; the second is the wrapped coin."""
WRAPPED = 1
ACT_BELOW, AT_LEAST = 10**18, 105 * 10**16
STEP = "(uint8,bytes,address,address,uint8,address,uint256,address,bytes,uint256,uint256)"
LIQUIDATE = f"liquidate({STEP}[],uint256,uint16)"
LOSS = (2_000 * USD, 5_000 * USD)
COUNTED = 9_800


@dataclass
class World:
    """All contracts of one story, and what the owner allows."""

    machine: Machine
    rng: random.Random
    tokens: list[str]
    kinds: list[str]
    dice: str
    aave: str
    morpho: str
    factory: str
    pools: dict[frozenset[int], str]
    executor: str
    vault: str
    max_share: int
    min_sale: int
    limits: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def spenders(self) -> list[str]:
        """Everybody who could have been given an allowance."""
        return [self.aave, self.morpho, self.factory, *self.pools.values(), STRANGER, COINBASE]

    def units(self, token: int, dollars: int) -> int:
        """Return so many dollars' worth of a token."""
        decimals, price = SHAPES[token]
        return dollars * USD * 10**decimals // price

    def balance(self, token: int, holder: str) -> int:
        """Return what the token's books say."""
        return self.machine.word(self.tokens[token], slot_of(0, holder))

    def allowances(self) -> list[str]:
        """Return every allowance that the executor or the vault still gives."""
        return [
            f"{name} allows {spender} {token}"
            for name, owner in (("executor", self.executor), ("vault", self.vault))
            for token in self.tokens
            for spender in self.spenders
            if self.machine.word(token, slot_of(1, owner, spender))
        ]

    def settings(self) -> tuple[int, ...]:
        """Return who owns, who receives, who may act and within which limits."""
        word, executor, vault = self.machine.word, self.executor, self.vault
        strangers = [slot_of(place, STRANGER) for place in (3, 4, 5)]
        return (
            *(word(executor, slot) for slot in (0, 1, 2, 6, *strangers)),
            *(word(vault, slot) for slot in (0, 1, slot_of(2, STRANGER))),
        )

    def balances(self) -> dict[tuple[str, int], int]:
        """Return who has what; the token -1 is the native coin."""
        holders = {
            "executor": self.executor,
            "vault": self.vault,
            "receiver": RECEIVER,
            "coinbase": COINBASE,
        }
        found = {
            (name, token): self.balance(token, holder)
            for name, holder in holders.items()
            for token in range(len(self.tokens))
        }
        native = self.machine.evm.get_balance
        return found | {(name, -1): native(holder) for name, holder in holders.items()}

    def market(self, loan: int, collateral: int) -> tuple[object, ...]:
        """Return a market's parameters."""
        return (self.tokens[loan], self.tokens[collateral], self.morpho, ZERO, 10**18)

    def set_terms(self, loan: int, collateral: int, *, exact: bool = False) -> None:
        """Let Morpho's oracle say what the prices are (one to one, where that is wanted)."""
        (loan_decimals, loan_price), (decimals, price) = SHAPES[loan], SHAPES[collateral]
        said = 10 ** (36 + loan_decimals - decimals) * price // loan_price
        bonus = self.rng.randrange(103, 113)
        self.machine.must(
            ADMIN, self.morpho, "setTerms(uint256,uint256)", 10**36 if exact else said, bonus
        )


def made_world(rng: random.Random) -> World:
    """Deploy everything: one of the two builds, tokens of any kind, limits of any size."""
    machine = Machine()
    suffix = rng.choice(("", "Storage"))
    dice = machine.deploy(hostile_code("Dice"))
    token_code, place_code = hostile_code("ChaosToken"), hostile_code("ChaosPlace")
    tokens = [
        machine.deploy(token_code, "(address,uint8)", dice, decimals) for decimals, _ in SHAPES
    ]
    kinds = ["plain" if rng.random() < 0.5 else rng.choice(KINDS) for _ in tokens]
    kinds[WRAPPED] = rng.choice(("plain", "plain", "hooks"))
    aave, morpho, factory = (machine.deploy(place_code, "(address)", dice) for _ in range(3))
    pools = {
        frozenset((a, b)): machine.deploy(place_code, "(address)", dice)
        for a in range(len(tokens))
        for b in range(a)
    }
    limits = (rng.choice((0, 2_000, 10_000)), rng.choice((0, 9_000, 9_700, 9_900)))
    executor = machine.deploy(
        our_code(f"LiquidationExecutor{suffix}"),
        "(address,address,address[],address[],address[],address,(uint16,uint16))",
        *(OWNER, RECEIVER, [OPERATOR], [aave, morpho], [factory], tokens[WRAPPED], limits),
    )
    vault = machine.deploy(our_code(f"CureVault{suffix}"), "(address,address[])", OWNER, [OPERATOR])
    world = World(
        machine, rng, tokens, kinds, dice, aave, morpho, factory, pools, executor, vault, *limits
    )
    _acquaint(world)
    _fund(world)
    _open_vault(world)
    machine.must(
        ADMIN, dice, "load(uint256,uint256)", rng.randrange(2**64), rng.choice((0, 20, 80, 250))
    )
    return world


def _acquaint(world: World) -> None:
    must = world.machine.must
    riots = [
        calldata("acceptOwnership()"),
        calldata("setReceiver(address)", STRANGER),
        calldata("setOperator(address,bool)", STRANGER, bool(1)),
        calldata("rescue(address,address,uint256)", world.tokens[0], STRANGER, 1),
        calldata("withdraw(address,address,uint256)", world.tokens[0], STRANGER, 1),
        calldata(LIQUIDATE, [], 2**40, 0),
    ]
    for place in (world.aave, world.morpho, world.factory, *world.pools.values()):
        victims = [world.executor, world.vault]
        must(ADMIN, place, "know(address[],address[])", victims, world.tokens)
        must(ADMIN, place, "learn(bytes[])", riots)
        must(ADMIN, place, "setTerms(uint256,uint256)", 10**36, world.rng.randrange(103, 113))
    for token, (_, price), kind in zip(world.tokens, SHAPES, world.kinds, strict=True):
        must(ADMIN, world.aave, "setPrice(address,uint256)", token, price)
        must(ADMIN, token, "behave(uint8,address)", KINDS.index(kind), world.aave)
    for pair, pool in world.pools.items():
        first, second = sorted(
            (world.tokens[number] for number in pair), key=lambda one: one.lower()
        )
        must(ADMIN, pool, "bePool(address,address,address)", first, second, world.aave)
        must(ADMIN, world.factory, "addPool(address,address,address)", first, second, pool)


def _fund(world: World) -> None:
    """Lay money of nobody in the executor, and money of the owner in the vault."""
    rng, machine = world.rng, world.machine
    machine.evm.set_balance(world.tokens[WRAPPED], RICH)
    for number, token in enumerate(world.tokens):
        if rng.random() < 0.5:
            laid = world.units(number, rng.randrange(1, 50_000))
            machine.must(ADMIN, token, "give(address,uint256)", world.executor, laid)
        held = world.units(number, 100_000)
        machine.must(ADMIN, token, "give(address,uint256)", world.vault, held)


def _open_vault(world: World) -> None:
    must, vault = world.machine.must, world.vault
    aave_place = bytes.fromhex(world.aave[2:]).rjust(32, b"\0")
    numbers = range(len(world.tokens))
    pairs = [(loan, collateral) for loan in numbers for collateral in numbers]
    places = [aave_place, *(_morpho_place(world, *pair) for pair in pairs)]
    for place in places:
        listing = (place, ACCOUNT, ACT_BELOW, AT_LEAST)
        must(OWNER, vault, "setListing(bytes32,address,uint128,uint128)", *listing)
        must(OWNER, vault, "setLossLimit(bytes32,uint128,uint128)", place, *LOSS)
    for number, token in enumerate(world.tokens):
        dollars = sorted(world.rng.randrange(1, 20_000) for _ in range(2))
        limits = [world.units(number, worth) for worth in dollars]
        each = world.units(number, world.rng.randrange(1, 20_000))
        world.limits.append((limits[0], limits[1], each))
        must(OWNER, vault, "setLimit(address,uint128,uint128)", token, *limits)
        must(OWNER, vault, "setAccountLimit(address,address,uint256)", ACCOUNT, token, each)
        must(OWNER, vault, "setCounted(bytes32,address,uint256)", aave_place, token, COUNTED)


def _morpho_place(world: World, loan: int, collateral: int) -> bytes:
    kinds = ("address", "address", "address", "address", "uint256")
    market = encode(kinds, world.market(loan, collateral))
    return bytes(keccak(bytes.fromhex(world.morpho[2:]).rjust(32, b"\0") + keccak(market)))
