"""``scripts/checkpoints`` compares a followed book with a new one and with the contracts.

It runs random actions on real contracts with reorgs of random depth between them, and restores the
book from its file now and then. At each checkpoint all its figures are compared, exactly, with a
new book at the same block and with the pool's own answers.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keeper.book.follower import Follower
from keeper.book.keeping import Keeping
from keeper.book.parity import audited_book
from keeper.chain.reader import NodeReader, connect
from keeper.composition.wiring import load_market
from keeper.devnet.anvil import CHAIN_ID, AnvilOptions, start_anvil
from keeper.devnet.market import VERSIONS, Devnet, bring_up
from keeper.devnet.node import Node
from keeper.devnet.sections import market_of
from keeper.devnet.shuffling import Shuffler
from keeper.domain.errors import KeeperError
from keeper.observe.logging import configure
from keeper.ports import MarketSnapshot

ACTIONS: Final = 10_000
CHECKPOINTS: Final = 100
DEEPEST: Final = 64
BORROWERS: Final = 34
INTERVAL: Final = 12
START: Final = 1_800_000_000
NEW_RESERVES: Final = 4
RESTART_EVERY: Final = 7
"""Checkpoints per restart of the book from its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Options of a run."""

    version: str
    seed: int
    actions: int = ACTIONS
    checkpoints: int = CHECKPOINTS


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Compared figures and differences, a line each."""

    checkpoints: int = 0
    accounts: int = 0
    audited: int = 0
    restarts: int = 0
    rebuilds: int = 0
    blocks: int = 0
    reorganised: int = 0
    deepest: int = 0
    differences: list[str]
    actions: Mapping[str, int]
    refused: int = 0


async def run(wanted: Wanted, tell: Any = lambda _: None) -> Outcome:  # noqa: ANN401
    """Run one market from its start. The callback gets a line for each checkpoint."""
    with contextlib.ExitStack() as stack:
        anvil = stack.enter_context(start_anvil(AnvilOptions(timestamp=START)))
        node = Node(anvil.port)
        stack.callback(node.close)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        devnet = bring_up(node, version=wanted.version, borrowers=BORROWERS)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        async with connect([f"http://127.0.0.1:{anvil.port}"]) as reader:
            return await _compare_books(devnet, reader, wanted, folder / "book.sqlite", tell)


async def _compare_books(
    devnet: Devnet,
    reader: NodeReader,
    wanted: Wanted,
    path: Path,
    tell: Any,  # noqa: ANN401
) -> Outcome:
    chance = random.Random(wanted.seed)  # noqa: S311 - to be repeated, no secret
    shuffler = Shuffler(devnet, chance)
    outcome = Outcome(differences=[], actions=shuffler.done)
    book = await _book(devnet, reader, path)
    for number in range(1, wanted.checkpoints + 1):
        goal = wanted.actions * number // wanted.checkpoints
        await _run_actions(shuffler, book, reader, outcome, goal)
        if number % max(1, wanted.checkpoints // NEW_RESERVES) == 0:
            await asyncio.to_thread(shuffler.new_reserve)
        if number % RESTART_EVERY == 0:
            await book.close()
            await asyncio.to_thread(shuffler.block)
            book = await _book(devnet, reader, path)
            outcome.restarts += 1
        await _check_block(devnet, reader, book, outcome, number)
        tell(
            f"checkpoint {number}: {shuffler.actions} actions, {outcome.accounts} compared,"
            f" {len(outcome.differences)} differences"
        )
    await book.close()
    outcome.refused = shuffler.refused
    return outcome


async def _run_actions(
    shuffler: Shuffler, book: Follower, reader: NodeReader, outcome: Outcome, goal: int
) -> None:
    """Run actions up to the goal, following most blocks and reverting some of them."""
    since = 0
    while shuffler.actions < goal:
        await asyncio.to_thread(shuffler.block)
        since += 1
        outcome.blocks += 1
        if shuffler.chance.random() < 4 / 5:
            await book.advance(await reader.head())
            book.keep()
        if since > 1 and shuffler.chance.random() < 1 / 12:
            deepest = min(DEEPEST, since) if shuffler.chance.random() < 3 / 4 else DEEPEST
            depth = await asyncio.to_thread(shuffler.reorganised, deepest)
            outcome.reorganised += 1
            outcome.deepest = max(outcome.deepest, depth)
            if shuffler.chance.random() < 1 / 2:
                await book.advance(await reader.head())
                book.keep()


async def _check_block(
    devnet: Devnet, reader: NodeReader, book: Follower, outcome: Outcome, number: int
) -> None:
    head = await reader.head()
    followed = await book.advance(head)
    new = Follower(reader, [load_market(market_of(devnet), reader)])
    await new.start(head)
    anew = await new.advance(head)
    ours, theirs = said(followed), said(anew)
    for what in sorted(ours.keys() | theirs.keys()):
        if ours.get(what) != theirs.get(what):
            told = f"{what}: {ours.get(what)} followed, {theirs.get(what)} made anew"
            outcome.differences.append(f"checkpoint {number}, block {head.number}: {told}")
    audit = await audited_book(reader, head, followed)
    outcome.differences += [
        f"checkpoint {number}, block {head.number}: {one.account} {one.what}: {one.ours} here,"
        f" {one.theirs} by the contract"
        for one in audit.differences
    ]
    outcome.differences += [
        f"checkpoint {number}, block {head.number}: {total.symbol} {total.known} owed in the book,"
        f" {total.stated} by the contract"
        for totals in book.coverage.totals().values()
        for total in totals
        if total.uncovered
    ]
    outcome.differences += [
        f"checkpoint {number}, block {head.number}: {stretch.describe()}"
        for stretch in book.looks.explanations.open
    ]
    outcome.differences += [f"checkpoint {number}: {why}" for why in book.quarantined.values()]
    outcome.rebuilds += len(book.rebuild_news())
    outcome.checkpoints += 1
    outcome.accounts += sum(len(one.accounts()) for one in followed)
    outcome.audited += audit.accounts


def said(snapshots: Sequence[MarketSnapshot]) -> dict[str, object]:
    """Collect all figures of a market's accounts and prices, by name."""
    found: dict[str, object] = {}
    for one in snapshots:
        for health in one.accounts():
            found[f"health of {health.account}"] = health
            found[f"balances of {health.account}"] = one.balances(health.account)
        found["prices"] = dict(one.prices)
        found["liquidity"] = dict(one.liquidity)
    return found


async def _book(devnet: Devnet, reader: NodeReader, path: Path) -> Follower:
    book = Follower(reader, [load_market(market_of(devnet), reader)])
    book.keeping = Keeping(path, CHAIN_ID)
    await book.start(await reader.head())
    return book


def document(wanted: Wanted, outcome: Outcome, seconds: float) -> dict[str, object]:
    """Return the outcome for scripts."""
    return {
        "version": wanted.version,
        "seed": wanted.seed,
        "seconds": round(seconds),
        "actions": dict(outcome.actions),
        "refused_by_the_pool": outcome.refused,
        "blocks": outcome.blocks,
        "reorganisations": outcome.reorganised,
        "deepest": outcome.deepest,
        "restarts_from_the_file": outcome.restarts,
        "rebuilds": outcome.rebuilds,
        "checkpoints": outcome.checkpoints,
        "accounts_compared_with_a_new_book": outcome.accounts,
        "accounts_compared_with_the_contracts": outcome.audited,
        "differences": outcome.differences,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. The exit code is 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="scripts/checkpoints", description=__doc__)
    parser.add_argument("--version", choices=VERSIONS, nargs="+", default=list(VERSIONS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--actions", type=int, default=ACTIONS)
    parser.add_argument("--checkpoints", type=int, default=CHECKPOINTS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    configure(level="error", form="text")
    failed = False
    for version in given.version:
        wanted = Wanted(
            version=version,
            seed=given.seed,
            actions=given.actions,
            checkpoints=given.checkpoints,
        )
        sys.stderr.write(f"Aave {version}, seed {wanted.seed}\n")
        begun = time.monotonic()
        try:
            outcome = asyncio.run(run(wanted, lambda line: sys.stderr.write(line + "\n")))
        except KeeperError as error:
            sys.stderr.write(f"error[{error.code}]: {error}\n")
            return error.exit_code
        told = document(wanted, outcome, time.monotonic() - begun)
        failed = failed or bool(outcome.differences)
        sys.stdout.write((json.dumps(told) if given.json else _format_text(told)) + "\n")
    return int(failed)


def _format_text(told: Mapping[str, object]) -> str:
    return "\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in told.items()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
