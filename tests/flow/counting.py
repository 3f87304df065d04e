"""
A chain whose accounts count: an account's state is in how many logs it was named, at a block.

What a book must say can so be told without it, at any block of any branch.
"""

import shutil
from dataclasses import dataclass, field

import numpy as np

from keeper.book.follower import Follower
from keeper.book.keeping import Keeping
from keeper.domain.errors import SnapshotReorged
from keeper.domain.head import Head
from keeper.domain.reads import Call, CallResult
from tests.flow.test_follower import Chain, Market, address, head, log
from tests.support.history import joined

CHAIN_ID = 31337


@dataclass
class CountingChain(Chain):
    """Blocks by hash and by number; ``tip`` is the newest of the canonical ones."""

    by_hash: dict = field(default_factory=dict)
    branches: int = 0
    tip: Head | None = None

    def grow(self, accounts=(), *, fork=None):
        """Mine a block that names accounts, on the tip or as the first of a new branch."""
        parent = self.tip if fork is None else self.blocks[fork]
        if fork is not None:
            self.branches += 1
            for number in range(fork + 1, self.tip.number + 1):
                del self.blocks[number]
        number = 0 if parent is None else parent.number + 1
        made = head(number, f"{self.branches + 1:x}")
        if parent is not None:
            made = Head(**{**_fields(made), "parent_hash": parent.hash})
        self.tip = self.mine(made, logs=[log(made, one) for one in accounts])
        self.by_hash[made.hash] = made
        return made

    async def head(self, block=None):
        self._ask("head")
        found = self.tip if block is None else None
        if isinstance(block, int):
            found = self.blocks.get(block)
        elif block is not None:
            found = self.by_hash.get(block)
        if found is None:
            raise SnapshotReorged("the node does not know the block")
        return found

    async def scan_logs(self, wanted, first, last, took):
        self._ask("scan_logs")
        for start in range(first, last + 1, 10):
            end = min(last, start + 9)
            logs = [
                one
                for number in range(start, end + 1)
                for one in self.logs[self.blocks[number].hash]
                if wanted.accepts(one)
            ]
            took(table_of(logs), end)

    async def aggregate(self, calls, basis):
        self._ask("aggregate")
        counts = self.counts(basis.block_hash)
        return [
            CallResult(success=True, data=counts.get(int.from_bytes(each.data), 0).to_bytes(32))
            for each in calls
        ]

    def counts(self, block_hash):
        """Return what each account that was ever named is, at a block."""
        found, at = {}, self.by_hash.get(block_hash)
        while at is not None:
            for one in self.logs[at.hash]:
                account = int.from_bytes(one.data)
                found[account] = found.get(account, 0) + 1
            at = self.by_hash.get(at.parent_hash)
        return found


def _fields(made):
    return {name: getattr(made, name) for name in made.__dataclass_fields__}


def table_of(logs):
    """Return logs as a table; only whom they name matters here."""
    parts = [one.data for one in logs]
    return joined([]) if not logs else _Table(len(logs), parts)


@dataclass
class _Table:
    rows: int
    accounts: list


@dataclass
class CountingMarket(Market):
    """A market that keeps its accounts as arrays."""

    chain: object = None
    state: dict = field(default_factory=dict)
    written: dict = field(default_factory=dict)
    form: str = "counts"
    asked: list = field(default_factory=list)

    def borrowers(self, logs):
        return frozenset(
            address(int.from_bytes(each)) for each in (logs.accounts if logs.rows else ())
        )

    async def load(self, head, accounts):
        self._work("load")
        self.loads += 1
        self.loaded = [int(one, 16) for one in accounts]
        calls = [Call(target=address(1), data=one.to_bytes(32)) for one in self.loaded]
        basis = type("Basis", (), {"block_hash": head.hash})
        answers = await self.chain.aggregate(calls, basis)
        self.state = {
            one: int.from_bytes(answer.data)
            for one, answer in zip(self.loaded, answers, strict=True)
        }
        self.touched -= self.state.keys()

    def calls(self, head):
        self.asked = sorted(self.touched)
        return [Call(target=address(1), data=one.to_bytes(32)) for one in self.asked]

    def apply(self, head, results):
        self._work("apply")
        read = {
            one: int.from_bytes(answer.data)
            for one, answer in zip(self.asked, results, strict=True)
        }
        self.state |= read
        self.written = read
        self.touched -= read.keys()
        return [(self.key, head.hash, dict(self.state))]

    def array_form(self):
        return self.form

    def is_settled(self):
        return not self.touched

    def to_arrays(self):
        return arrays_of(self.state)

    def changed(self):
        found, self.written = self.written, {}
        return arrays_of(found) if found else {}

    def from_arrays(self, arrays):
        self.state = state_of(arrays)

    def merge(self, arrays):
        self.state |= state_of(arrays)


def arrays_of(state):
    rows = sorted(state)
    raw = b"".join(one.to_bytes(20) for one in rows)
    return {
        "address": np.frombuffer(raw, dtype=np.uint8).reshape(-1, 20),
        "count": np.array([state[one] for one in rows], dtype=np.uint64),
    }


def state_of(arrays):
    return {
        int.from_bytes(one.tobytes()): int(count)
        for one, count in zip(arrays["address"], arrays["count"], strict=True)
    }


class Process:
    """A keeper's book with its file, that can be stopped, killed and started again."""

    def __init__(self, chain, path, **changes):
        self.chain, self.path, self.changes = chain, path, changes
        self.market = self.follower = None

    async def start(self, chain_id=CHAIN_ID):
        """Begin as a new process does."""
        self.market = CountingMarket(chain=self.chain, **self.changes)
        self.follower = Follower(self.chain, [self.market])
        self.follower.keeping = Keeping(self.path, chain_id)
        await self.follower.start(await self.chain.head())
        return self

    async def read(self):
        """Follow to the chain's tip and keep it."""
        snapshots = await self.follower.advance(await self.chain.head())
        self.follower.keep()
        return snapshots[0][2] if snapshots else None

    async def written(self):
        """Wait until nothing is being written."""
        await self.follower.keeping.written()

    async def stop(self):
        """End as a process does that is asked to."""
        await self.follower.close()

    async def killed(self, aside):
        """Return what a kill leaves, in a file of another name."""
        await self.written()
        for ending in ("", "-wal", "-shm"):
            source = self.path.with_name(self.path.name + ending)
            if source.exists():
                shutil.copy(source, aside.with_name(aside.name + ending))
        await self.stop()
        return Process(self.chain, aside, **self.changes)
