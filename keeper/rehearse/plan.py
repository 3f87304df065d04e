"""Parameters of a backtest and its run per policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from keeper.domain import wording
from keeper.domain.errors import ConfigError
from keeper.margin.settings import Confirms, MarginSettings
from keeper.rehearse.depth import FEE, RECOVERY_SECONDS
from keeper.rehearse.outcome import HOUR, Outcome, outcome
from keeper.rehearse.prices import (
    BLOCK_SECONDS,
    LOOK_BLOCKS,
    WICK_BLOCKS,
    Moment,
    PricePath,
    Wick,
    moments,
    wicks,
)
from keeper.rehearse.run import ASK_AGAIN_SECONDS, Run, Told, gas_price, prepared, ran
from keeper.rehearse.stage import planner_of
from keeper.rehearse.world import DOLLAR, NATIVE, TERMS, made
from keeper.strategy.policy import Policy

LEAST_ASSETS: Final = 5
"""Number of assets in the largest simulated accounts."""
WICKED: Final = ("WETH", "WBTC", "LINK", "UNI")
"""Assets with wicks, without those pegged to another asset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """All parameters of a backtest besides the path and the policies."""

    accounts: int = 10_000
    seed: int = 1
    step_minutes: int = 60
    recovery_hours: int = 6
    wicks: int = 12
    wick_off_bps: int = 500
    wick_seed: int = 1
    gas_gwei: int = 30

    def told(self, path: PricePath) -> Mapping[str, str]:
        """Describe the parameters for readers of the figures."""
        depth = ", ".join(
            f"{symbol} {TERMS[symbol].depth_usd // 1_000_000} M"
            for symbol in TERMS
            if symbol in path.symbols and symbol != DOLLAR
        )
        used = [symbol for symbol in TERMS if symbol in path.symbols]
        return {
            "book": f"{self.accounts:,} made-up Aave v3.6 accounts over {', '.join(used)},"
            f" seed {self.seed}, at the first record's prices",
            "prices": f"straight lines between the records, looked at every {self.step_minutes}"
            f" minutes in three consecutive blocks of {BLOCK_SECONDS} s, or as many as a policy's"
            f" guard takes to confirm; the longest time between two records is"
            f" {_format_longest_gap(path)}",
            "wicks": f"{self.wicks} of {self.wick_off_bps / 100:g} % for {WICK_BLOCKS} blocks,"
            f" seed {self.wick_seed}",
            "unnecessary": f"healthy again within {self.recovery_hours} h at the recorded prices,"
            " had nobody done anything",
            "exit depth": f"constant-product pools against {DOLLAR}, fee {FEE / 10_000:g} %,"
            f" dollars on each side: {depth}; back at the price {RECOVERY_SECONDS} s after a sale",
            "gas": f"{self.gas_gwei} gwei, paid in {NATIVE}",
            "left out": "reminders, cures, competitors; who is not worth his gas is asked about"
            f" again after {ASK_AGAIN_SECONDS // HOUR} h",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """One policy's figures, with the data of its chart."""

    outcome: Outcome
    health: Sequence[tuple[int, float, float]]
    actions: Sequence[tuple[int, int]]


def look_blocks(policy: MarginSettings, settled: Settled) -> int:
    """Return the consecutive blocks of a look, enough for the policy's guard to confirm."""
    guard, most = policy.guard, settled.step_minutes * 60 // BLOCK_SECONDS
    wanted = LOOK_BLOCKS
    if Confirms.BLOCKS in guard.confirm:
        wanted = max(wanted, guard.blocks)
    if Confirms.SECONDS in guard.confirm:
        wanted = max(wanted, -(-guard.seconds // BLOCK_SECONDS) + 1)
    return max(LOOK_BLOCKS, min(wanted, most))


def all_moments(
    path: PricePath, settled: Settled, blocks: int = LOOK_BLOCKS
) -> tuple[Sequence[Moment], Sequence[Wick]]:
    """Build the blocks of a backtest, with ``blocks`` blocks per look, and its false prices."""
    symbols = [one for one in WICKED if one in path.symbols]
    false = wicks(path, symbols, settled.wicks, settled.wick_off_bps, settled.wick_seed)
    step = settled.step_minutes * 60
    times = range(path.times[0], path.times[-1] + 1, step)
    return list(moments(path, times, false, blocks)), false


def rehearsed(name: str, policy: MarginSettings, path: PricePath, settled: Settled) -> Rehearsed:
    """Run a policy over a price path.

    Raises:
        ConfigError: the path lacks the native coin or the dollar, or has too few known assets.
    """
    for symbol in (NATIVE, DOLLAR):
        if symbol not in path.symbols:
            raise ConfigError(f"the price path has no {symbol}", hint=f"add a column {symbol}")
    known = [one for one in TERMS if one in path.symbols]
    if len(known) < LEAST_ASSETS:
        raise ConfigError(
            f"the price path has {len(known)} assets that are known here; it takes {LEAST_ASSETS}",
            hint=f"known: {', '.join(TERMS)}",
        )
    blocks, _ = all_moments(path, settled, look_blocks(policy, settled))
    world = made(settled.accounts, settled.seed, blocks[0])
    run = Run(
        settings=prepared(policy),
        world=world,
        planner=planner_of(world, gas_price(settled.gas_gwei), Policy()),
    )
    told = ran(run, blocks)
    return Rehearsed(
        outcome=outcome(name, told, world, path, settled.recovery_hours * HOUR),
        health=told.health,
        actions=_count_actions(told),
    )


def _format_longest_gap(path: PricePath) -> str:
    """Format the longest time between two records, where linear prices hide most."""
    return wording.hours(max(after - before for before, after in pairwise(path.times)))


def _count_actions(told: Told) -> Sequence[tuple[int, int]]:
    """Return the liquidations by time."""
    found = dict[int, int]()
    for one in told.taken:
        when = one.moment.timestamp
        found[when] = found.get(when, 0) + 1
    return sorted(found.items())
