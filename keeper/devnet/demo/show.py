"""Run of the demo from bringing up to falling prices, waiting, audit and taking down."""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from keeper.cli.words import decimal
from keeper.devnet import local
from keeper.devnet.assets import PRICE_DECIMALS
from keeper.devnet.demo.books import Facts
from keeper.devnet.demo.ledger import Opening, facts, journal, opened_books
from keeper.devnet.demo.places import Places, Spot
from keeper.devnet.demo.process import KeeperProcess
from keeper.devnet.demo.progress import Progress
from keeper.devnet.demo.report import Told, many
from keeper.devnet.demo.steps import STEPS, Step
from keeper.devnet.demo.traffic import Traffic
from keeper.devnet.demo.watch import QUIET_BLOCKS, Timeline, Watch
from keeper.devnet.market import AAVE_V3, Devnet
from keeper.devnet.node import Node
from keeper.domain.errors import EnvironmentFault

PATIENCE_BLOCKS: Final = 60
"""Blocks that the keeper may take for one step before the demo gives up."""

_POLL_SECONDS: Final = 0.05
_READY_SECONDS: Final = 60.0
JOURNAL: Final = "keeper.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the demo. ``protocol`` is like in ``UpOptions``, ``block_time`` in seconds."""

    protocol: str = AAVE_V3
    aave: str = "3.6"
    borrowers: int = 32
    seed: int = 1
    block_time: int = 1
    fork: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Result of the demo with the facts to audit and the steps taken."""

    facts: Facts
    told: Sequence[Told]
    about: dict[str, Any]
    accounts: int


@dataclass(slots=True, kw_only=True)
class _DemoStage:
    """State that is observed while prices fall."""

    devnet: Devnet
    places: Places
    keeper: KeeperProcess
    progress: Progress
    traffic: Traffic
    opening: Opening
    timeline: Timeline = field(default_factory=Timeline)
    watch: Watch = field(default_factory=Watch)
    told: list[Told] = field(default_factory=list)
    seen: int = 0

    @property
    def kinds(self) -> dict[Spot, str]:
        """Kind of each borrower."""
        return self.places.kinds()

    def tick(self) -> None:
        """Read every new block and the keeper's events."""
        newest = self.devnet.node.block_number()
        if newest > self.seen:
            self.traffic.keep_up()
        for block in range(self.seen + 1, newest + 1):
            self.timeline.add(block, self.places.health_factors(block))
        self.seen = newest
        events = self.keeper.events()
        self.watch.hear(events)
        for event in events:
            self.progress.keeper(event, self.kinds)
        self.progress.status(
            f"block {newest} · {len(self.timeline.unhealthy(newest))} unhealthy"
            f" · {self.watch.liquidations} liquidated"
        )

    def fall(self, step: Step, number: int) -> None:
        """Move the prices in one block and report the accounts that became unhealthy."""
        before = self.seen
        changes = step.changes()
        self.devnet.set_prices(changes)
        self.tick()
        block = next(
            each
            for each in range(before + 1, self.seen + 1)
            if self.timeline.unhealthy(each) - self.timeline.unhealthy(before) or each == self.seen
        )
        breached = [
            account
            for _, account in sorted(
                self.timeline.unhealthy(block) - self.timeline.unhealthy(before)
            )
        ]
        prices = {symbol: self.devnet.prices()[symbol] for symbol in changes}
        self.told.append(Told(title=step.title, block=block, prices=prices, breached=breached))
        shown = ", ".join(
            f"{symbol} {decimal(price, PRICE_DECIMALS, 2)}" for symbol, price in prices.items()
        )
        self.progress.line(
            f"block {block}  step {number} of {len(STEPS)}: {step.title} ({shown})"
            f": {many(len(breached), 'new unhealthy account')}",
            "bold",
        )

    def settle(self) -> None:
        """
        Wait until the keeper has nothing left to do.

        Raises:
            EnvironmentFault: it ended, or it goes on and on.
        """
        since = self.seen
        while not self.watch.is_done(since):
            if self.seen > since + PATIENCE_BLOCKS:
                raise EnvironmentFault(
                    f"the keeper was not done {PATIENCE_BLOCKS} blocks after the prices fell",
                    hint=self.keeper.last_words(),
                )
            time.sleep(_POLL_SECONDS)
            self.tick()

    def ready(self) -> None:
        """Wait until the keeper follows the chain."""
        deadline = time.monotonic() + _READY_SECONDS
        while self.watch.block < 0:
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    "the keeper did not read a block", hint=self.keeper.last_words()
                )
            time.sleep(_POLL_SECONDS)
            self.tick()


def show(options: Options, progress: Progress) -> Shown:
    """Run the demo to its end and return the result, with all processes stopped.

    Raises:
        KeeperError: it could not be run. The caller checks the books.
    """
    with _create_folder(options, progress) as folder, contextlib.ExitStack() as stack:
        answer = _start_devnet(folder, options, stack)
        devnet = local.attach(folder)
        stack.callback(devnet.node.close)
        stage = _prepare_stage(devnet, answer, options, progress, stack)
        borrowers = len(stage.kinds)
        progress.line(
            f"a local chain with {stage.places.title}, Uniswap v3, price feeds and"
            f" {many(borrowers, 'borrower')} is up; a block every {options.block_time} s"
        )
        base = _read_base_head(answer)
        with progress.running():
            _play(stage)
        if not options.keep:
            _stop(stage.keeper)
        found = facts(
            devnet,
            stage.opening,
            journal(folder / JOURNAL),
            stage.timeline,
            stage.watch,
            places=stage.places,
            base_moved=options.fork and base != _read_base_head(answer),
        )
        about = {
            "protocol": options.protocol,
            "aave": answer["aave"],
            "fork": options.fork,
            "seed": options.seed,
            "borrowers": options.borrowers,
            "block_time": options.block_time,
            "kinds": dict(Counter(stage.kinds.values())),
        }
        return Shown(facts=found, told=stage.told, about=about, accounts=borrowers)


def _prepare_stage(
    devnet: Devnet,
    answer: dict[str, Any],
    options: Options,
    progress: Progress,
    stack: contextlib.ExitStack,
) -> _DemoStage:
    """Set a gas price, read the opening balances, and start the keeper."""
    traffic = Traffic(devnet.node)
    traffic.start()
    opening = opened_books(devnet)
    keeper = KeeperProcess.start(Path(answer["config"]), outlive=options.keep)
    if not options.keep:
        stack.callback(keeper.stop)
    return _DemoStage(
        devnet=devnet,
        places=Places.of(devnet, _build_up_options(Path(), options).protocols),
        keeper=keeper,
        progress=progress,
        traffic=traffic,
        opening=opening,
        seen=opening.block - 1,
    )


def _play(stage: _DemoStage) -> None:
    stage.ready()
    stage.progress.line(
        f"block {stage.watch.block}  the keeper runs and finds"
        f" {len(stage.timeline.unhealthy(stage.seen))} accounts to liquidate"
    )
    for number, step in enumerate(STEPS, start=1):
        stage.fall(step, number)
        stage.settle()
    stage.progress.line(
        f"block {stage.seen}  nothing that pays is left: the keeper was quiet for"
        f" {QUIET_BLOCKS} blocks"
    )


def _stop(keeper: KeeperProcess) -> None:
    code = keeper.stop()
    if code != 0:
        raise EnvironmentFault(
            f"the keeper ended with code {code} on SIGTERM", hint=keeper.last_words()
        )


@contextlib.contextmanager
def _create_folder(options: Options, progress: Progress) -> Iterator[Path]:
    """Yield a new folder, which is deleted afterwards unless it is to be kept."""
    if not options.keep:
        with tempfile.TemporaryDirectory(prefix="keeper-demo-") as name:
            yield Path(name)
        return
    folder = Path(tempfile.mkdtemp(prefix="keeper-demo-"))
    try:
        yield folder
    finally:
        progress.line(f"kept: {folder} (settings, journal, logs; the chain and the keeper run on)")
        progress.line(f"  look   .venv/bin/keeper devnet status --dir {folder}")
        progress.line(f"  look   .venv/bin/keeper scan --config {folder}/keeper.toml")
        progress.line(f"  move   .venv/bin/keeper devnet price WETH=2000 --dir {folder}")
        progress.line(f"  stop   kill $(cat {folder}/keeper.sqlite.lock)")
        progress.line(f"  stop   .venv/bin/keeper devnet down --dir {folder}")


def _start_devnet(folder: Path, options: Options, stack: contextlib.ExitStack) -> dict[str, Any]:
    if not options.keep:
        stack.callback(local.down, folder)
    return local.up(_build_up_options(folder, options))


def _build_up_options(folder: Path, options: Options) -> local.UpOptions:
    return local.UpOptions(
        folder=folder,
        version=options.aave,
        protocol=options.protocol,
        borrowers=options.borrowers,
        seed=options.seed,
        block_time=options.block_time,
        fork=options.fork,
        detached=options.keep,
    )


def _read_base_head(answer: dict[str, Any]) -> str:
    """Return the newest block's hash of the chain under the fork."""
    node = Node(int(answer["base_rpc"]["http"].rpartition(":")[2]))
    try:
        return str(node.rpc("eth_getBlockByNumber", ["latest", False])["hash"])
    finally:
        node.close()
