"""What a scenario is: drawn from a seed, before anything of it happens."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.assets import BY_SYMBOL, PRICE_UNIT

SCENARIOS = 40
"""So many happen in one world, on one chain, before one keeper."""
GAS = (5, 600)
NOISE = (0, 5, 20, 100, 300)
SANDWICHED = (100_000, 1_000_000, 5_000_000)
"""The sizes of the accounts whose sale an attacker surrounds, in dollars."""
FRONTS = (10, 50, 100, 500, 2_000, 10_000)
"""What an attacker sells first, in per cent of what the keeper sells."""
MOVE_BPS = 250
FALLS = {"WETH": (88, 96), "wstETH": (88, 96), "WBTC": (85, 92), "LINK": (85, 91)}
"""Between which shares of itself, in per cent, a collateral's price falls."""
PAIRS = (
    ("WETH", "USDC"),
    ("WETH", "USDT"),
    ("WETH", "DAI"),
    ("WBTC", "USDC"),
    ("WBTC", "WETH"),
    ("wstETH", "USDC"),
    ("LINK", "USDC"),
    ("LINK", "WETH"),
)
BIDS = ((0, 0), (0, 0), (1_000, 0), (5_000, 0), (9_000, 0), (0, 1_000), (0, 5_000), (4_000, 4_000))
"""Shares of the profit, in basis points: on top of the tip, and for the builder."""
SMALLEST, LARGEST = 1_500, 5_000_000
THIN = 150_000
"""The most that is put up of a token with thin pools, in dollars."""
HAZARDS = {
    "still": 15,
    "noise": 20,
    "move": 12,
    "sandwich": 23,
    "rival whole": 10,
    "rival part": 10,
    "rival cure": 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The settings that all scenarios of a world share."""

    tolerance_bps: int
    profit_bid_bps: int
    builder_share_bps: int
    min_profit_usd: int
    plans: int

    def policy(self) -> str:
        """
        Return the lines of the settings.

        The limits of money are out of the way: how much of the time is spent on
        races is this campaign's own doing.
        """
        return f"""\
tolerance_bps = {self.tolerance_bps}
profit_bid_bps = {self.profit_bid_bps}
builder_share_bps = {self.builder_share_bps}
max_plans_per_transaction = {self.plans}

[limits]
max_gas_per_hour_eth = "100000"
max_gas_per_day_eth = "1000000"
max_races_per_hour_eth = "1000"
max_balance_eth = "100000"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Debtor:
    """An account that will fall: units put up and owed."""

    address: str
    held: str
    amount: int
    owed: str
    debt: int

    def terms(self) -> tuple[str, int, str, int]:
        """Return what it puts up and owes."""
        return self.held, self.amount, self.owed, self.debt


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    Accounts that fall in one block, and what comes before the keeper in the next ones.

    ``rises`` are the eighths by which the base fee rises from block to block, ``noise`` the most
    that traders move a pool, in basis points, ``front`` what an attacker sells first, in
    per cent of what the keeper sells.
    """

    seed: str
    hazard: str
    gwei: int
    debtors: tuple[Debtor, ...]
    fall: int
    noise: int
    front: int
    part: int
    rises: tuple[int, ...]


def draw_world(seed: int) -> World:
    """Return the settings of a world."""
    chance = random.Random(f"world {seed}")  # noqa: S311
    bid, share = chance.choice(BIDS)
    return World(
        tolerance_bps=chance.choice((100, 300, 1_000, 1_000, 1_000, 3_000)),
        profit_bid_bps=bid,
        builder_share_bps=share,
        min_profit_usd=chance.choice((5, 5, 25)),
        plans=chance.choice((1, 4, 12)),
    )


def draw_scenarios(seed: int, numbers: Iterable[int] = range(SCENARIOS)) -> list[Scenario]:
    """Return scenarios of a world, in their order."""
    return [_scenario(f"{seed}:{number}") for number in numbers]


def _scenario(seed: str) -> Scenario:
    chance = random.Random(f"scenario {seed}")  # noqa: S311
    (hazard,) = chance.choices(list(HAZARDS), list(HAZARDS.values()))
    count = 1 if hazard == "sandwich" else chance.choice((1, 1, 2, 3))
    held, owed = ("WETH", "USDC") if hazard == "sandwich" else chance.choice(PAIRS)
    low, high = GAS
    return Scenario(
        seed=seed,
        hazard=hazard,
        gwei=round(low * (high / low) ** chance.random()),
        debtors=tuple(
            _debtor(f"{seed} {number}", held, owed, _dollars(chance, hazard, held), chance)
            for number in range(count)
        ),
        fall=chance.randint(*FALLS[held]),
        noise=chance.choice(NOISE[1:]) if hazard == "noise" else chance.choice(NOISE),
        front=chance.choice(FRONTS),
        part=chance.choice((10, 25, 50, 90)),
        rises=tuple(chance.choice((0, 0, 1)) for _ in range(4)),
    )


def _dollars(chance: random.Random, hazard: str, held: str) -> int:
    if hazard == "sandwich":
        return chance.choice(SANDWICHED)
    largest = THIN if held == "LINK" else LARGEST
    return round(SMALLEST * (largest / SMALLEST) ** chance.random())


def _debtor(name: str, held: str, owed: str, dollars: int, chance: random.Random) -> Debtor:
    value = dollars * PRICE_UNIT
    share = BY_SYMBOL[held].ltv * chance.randint(985, 999) // 1_000
    return Debtor(
        address=str(to_checksum_address(keccak(text=f"debtor {name}")[-20:])),
        held=held,
        amount=BY_SYMBOL[held].units_worth(value),
        owed=owed,
        debt=BY_SYMBOL[owed].units_worth(value * share // 10_000),
    )
