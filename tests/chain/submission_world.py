"""A real journal, signer and reader on Anvil behind the proxy, and no market: only nonces."""

import contextlib
from dataclasses import dataclass, field

import pytest

from keeper.chain.reader import connect
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.node import Node
from keeper.execution.everywhere import SendsEverywhere
from keeper.execution.fees import FeeOracle, FeePolicy
from keeper.execution.results import plan_outcomes
from keeper.execution.signer import LocalSigner
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.tracker import Tracker
from keeper.storage.journal import Journal
from tests.support import proxy as proxies
from tests.support.scripted_submission import batch, plan

CHAIN_ID = 31337
KEY = b"\x07" * 32


@pytest.fixture
def node():
    """A young chain on which no block is mined unless a test asks for it."""
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as anvil:
        made = Node(anvil.port)
        made.rpc("anvil_setBlockTimestampInterval", [12])
        made.rpc("evm_setAutomine", [False])
        yield made
        made.close()


@dataclass
class Place:
    """The node, and one keeper's submitter on it; ``restarted`` is what a new process is."""

    node: Node
    folder: object
    reader: object
    proxy: object
    policy: FeePolicy = field(default_factory=FeePolicy)
    events: list = field(default_factory=list)
    confirmations: int = 2
    journal: Journal | None = None
    submitter: NodeSubmitter | None = None

    def opened(self, **changes):
        self.journal = Journal.open(
            self.folder / "j.sqlite", chain_id=CHAIN_ID, sender=LocalSigner(KEY, CHAIN_ID).address
        )
        signer = LocalSigner(KEY, CHAIN_ID)
        tracker = Tracker(
            chain=self.reader,
            journal=self.journal,
            sender=signer.address,
            outcomes=plan_outcomes,
            emit=self.events.append,
            confirmations=self.confirmations,
        )
        self.submitter = NodeSubmitter(
            signer=signer,
            node=SendsEverywhere(self.reader.rpc),
            tracker=tracker,
            fees=FeeOracle(self.reader, CHAIN_ID, self.policy),
            **changes,
        )
        return self.submitter

    async def restarted(self, **changes):
        """End the process without a word, and start the next one as `keeper run` does."""
        self.journal.close()
        self.opened(**changes)
        await self.submitter.reconcile(await self.reader.head())
        return self.submitter

    async def follow(self, *, healthy=False):
        await self.submitter.follow(await self.reader.head(), lambda *_: not healthy)

    async def mined(self, blocks=1):
        """Mine, and follow at the newest block."""
        self.node.rpc("anvil_mine", [hex(blocks)])
        await self.follow()

    def reorg(self, depth):
        """Replace the newest blocks by empty ones, at the same height."""
        self.node.rpc("anvil_reorg", [depth, []])

    def told(self, *names):
        return [one["event"] for one in self.events if one["event"] in names]

    def states(self, nonce=0):
        """Return what the journal says of a nonce and of its intents."""
        with contextlib.closing(self.journal.database.engine.connect()) as rows:
            return rows.exec_driver_sql(
                "SELECT state FROM transactions WHERE nonce = ?", (nonce,)
            ).scalar()


@pytest.fixture
async def place(node, tmp_path):
    """A submitter of a funded key; the proxy wants ten per cent for a replacement."""
    node.rpc("anvil_setBalance", [LocalSigner(KEY, CHAIN_ID).address, hex(10**18)])
    async with (
        proxies.running(f"http://127.0.0.1:{node.port}") as proxy,
        connect([proxy.url], chain_id=CHAIN_ID) as reader,
    ):
        made = Place(node=node, folder=tmp_path, reader=reader, proxy=proxy)
        made.opened()
        yield made
        made.journal.close()


def far(index=0, **changes):
    """Return a batch that never expires; its executor has no code, so it works in any block."""
    return batch(plan(index, deadline=2**40), **changes)
