"""A thousand scenarios in worlds of their own, and the table of what they came to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keeper.domain.errors import EnvironmentFault
from tests.money.arena import arena
from tests.money.draw import HAZARDS, SCENARIOS, draw_scenarios, draw_world
from tests.money.scenario import Outcome, Play

WORLDS = 25
WITH_BIDS = ", with bids"
SEEDS = Path(__file__).with_name("seeds.txt")
COLUMNS = (
    ("scenarios", "scenarios"),
    ("landed", "landed"),
    ("reverted", "reverted"),
    ("net", "net, USD"),
    ("burnt", "in reverts, USD"),
    ("taken", "taken by attackers, USD"),
    ("worst", "worst net, USD"),
)


@dataclass(slots=True, kw_only=True)
class Row:
    """What the scenarios of a kind came to; money in dollars with 8 decimals."""

    scenarios: int = 0
    landed: int = 0
    reverted: int = 0
    net: int = 0
    burnt: int = 0
    taken: int = 0
    worst: int | None = None
    rivals_first: int = 0
    short: int = 0
    attacked: int = 0
    attacked_landed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        self.scenarios += 1
        self.landed += outcome.landed
        self.reverted += outcome.reverted
        self.net += outcome.net_usd_e8
        self.burnt += outcome.burnt_usd_e8
        self.taken += outcome.taken_usd_e8
        self.rivals_first += outcome.rivals_first
        self.short += outcome.short
        self.attacked += outcome.attacked
        self.attacked_landed += outcome.attacked_landed
        worst = [one for one in (self.worst, outcome.worst_usd_e8) if one is not None]
        self.worst = min(worst, default=None)


@dataclass(slots=True, kw_only=True)
class Campaign:
    """Rows by kind, why accounts were left, and what must not have happened."""

    rows: dict[str, Row] = field(default_factory=dict)
    left: Counter = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, outcomes: list[Outcome]) -> None:
        """Count a world."""
        for outcome in outcomes:
            kind = f"{outcome.hazard}{WITH_BIDS if outcome.bids else ''}"
            self.rows.setdefault(kind, Row()).add(outcome)
            self.left += outcome.left
            self.violations += outcome.violations
            if outcome.violations and outcome.seed:
                self.failed.append(outcome.seed)


def lived(seed: int, numbers: Sequence[int] = range(SCENARIOS)) -> list[Outcome]:
    """Play scenarios of a world, one after the other, before one keeper."""
    world = draw_world(seed)
    outcomes = []
    try:
        with arena(world.policy(), minimum=world.min_profit_usd) as there:
            first = there.devnet.prices()
            for scenario in draw_scenarios(seed, numbers):
                outcomes.append(Play(there, world, scenario, first).run())  # noqa: PERF401
    except EnvironmentFault as error:
        wrong = f"world {seed}: {error}: {error.hint}"
        outcomes.append(Outcome(hazard="broken off", violations=[wrong]))
    return outcomes


def kept_scenarios() -> dict[int, list[int]]:
    """Return the scenarios, by world, in which something once was wrong."""
    kept = {}
    for line in SEEDS.read_text().splitlines():
        world, number = map(int, line.split(":"))
        kept.setdefault(world, []).append(number)
    return kept


def keep(seeds: Sequence[str]) -> None:
    """Add scenarios to those that the tests play."""
    known = SEEDS.read_text().splitlines()
    new = [seed for seed in dict.fromkeys(seeds) if seed not in known]
    with SEEDS.open("a") as file:
        file.writelines(f"{seed}\n" for seed in new)


def table(campaign: Campaign) -> str:
    """Return the rows as a table in Markdown, and what is said beside it."""
    heads = ["", *(title for _, title in COLUMNS)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    rows = campaign.rows
    kinds = [*HAZARDS, *(f"{kind}{WITH_BIDS}" for kind in HAZARDS)]
    lines += [_line(kind, rows[kind]) for kind in kinds if kind in rows]
    rivals = sum(row.rivals_first for row in campaign.rows.values())
    attacks = sum(row.attacked for row in campaign.rows.values())
    landed = sum(row.attacked_landed for row in campaign.rows.values())
    short = sum(row.short for row in rows.values())
    left = ", ".join(f"{count} {why}" for why, count in sorted(campaign.left.items()))
    lines += [
        "",
        f"rivals that came first: {rivals}; sandwiches: {attacks}, landed inside: {landed}",
        f"landed with less than the minimum for more gas than simulated: {short}",
        f"left: {left or 'nobody'}",
        f"violations: {len(campaign.violations)}",
    ]
    return "\n".join(lines)


def _line(kind: str, row: Row) -> str:
    worst = "-" if row.worst is None else f"{row.worst / 10**8:,.2f}"
    money = [f"{amount / 10**8:,.0f}" for amount in (row.net, row.burnt, row.taken)]
    cells = [kind, str(row.scenarios), str(row.landed), str(row.reverted), *money, worst]
    return "| " + " | ".join(cells) + " |"
