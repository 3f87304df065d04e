"""
The real submit code under every order of mishaps that hypothesis can think of.

Real are the submitter, the tracker, the fee rules, the signer and the journal on an SQLite file;
the chain behind the ports is ``chain_model.py``, the clock is virtual. A crash drops every
object, at a failpoint or between two heads, and opens the journal again.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from keeper.domain.errors import ChainError, ConfigError, ForeignKeyUse, JournalError, NotBroadcast
from keeper.execution import failpoints, submitter
from keeper.execution.fees import FeeOracle, FeePolicy
from keeper.execution.signer import LocalSigner
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.tracker import Tracker
from keeper.storage import database
from keeper.storage.journal import Journal
from tests.faults.books import checked_books, checked_chain, checked_end
from tests.faults.chain_model import ModelChain
from tests.faults.virtual import VirtualLoop
from tests.support.scripted_submission import GWEI, MARKET, account, batch, plan

ACCOUNTS = 6
CHAIN_ID = 31337
CONFIRMATIONS = 3
MAX_IN_FLIGHT = 4
PATIENCE_BLOCKS = 40
DEADLINE_SECONDS = 120
DEEPEST = 3
DOUBT_BLOCKS = 12
POLICY = FeePolicy(max_fee=300 * GWEI)
PLACE = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - the same fsync, less disk
POINTS = st.sampled_from(sorted(failpoints.POINTS))
SOME = st.frozensets(st.integers(0, ACCOUNTS - 1), max_size=3)
SENDS = st.lists(
    st.sampled_from(["lost", "delivered", "swallowed", "busy"]), min_size=1, max_size=4
)


class Crashed(BaseException):
    """The process is gone."""


class Failpoint:
    def __init__(self, point: str, passes: int) -> None:
        self.point, self.passes = point, passes

    def reached(self, point: str) -> None:
        if point == self.point:
            self.passes -= 1
            if self.passes == 0:
                raise Crashed(point)


class Submission(RuleBasedStateMachine):
    """One key, one journal, one chain."""

    template: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.folder = Path(tempfile.mkdtemp(prefix="keeper-model-", dir=PLACE))
        self.path = self.folder / "journal.sqlite"
        self._give_journal()
        self.reading = sqlite3.connect(self.path)
        self.checked: object = None
        self.loop = VirtualLoop()
        self.batches: dict[bytes, tuple[int, ...]] = {}
        self.chain = ModelChain(self.batches, self._leaving)
        self.signer = LocalSigner(b"\x01" * 32, CHAIN_ID)
        self.foreign = self.stopped = False
        self.serial = 0
        self.left: set[bytes] = set()
        self.live: NodeSubmitter | None = None
        self.journal: Journal | None = None
        self._time, submitter.time = submitter.time, SimpleNamespace(monotonic=self.loop.time)

    # Beginning and end.

    @initialize(tagged=st.booleans())
    def start(self, tagged: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        """Begin on a chain with or without a finalized tag."""
        self.chain.tagged = tagged
        self._restart()

    def teardown(self) -> None:
        """Let everything go well from now on: nothing may be left."""
        try:
            self._finish()
        finally:
            failpoints.armed.clear()
            submitter.time = self._time
            self._drop()
            self.loop.close()
            self.reading.close()
            logging.disable(logging.NOTSET)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self) -> None:
        failpoints.armed.clear()
        self.chain.lies.forget()
        self.chain.poor = False
        self.chain.base_fee = 10 * GWEI
        for _ in range(PATIENCE_BLOCKS):
            if self.stopped or (self._is_idle() and not self.foreign):
                break
            self.chain.mine({0} if self.foreign else ())  # somebody to liquidate: it wants to sign
            self._act()
        if self.foreign:
            assert self.stopped, "somebody else's use of the key was not told"
            return
        assert self.live is not None, "the keeper did not come back"
        checked_end(self.reading, self.chain)

    def _is_idle(self) -> bool:
        """Whether nothing is left to do: nobody whom it would pay to liquidate, nothing open."""
        if self.live is None or self.live.tracker.book:
            return False
        known = self.serial
        self.chain.mine()
        self._act()
        return self.live is not None and not self.live.tracker.book and self.serial >= known

    # What happens.

    @rule(crossing=SOME, empty=st.booleans())
    def block(self, crossing: frozenset[int], empty: bool) -> None:  # noqa: FBT001
        """A block comes, full or empty, and the keeper works on it."""
        self.chain.mine(crossing, empty=empty)
        self._act()

    @rule(crossing=SOME)
    def missed_block(self, crossing: frozenset[int]) -> None:
        """A block that the keeper never hears of."""
        self.chain.mine(crossing)

    @rule()
    def same_head(self) -> None:
        """No block comes for long: what is in flight is looked after."""
        self._act()

    @rule(
        depth=st.integers(1, DEEPEST),
        longer=st.integers(0, 1),
        returned=st.booleans(),
        empty=st.booleans(),
        heard=st.booleans(),
    )
    def reorganisation(self, **how: Any) -> None:
        """Blocks are left for others, at the same height or one more; often again at once."""
        heard = how.pop("heard")
        self.chain.reorganise(**how)
        if heard:
            self._act()

    @rule(sends=SENDS)
    def sends_go_wrong(self, sends: list[str]) -> None:
        """The next sends are lost, delivered and lost, swallowed or refused."""
        self.chain.lies.sends += sends

    @rule(behind=st.integers(1, 3), times=st.integers(1, 2))
    def count_lags(self, behind: int, times: int) -> None:
        """The next counts are old."""
        self.chain.lies.counts += [behind] * times

    @rule(lies=st.lists(st.sampled_from(["none", "orphan"]), min_size=1, max_size=3))
    def receipts_lie(self, lies: list[str]) -> None:
        """The next receipts are not there, or of a block that never was."""
        self.chain.lies.receipts += lies

    @rule(times=st.integers(1, 3))
    def outage(self, times: int) -> None:
        """The next reads are not answered."""
        self.chain.lies.outages += times

    @rule(back=st.integers(0, 3))
    def eviction(self, back: int) -> None:
        """The pool forgets one of ours."""
        self.chain.evict(self.chain.tip.count + back)

    @rule(percent=st.sampled_from([50, 112, 320, 1_000]))
    def fees_move(self, percent: int) -> None:
        """The base fee falls, rises, or jumps tenfold."""
        self.chain.base_fee = min(max(self.chain.base_fee * percent // 100, GWEI), 2_000 * GWEI)

    @rule(poor=st.booleans())
    def purse(self, poor: bool) -> None:  # noqa: FBT001
        """The wallet is empty, or filled again."""
        self.chain.poor = poor

    @rule(draw=st.integers(0, 3))
    def crash(self, draw: int) -> None:
        """Killed between two heads; the next process comes up."""
        if draw == 0:
            self._restart()

    @rule(point=POINTS, passes=st.integers(1, 3))
    def crash_soon(self, point: str, passes: int) -> None:
        """Killed where a point is passed for the nth time from now on."""
        failpoints.armed[:] = [Failpoint(point, passes)]  # type: ignore[list-item]

    @precondition(lambda self: self.live is not None and self.live.tracker.bound())
    @rule(cancel=st.booleans(), at=st.integers(0, 3))
    def command(self, cancel: bool, at: int) -> None:  # noqa: FBT001
        """An operator bumps or cancels one by hand."""
        assert self.live is not None
        bound = self.live.tracker.bound()
        nonce = bound[at % len(bound)].nonce
        order = self.live.cancel if cancel else self.live.bump
        self._run(order(nonce))

    @precondition(lambda self: not self.foreign)
    @rule(draw=st.integers(0, 9))
    def somebody_else(self, draw: int) -> None:
        """Somebody else uses the key; seldom, since it ends everything."""
        if draw == 0 and self.live is not None:
            self.chain.mine(foreign=True, empty=True)
            self.foreign = True

    # What must hold.

    @invariant()
    def books_agree(self) -> None:
        """The guarantees, after every step."""
        (version,) = self.reading.execute("pragma data_version").fetchone()
        now = (version, self.chain.tip.head.hash)
        if now == self.checked:
            return
        self.checked = now
        checked_books(self.reading, POLICY, MAX_IN_FLIGHT)
        if not self.foreign:
            checked_chain(self.reading, self.chain)

    def _leaving(self, raw: bytes) -> None:
        """No byte leaves that the journal does not hold on the disk."""
        assert not self.stopped, "something was sent although somebody else uses the key"
        if raw in self.left:
            return
        known = self.reading.execute("select 1 from attempts where raw = ?", (raw,)).fetchone()
        assert known, "bytes left before they were recorded"
        self.left.add(raw)

    # The keeper.

    def _act(self) -> None:
        """What the node does at a head."""
        if self.stopped:
            return
        if self.live is None:
            self._restart()
        if self.live is not None:
            self._run(self._handled(self.live))

    async def _handled(self, live: NodeSubmitter) -> None:
        try:
            head = await self.chain.head()
        except ChainError:
            return
        block = self.chain.tip
        failpoints.reached("K0")
        sent_before = bool(live.in_flight())
        if sent_before:
            await self._looked_after(live, head, block.sick)
        flying = live.in_flight()
        wanted = [one for one in sorted(block.sick) if (MARKET, account(one)) not in flying]
        batches = [self._batch(wanted[at : at + 2], head) for at in range(0, len(wanted), 2)]
        failpoints.reached("K1")
        sent_now = False
        if batches:
            with contextlib.suppress(NotBroadcast, JournalError):
                sent_now = bool(await live.submit(batches, head))
        if not sent_before and not sent_now:
            with contextlib.suppress(ChainError):
                await self._looked_after(live, head, block.sick)

    async def _looked_after(self, live: NodeSubmitter, head: Any, sick: frozenset[int]) -> None:
        still = {account(one) for one in sick}
        with contextlib.suppress(NotBroadcast, JournalError):
            await live.follow(head, lambda _market, who: who in still)

    def _batch(self, who: list[int], head: Any) -> Any:
        self.serial += 1
        calldata = b"\xab" * 32 + self.serial.to_bytes(4)
        self.batches[calldata] = tuple(who)
        plans = []
        for one in who:
            gross = 10 ** (16 + one % 3)
            plans.append(
                plan(
                    one,
                    gross_profit=gross,
                    gross_profit_wei=gross,
                    net_profit=gross - 500_000 * 12 * GWEI,
                    min_profit=gross,
                    least_net=0,
                    deadline=head.timestamp + DEADLINE_SECONDS,
                )
            )
        return batch(*plans, calldata=calldata)

    def _restart(self) -> None:
        """Drop every object and come up again, as after a kill."""
        self._drop()
        if self.stopped:
            return
        journal = Journal.open(self.path, chain_id=CHAIN_ID, sender=self.signer.address)
        self.journal = journal
        tracker = Tracker(
            chain=self.chain,
            journal=journal,
            sender=self.signer.address,
            outcomes=lambda _batch, _logs: (),
            emit=lambda _event: None,
            confirmations=CONFIRMATIONS,
        )
        self.live = NodeSubmitter(
            signer=self.signer,
            node=self.chain,
            tracker=tracker,
            fees=FeeOracle(self.chain, CHAIN_ID, POLICY),
            max_in_flight=MAX_IN_FLIGHT,
        )
        self._run(self._reconciled(self.live), starting=True)

    async def _reconciled(self, live: NodeSubmitter) -> None:
        await live.reconcile(await self.chain.head())

    def _drop(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        tasks = asyncio.all_tasks(self.loop)
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        if self.journal is not None:
            self.journal.close()
        self.live = self.journal = None

    def _run(self, work: Any, *, starting: bool = False) -> None:
        """Run to the end, or to the end of the process."""
        try:
            self.loop.run_until_complete(work)
        except Crashed:
            failpoints.armed.clear()
            self._restart()
        except ForeignKeyUse:
            self._drop()
            if self.foreign:
                self.stopped = True
                return
            # A node that hides a receipt for long looks like somebody else; a person looks, and
            # starts it again.
            lied = self.chain.tip.head.number - self.chain.lied_at < DOUBT_BLOCKS
            assert lied, "nobody else used the key, and no receipt was hidden"
            self.chain.lies.forget()
            self.chain.lied_at = 0
            self._restart()
        except (ChainError, JournalError, ConfigError, NotBroadcast):
            if starting:
                self._drop()  # a supervisor starts it again

    def _give_journal(self) -> None:
        """Copy a journal that is migrated already: a migration a step takes most of the time."""
        if Submission.template is None:
            folder = Path(tempfile.mkdtemp(prefix="keeper-model-template-"))
            path = folder / "journal.sqlite"
            database.opened(path).close()
            Submission.template = path
        shutil.copy(Submission.template, self.path)
        self.path.chmod(0o600)
