"""
A keeper as its operator has it: a folder with settings, and the real command.

``Keeper`` runs ``keeper`` in a folder of its own, as a process; ``Running`` is a run that goes on,
read event by event; ``driven`` mines a block after each block that the keeper has worked on.
"""

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from keeper.devnet.market import Devnet, hot_key
from keeper.devnet.node import Node
from keeper.devnet.toolchain import ROOT
from tests.support.canaries import marked_endpoint, refuse_leaks
from tests.support.forked import Forked, completed, started
from tests.support.pages import pages_of
from tests.support.schemas import check_document, check_event

Event = dict[str, Any]

PATIENCE = 120.0
"""Seconds to wait for a keeper's next event before the test gives up."""

IDLE = 0.5
"""Seconds of silence after which a keeper that has done its blocks waits for a receipt."""

STUCK = 20.0
"""Seconds of silence after which a keeper that has not must have given a block up."""

LIQUIDATION_CALL = (
    "0x"
    + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
)


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document that it printed, as its schema says."""
        return check_document(json.loads(self.out))

    @property
    def events(self) -> list[Event]:
        """The events that it printed, one a line."""
        return [check_event(json.loads(line)) for line in self.out.splitlines()]


@dataclass(slots=True)
class Keeper:
    """A keeper's folder. What it is told may be changed between commands."""

    folder: Path
    devnet: Devnet
    endpoint: str = ""
    executor: str | None = None
    key: str | None = field(default_factory=hot_key)
    failpoint: str = ""
    module: str = "keeper"
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain = self.endpoint or f"ws://127.0.0.1:{self.devnet.node.port}"
        self.endpoint = marked_endpoint(plain)
        self.executor = self.executor or self.devnet.executor
        self.folder.mkdir(parents=True, exist_ok=True)

    def configure(
        self, *, more: str = "", market: str | None = None, chain_id: int = 31337
    ) -> None:
        """Write the settings that a new user writes, nothing else; ``more`` goes to the policy."""
        venue = self.devnet.venue
        via = [self.devnet.tokens[symbol].address for symbol in ("WETH", "USDC")]
        text = f"""\
[chain]
id = {chain_id}
endpoints = ["{marked_endpoint(self.endpoint)}"]

[[market]]
protocol = "aave_v3"
addresses_provider = "{market or self.devnet.aave.provider.address}"
from_block = {self.devnet.from_block}

[[venue]]
kind = "uniswap_v3"
factory = "{venue.factory.address}"
quoter = "{venue.quoter.address}"
router = "{venue.router.address}"
via = {json.dumps(via)}
"""
        if self.executor:
            text += f'\n[[executor]]\nname = "main"\naddress = "{self.executor}"\n'
        text += f'\n[policy]\nmin_profit_usd = "5"\n{more}'
        settings = self.folder / "keeper.toml"
        settings.write_text(text)
        settings.chmod(0o600)  # the endpoint holds a key

    def command(self, *arguments: str) -> Finished:
        """Run a command to its end."""
        done = completed(arguments, cwd=self.folder, env=self.environment(), timeout=2 * PATIENCE)
        return Finished(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator["Running"]:
        """Start ``keeper run --json``; it is ended with the block."""
        with (self.folder / "stderr.log").open("ab") as log:
            process = started(
                ["run", "--json", *arguments],
                cwd=self.folder,
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                module=self.module,
            )
        running = Running(process, self.folder / "stderr.log")
        try:
            yield running
        finally:
            running.close()

    def environment(self) -> dict[str, str]:
        """
        Return the command's environment: nothing of this machine's own keeper, the hot key.

        Unless its settings say where, it may be looked at on a port that the system chooses:
        several of them run at once.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
        own = {"PYTHONPATH": str(ROOT), "KEEPER_WALLET__PRIVATE_KEY": self.key or ""}
        own["KEEPER_FAILPOINT"] = self.failpoint
        if "[observe]" not in (self.folder / "keeper.toml").read_text():
            own["KEEPER_OBSERVE__LISTEN"] = "127.0.0.1:0"
        return kept | {name: value for name, value in own.items() if value} | self.variables


class Running:
    """A keeper that runs; ``events`` holds all that it has told so far."""

    def __init__(self, process: Forked, log: Path) -> None:
        self.process = process
        self.log = log
        self.events: list[Event] = []
        self._told: list[str] = []
        self._waiting: queue.Queue[Event | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """End it, whatever it does; what it told last is read, and what its pages say."""
        if self.process.poll() is None:
            for name, text in pages_of(self.log).items():
                refuse_leaks(text, f"the page {name}")
        self.process.kill()
        self.process.wait()
        self._reader.join()
        refuse_leaks("".join(self._told), "what it printed")

    def next(self, seconds: float = PATIENCE) -> Event | None:
        """Return the next event; None when it has ended. ``queue.Empty`` if nothing comes."""
        event = self._waiting.get(timeout=seconds)
        if event is not None:
            self.events.append(check_event(event))
        return event

    def until(self, name: str, *, block: int = 0, still: Node | None = None) -> Event:
        """
        Return the next event of a name, of ``block`` or later.

        On a chain that stands ``still`` a block is mined for a keeper that gave one up.
        """
        while (event := self._next_of(name, still)) is not None:
            if event["event"] == name and event["block_number"] >= block:
                return event
        raise AssertionError(f"ended before {name}: {self.log.read_text()}")

    def _next_of(self, name: str, still: Node | None) -> Event | None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                return self.next(PATIENCE if still is None else STUCK)
            except queue.Empty:
                if still is not None:
                    still.rpc("evm_mine")
        raise AssertionError(f"silent before {name}: {self.log.read_text()}")

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        while self.next() is not None:
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._told.append(line)
                self._waiting.put(json.loads(line))
        self._waiting.put(None)


def driven(keeper: Keeper, blocks: int, *arguments: str) -> list[Event]:
    """Run for so many blocks, each mined when the keeper is done with the one before."""
    node = keeper.devnet.node
    node.rpc("evm_setAutomine", [False])
    with keeper.running("--blocks", str(blocks), *arguments) as running:
        left = blocks
        while True:
            try:
                event = running.next(seconds=IDLE if left == 0 else STUCK)
            except queue.Empty:
                if left or int(node.rpc("txpool_status")["pending"], 16):
                    node.rpc("evm_mine")  # it waits for a receipt, or could not read a block
                continue
            if event is None:
                break
            if event["event"] == "block":
                left -= 1
                node.rpc("evm_mine")
        code = running.process.wait(PATIENCE)
        assert code == 0, running.log.read_text()
    node.rpc("evm_setAutomine", [True])
    return running.events


def decisions(events: Sequence[Event], action: str) -> list[Event]:
    """Return the decisions of one action."""
    return [one for one in events if one["event"] == "decision" and one["action"] == action]


def planned_steps(events: Sequence[Event]) -> list[Event]:
    """Return every liquidation that was decided, an account's further rounds, too."""
    return [
        decision | step
        for decision in decisions(events, "liquidate")
        for step in ({}, *decision.get("further_rounds", ()))
    ]


def last_decisions(events: Sequence[Event]) -> dict[str, Event]:
    """Return each account's newest decision."""
    return {one["account"]: one for one in events if one["event"] == "decision"}


def plans_of(events: Sequence[Event]) -> list[Event]:
    """Return every plan of every transaction that was included."""
    return [plan for one in events if one["event"] == "included" for plan in one["plans"]]


def liquidation_logs(devnet: Devnet, first: int, last: int | str = "latest") -> list[Event]:
    """Return the pool's own liquidation logs of a range of blocks."""
    return list(
        devnet.node.rpc(
            "eth_getLogs",
            [
                {
                    "address": devnet.aave.pool.address,
                    "fromBlock": hex(first),
                    "toBlock": last if isinstance(last, str) else hex(last),
                    "topics": [LIQUIDATION_CALL],
                }
            ],
        )
    )


def account_data(devnet: Devnet, accounts: Sequence[str], block: int) -> dict[str, list[int]]:
    """Return what the pool itself says of each account at one block: six words."""
    pool = devnet.aave.pool
    answers = devnet.node.batch(
        [
            ("eth_call", [pool.transaction("getUserAccountData", one).as_json(), hex(block)])
            for one in accounts
        ]
    )
    return {
        account: [int(answer[2 + 64 * at : 66 + 64 * at], 16) for at in range(6)]
        for account, answer in zip(accounts, answers, strict=True)
    }


def hot_receipts(devnet: Devnet, first: int) -> list[Event]:
    """Return the receipts of everything that the hot key sent since a block."""
    node = devnet.node
    blocks = node.batch(
        [
            ("eth_getBlockByNumber", [hex(number), True])
            for number in range(first, node.block_number() + 1)
        ]
    )
    hot = devnet.accounts.hot.lower()
    sent = [one["hash"] for block in blocks for one in block["transactions"] if one["from"] == hot]
    return node.batch([("eth_getTransactionReceipt", [one]) for one in sent])


def wait_for_block(node: Node, number: int) -> None:
    """Wait until a chain with an interval has reached a block."""
    deadline = time.monotonic() + PATIENCE
    while node.block_number() < number:
        assert time.monotonic() < deadline, f"block {number} did not come"
        time.sleep(0.05)
