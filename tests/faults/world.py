"""A market, a node that lies, and a keeper that is killed over and over."""

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.market import Devnet, bring_up, hot_key
from keeper.devnet.node import Node
from keeper.domain.errors import RpcRefused
from keeper.execution.failpoints import VARIABLE
from tests.faults.invariants import ETHER, Audit
from tests.support.faults import Faults, parsed
from tests.support.forked import Forked, started
from tests.support.proxy import Proxy
from tests.support.threaded import proxied
from tests.support.undoing import undo

START = 1_800_000_000
INTERVAL = 12
BORROWERS = 40
CONFIRMATIONS = 2
BUDGET = ETHER
FIRST_PRICE = 2_890
LAST_PRICE = 1_700
FALL_PER_MILLE = 990
EXTRA_BLOCKS = 20
IDLE_BLOCKS = 3
"""Blocks in which nothing is sent, after which the price falls again."""
SILENCE = 2.0
"""Seconds without a word after which the next block comes anyway."""
LONGEST = 90.0
PATIENCE = 120.0

BY_DEPTH = "no_finalized"
"""Anvil calls nothing final for 64 blocks: as on a node without the tag, the depth decides."""

SCRIPT = """\
reset:chance=0.002
reset:methods=eth_sendRawTransaction,chance=0.15
status:methods=eth_sendRawTransaction,chance=0.1,status=429,amount=1
truncated:methods=eth_sendRawTransaction,chance=0.1
timeout:methods=eth_sendRawTransaction,chance=0.05,seconds=1
reset:methods=eth_sendRawTransaction,chance=0.1,delivered=no
swallowed:chance=0.1; dropped:chance=0.05
no_receipt:chance=0.1; stale_nonce:chance=0.02,amount=1
duplicate:chance=0.1,amount=2; missing:chance=0.1
latency:chance=0.2,seconds=0.01
"""
"""What the node does wrong in a campaign unless it is told otherwise."""


@dataclass(slots=True)
class Ran:
    """How one run ended: the exit code, the blocks it saw, what does not hold after it."""

    point: str
    code: int | None
    blocks: int
    seconds: float
    violations: list[str]

    @property
    def killed(self) -> bool:
        """Whether it died where it was to die."""
        return self.code == -signal.SIGKILL

    @property
    def reached(self) -> bool:
        """Whether it came to the point: it was killed there, or stopped in order from there."""
        return self.killed or (self.point.endswith(":term") and self.code == 0)


@dataclass(slots=True)
class World:
    """One chain and proxy, used for one episode after the other."""

    devnet: Devnet
    proxy: Proxy
    folder: Path
    snapshot: str
    script: str = SCRIPT
    price: int = FIRST_PRICE
    since: int = 0
    chance: random.Random = field(default_factory=random.Random)
    _read: int = 0
    _moved_at: int = 0
    _sent_at: int = 0

    @property
    def node(self) -> Node:
        """The node itself, past the proxy."""
        return self.devnet.node

    @property
    def journal(self) -> Path:
        """The journal of this episode's keeper."""
        return self.folder / "keeper.sqlite"

    def begin(self, seed: int) -> None:
        """Go back to the first block, with a new journal and a new script of faults."""
        self.chance = random.Random(seed)  # noqa: S311 - to be repeated
        undo(self.node, self.snapshot)
        self.snapshot = self.node.rpc("evm_snapshot")
        self.node.rpc("evm_setAutomine", [False])
        self.since = self.node.block_number()
        self.price = FIRST_PRICE
        self.proxy.pooled.clear()
        self.proxy.waiting.clear()
        self.proxy.faults = Faults(parsed(f"{BY_DEPTH};{self.script}"), seed=seed)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._read = 0
        self._configure(ws=self.chance.random() < 0.5)

    @property
    def exhausted(self) -> bool:
        """Whether the price has fallen as far as it may."""
        return self.price < LAST_PRICE

    def run(self, point: str, *, blocks: int = EXTRA_BLOCKS) -> Ran:
        """
        Let a keeper run until it dies at a point, or at a random moment, and compare the books.

        ``point`` is what the failpoint's variable takes (``K4:2``), or ``random``.
        """
        began = time.monotonic()
        self._fall()
        first = self.node.block_number()
        armed = {} if point == "random" else {VARIABLE: point}
        process = self._started(armed)
        moment = self.chance.uniform(0.1, 3.0) if point == "random" else LONGEST
        code = self._drive(process, first + blocks, began + moment, resend=point.startswith("K7"))
        if code is None:
            process.kill()
            ended = process.wait(PATIENCE)
            code = ended if point == "random" else None
        return Ran(
            point=point,
            code=code,
            blocks=self.node.block_number() - first,
            seconds=time.monotonic() - began,
            violations=self.violations(),
        )

    def settle(self) -> Ran:
        """Let a keeper finish in peace what the killed ones left, and compare the books."""
        began, first = time.monotonic(), self.node.block_number()
        self.proxy.faults = Faults(parsed(BY_DEPTH))
        process = self._started({})
        deadline = began + LONGEST
        while time.monotonic() < deadline:
            self._wait_for_block(
                process
            )  # what it begins in the newest block is in the journal then
            if self._is_settled() or process.poll() is not None:
                break
            self._mine()
        process.terminate()
        code = process.wait(PATIENCE)
        return Ran(
            point="settled",
            code=code,
            blocks=self.node.block_number() - first,
            seconds=time.monotonic() - began,
            violations=self.violations(settled=True)
            + ([] if code == 0 else [f"the last keeper ended with {code}: {self.last_words()}"]),
        )

    def violations(self, *, settled: bool = False) -> list[str]:
        """Return which invariants do not hold now."""
        if not self.journal.exists():
            return []
        audit = Audit(self.devnet, self.since, BUDGET)
        return audit.violations(self.journal, settled=settled)

    def last_words(self) -> str:
        """Return the end of what the keeper wrote to stderr."""
        path = self.folder / "err.log"
        return " | ".join(path.read_text().splitlines()[-3:]) if path.exists() else ""

    def _drive(self, process: Forked, last: int, until: float, *, resend: bool) -> int | None:
        """Mine a block after each that the keeper has worked on; return its exit code."""
        while self.node.block_number() < last and time.monotonic() < until:
            self._wait_for_block(process, until)
            code = process.poll()
            if code is not None:
                return code
            if self.node.block_number() - self._sent_at > IDLE_BLOCKS and not self.exhausted:
                self._fall()
            elif time.monotonic() < until:
                self._mine(lose=resend and self.chance.random() < 0.7)
        self._wait_for_block(process, until)
        return process.poll()

    def _mine(self, *, lose: bool = False) -> None:
        """Mine, sometimes without what waits in the pool, sometimes on another branch."""
        drawn = self.chance.random()
        if lose or drawn < 0.1:
            self.node.rpc("anvil_dropAllTransactions")
        elif drawn < 0.2 and self._may_fork():
            with contextlib.suppress(RpcRefused):  # Anvil has forgotten the state to begin at
                self.node.rpc("anvil_reorg", [self.chance.randint(1, 2), []])
                return
        self.node.rpc("evm_mine")

    def _may_fork(self) -> bool:
        """Whether the price stays where it is on another branch."""
        return self.node.block_number() - self._moved_at > 2

    def _fall(self) -> None:
        """Lower the price, so that more accounts cross the line."""
        self.price = self.price * FALL_PER_MILLE // 1_000
        with contextlib.suppress(RpcRefused):
            self.devnet.set_prices({"WETH": self.price * 10**8})
        self._moved_at = self._sent_at = self.node.block_number()

    def _wait_for_block(self, process: Forked, until: float = float("inf")) -> None:
        """Wait until the keeper has told of the newest block, has ended, or is silent."""
        newest, silent = self.node.block_number(), time.monotonic() + SILENCE
        begun = (self.folder / "out.jsonl").exists()
        while time.monotonic() < min(silent, until):
            events = self._events()
            if any(one["event"] == "attempt" for one in events):
                self._sent_at = newest
            if any(e["event"] == "block" and e["block_number"] >= newest for e in events):
                return
            if events or not begun:
                silent = time.monotonic() + SILENCE
                begun = True
            if process.poll() is not None:
                return
            time.sleep(0.01)

    def _events(self) -> list[Any]:
        """Return what was told since the last call."""
        path = self.folder / "out.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        events = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):  # half a line, then the next process's
                events.append(json.loads(line))
        return events

    def _is_settled(self) -> bool:
        pending = int(self.node.rpc("txpool_status")["pending"], 16)
        return not pending and not self._open()

    def _open(self) -> bool:
        with contextlib.closing(sqlite3.connect(self.journal)) as database:
            query = "select count(*) from transactions where state != 'final'"
            return bool(database.execute(query).fetchone()[0])

    def _started(self, armed: dict[str, str]) -> Forked:
        kept = {name: value for name, value in os.environ.items() if "KEEPER" not in name}
        own = {"KEEPER_WALLET__PRIVATE_KEY": hot_key(), "KEEPER_OBSERVE__LISTEN": ""}
        with (
            (self.folder / "out.jsonl").open("ab") as out,
            (self.folder / "err.log").open("ab") as err,
        ):
            return started(
                ["run", "--json"],
                cwd=self.folder,
                env=kept | own | armed,
                stdout=out,
                stderr=err,
            )

    def _configure(self, *, ws: bool) -> None:
        devnet = self.devnet
        via = [devnet.tokens[symbol].address for symbol in ("WETH", "USDC")]
        (self.folder / "keeper.toml").write_text(f"""\
[chain]
id = 31337
endpoints = ["{self.proxy.ws_url if ws else self.proxy.url}"]
poll_interval_ms = 50

[[market]]
protocol = "aave_v3"
addresses_provider = "{devnet.aave.provider.address}"
from_block = {devnet.from_block}

[[venue]]
kind = "uniswap_v3"
factory = "{devnet.venue.factory.address}"
quoter = "{devnet.venue.quoter.address}"
router = "{devnet.venue.router.address}"
via = {json.dumps(via)}

[[executor]]
address = "{devnet.executor}"

[policy]
min_profit_usd = "5"
confirmations = {CONFIRMATIONS}
max_plans_per_transaction = 2

[limits]
max_gas_per_transaction_eth = "0.5"
max_gas_per_hour_eth = "{BUDGET / ETHER}"
max_gas_per_day_eth = "{BUDGET / ETHER}"
""")


@contextlib.contextmanager
def world(folder: Path, script: str = SCRIPT) -> Iterator[World]:
    """Bring a world up; it ends with the block."""
    with start_anvil(AnvilOptions(timestamp=START)) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        devnet = bring_up(node, borrowers=BORROWERS)
        snapshot = node.rpc("evm_snapshot")
        with proxied(anvil.port) as proxy:
            yield World(devnet, proxy, folder / "keeper", snapshot, script)
        node.close()
