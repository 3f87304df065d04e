"""Tolerances of the enforced minimum profit, under moving pools and a sandwich attack.

Between a plan's head and its block, traders move the pool's price by up to the noise in basis
points, either way. A plan with less than its minimum profit reverts and is planned again at the
next head. A sandwich leaves exactly the minimum. The model uses exact integers on a seeded
constant-product pool and is the same on every machine.
"""

import json
import random
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.units import BPS, GWEI

NOISE_BPS: Final = (0, 5, 20, 100, 300)
TOLERANCE_BPS: Final = (100, 300, 1_000, 3_000)
SAMPLES: Final = 4_000
BLOCKS: Final = 5
"""Heads that an account is tried at before its liquidation counts as lost to others."""
BONUS_BPS: Final = 500
POOL_FEE_PIPS: Final = 500
PIPS: Final = 1_000_000
DOLLAR: Final = 10**6
ETHER: Final = 10**18
PRICE: Final = 2_600
REVERT_DOLLARS: Final = 100_000 * 5 * GWEI * PRICE * DOLLAR // ETHER
"""What a reverted step costs: 100,000 gas at 5 gwei, in units of the debt token."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of ether and dollars."""

    ether: int
    dollars: int

    def sell(self, ether: int) -> int:
        """Return the dollars that a sale brings, rounded down."""
        paid = ether * (PIPS - POOL_FEE_PIPS) // PIPS
        return self.dollars * paid // (self.ether + paid)

    def moved(self, bps: int) -> "Pool":
        """Return the pool with its price moved, its depth kept."""
        return replace(self, dollars=self.dollars * (BPS + bps) // BPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Result for one noise and tolerance, as shares of samples or profit in basis points."""

    noise_bps: int
    tolerance_bps: int
    landed_first_bps: int
    landed_bps: int
    profit_bps: int
    sandwich_loss_bps: int


def measure(debt_dollars: int, depth_dollars: int) -> list[Row]:
    """Return a row per noise and tolerance for one account on one pool."""
    debt = debt_dollars * DOLLAR
    pool = Pool(ether=depth_dollars * ETHER // PRICE, dollars=depth_dollars * DOLLAR)
    received = debt * (BPS + BONUS_BPS) // BPS * ETHER // (PRICE * DOLLAR)
    return [
        _build_row(pool, received, debt, noise, tolerance)
        for noise in NOISE_BPS
        for tolerance in TOLERANCE_BPS
    ]


def _build_row(pool: Pool, received: int, debt: int, noise: int, tolerance: int) -> Row:
    chance = random.Random(noise)  # noqa: S311 - no secret; every tolerance meets the same moves
    still = pool.sell(received) - debt
    first = landed = total = 0
    for _ in range(SAMPLES):
        now = pool
        for attempt in range(BLOCKS):
            expected = now.sell(received) - debt
            if expected <= 0:
                now = now.moved(chance.randint(-noise, noise))
                continue
            least = expected * (BPS - tolerance) // BPS
            now = now.moved(chance.randint(-noise, noise))
            brought = now.sell(received) - debt
            if brought >= least:
                first += attempt == 0
                landed += 1
                total += brought
                break
            total -= REVERT_DOLLARS
    return Row(
        noise_bps=noise,
        tolerance_bps=tolerance,
        landed_first_bps=first * BPS // SAMPLES,
        landed_bps=landed * BPS // SAMPLES,
        profit_bps=total * BPS // (SAMPLES * still),
        sandwich_loss_bps=tolerance,
    )


def report(*, as_json: bool) -> str:
    """Return the table for a small and a large sale, as text or JSON."""
    cases = {"sale of 0.5 % of the pool": (100_000, 20_000_000)}
    cases["sale of 1.5 % of the pool"] = (300_000, 20_000_000)
    rows = {name: measure(*sizes) for name, sizes in cases.items()}
    if as_json:
        return json.dumps(
            {
                name: [{field: getattr(row, field) for field in Row.__slots__} for row in found]
                for name, found in rows.items()
            }
        )
    lines = []
    for name, found in rows.items():
        lines += [name, "noise   tolerance  lands at once  lands in five  profit  sandwich takes"]
        lines += [
            f"{row.noise_bps:>3} bps  {row.tolerance_bps / 100:>6.0f} %"
            f"  {row.landed_first_bps / 100:>11.1f} %  {row.landed_bps / 100:>11.1f} %"
            f"  {row.profit_bps / 100:>5.1f} %  {row.sandwich_loss_bps / 100:>11.0f} %"
            for row in found
        ]
    return "\n".join(lines)
