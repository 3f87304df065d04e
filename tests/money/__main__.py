"""``scripts/money``: campaigns with real money in them, on real contracts."""

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict

from tests.money.campaign import WORLDS, Campaign, keep, lived, table
from tests.money.gas import BORROWERS, GWEIS, gas_table, run_gas
from tests.money.races import RACES, races_table, run_races


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; the exit code is 1 where something was not as it must be."""
    asked = _options().parse_args(arguments)
    return COMMANDS[asked.command](asked)


def _scenarios(asked: argparse.Namespace) -> int:
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    began, campaign = time.monotonic(), Campaign()
    worlds = range(seed, seed + asked.worlds)
    with ProcessPoolExecutor(asked.jobs) as pool:
        for world, outcomes in zip(worlds, pool.map(lived, worlds), strict=True):
            known = len(campaign.violations)
            campaign.add(outcomes)
            sys.stderr.writelines(f"{wrong}\n" for wrong in campaign.violations[known:])
            sys.stderr.write(f"world {world}: {len(campaign.violations)} violations so far\n")
    if asked.json:
        sys.stdout.write(json.dumps(asdict(campaign)) + "\n")
    else:
        sys.stdout.write(f"{table(campaign)}\n")
        sys.stdout.write(f"seed {seed}, {time.monotonic() - began:.0f} s\n")
    keep(campaign.failed)
    return 1 if campaign.violations else 0


def _races(asked: argparse.Namespace) -> int:
    tallies = [run_races(asked.races, gwei, asked.seed) for gwei in asked.gwei]
    return _told(asked, tallies, races_table(tallies))


def _gas(asked: argparse.Namespace) -> int:
    rows = [run_gas(gwei, asked.borrowers) for gwei in asked.gwei]
    return _told(asked, rows, gas_table(rows))


def _told(asked: argparse.Namespace, rows: Sequence, text: str) -> int:
    """Print what was measured; return 1 where something was not as it must be."""
    violations = [wrong for row in rows for wrong in row.violations]
    sys.stderr.writelines(f"{wrong}\n" for wrong in violations)
    answer = json.dumps([asdict(row) for row in rows]) if asked.json else text
    sys.stdout.write(f"{answer}\n")
    return 1 if violations else 0


COMMANDS = {"scenarios": _scenarios, "races": _races, "gas": _gas}


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/money")
    commands = parser.add_subparsers(dest="command", required=True)
    scenarios = commands.add_parser("scenarios", help="random accounts, attackers and rivals")
    scenarios.add_argument("--seed", type=int, help="the first world's seed")
    scenarios.add_argument("--worlds", type=int, default=WORLDS, help="of forty scenarios each")
    scenarios.add_argument("--jobs", type=int, default=1)
    races = commands.add_parser("races", help="a rival that is ahead in the block, again and again")
    races.add_argument("--races", type=int, default=RACES)
    races.add_argument("--seed", type=int, default=1)
    races.add_argument("--gwei", type=int, nargs="+", default=[5, 50], help="base fees")
    gas = commands.add_parser("gas", help="what is sent and lands as gas becomes dear")
    gas.add_argument("--borrowers", type=int, default=BORROWERS)
    gas.add_argument("--gwei", type=int, nargs="+", default=list(GWEIS), help="base fees")
    for command in (scenarios, races, gas):
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
