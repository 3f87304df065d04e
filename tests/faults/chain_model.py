"""
A chain, a pool and a node that lies, in memory: the ports of the submit code and nothing else.

Blocks carry what follows from them (nonces consumed, who may be liquidated), so that a branch
that is left takes all of it along.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from eth_account.typed_transactions import TypedTransaction
from eth_hash.auto import keccak
from hexbytes import HexBytes

from keeper.chain.records import Receipt
from keeper.domain.errors import RpcRefused, RpcUnavailable
from keeper.domain.head import Head
from tests.support.pool import bumped
from tests.support.scripted_submission import GWEI, head

FIRST = 100
FINAL_DEPTH = 6
TIP = 2 * GWEI
PLAN_GAS, CANCEL_GAS = 400_000, 21_000
LOST = RpcUnavailable("no answer")


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction as a node reads it."""

    raw: bytes
    hash: str
    nonce: int
    max_fee: int
    tip: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """A block, and what holds after it."""

    head: Head
    count: int
    sick: frozenset[int]
    executed: tuple[tuple[int, str], ...] = ()
    receipts: tuple[Receipt, ...] = ()
    sent: tuple[Sent, ...] = ()
    foreign: bool = False


@dataclass(slots=True)
class Lies:
    """What the node will do wrong next; each is told once."""

    sends: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)
    outages: int = 0

    def forget(self) -> None:
        """Become honest."""
        self.sends, self.counts, self.receipts, self.outages = [], [], [], 0


@dataclass(slots=True)
class ModelChain:
    """
    The chain as the keeper's ports see it; ``accounts`` says whom a calldata liquidates.

    ``leaving`` is called with each transaction's bytes before the node looks at them.
    """

    accounts: dict[bytes, tuple[int, ...]]
    leaving: Callable[[bytes], None]
    tagged: bool = False
    base_fee: int = 10 * GWEI
    poor: bool = False
    lies: Lies = field(default_factory=Lies)
    pool: dict[int, Sent] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    finalized_number: int = FIRST
    lied_at: int = 0
    _forks: int = 0
    _known: dict[bytes, Sent] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.blocks.append(Block(head(FIRST), 0, frozenset()))

    @property
    def tip(self) -> Block:
        """The newest block."""
        return self.blocks[-1]

    # What happens on the chain.

    def mine(
        self, crossing: Iterable[int] = (), *, empty: bool = False, foreign: bool = False
    ) -> None:
        """Add a block: accounts cross the line, then the pool's transactions act on them."""
        parent = self.tip
        made = replace(
            head(parent.head.number + 1, base_fee=self.base_fee),
            hash=f"0x{self._forks:016x}{parent.head.number + 1:048x}",
            parent_hash=parent.head.hash,
        )
        block = Block(made, parent.count, parent.sick | frozenset(crossing), foreign=foreign)
        if foreign:
            self.pool.pop(block.count, None)
            block = replace(block, count=block.count + 1)
        while not empty and self._next_payable(block.count):
            block = _with(block, self.pool.pop(block.count), self.accounts)
        self.blocks.append(block)
        if self.tagged:
            self.finalized_number = max(self.finalized_number, made.number - FINAL_DEPTH)

    def _next_payable(self, nonce: int) -> bool:
        return nonce in self.pool and self.pool[nonce].max_fee >= self.base_fee

    def reorganise(self, depth: int, *, longer: int, returned: bool, empty: bool) -> None:
        """Leave the last blocks for others; their transactions are ``returned`` or lost."""
        keep = self.finalized_number if self.tagged else FIRST
        depth = min(depth, self.tip.head.number - keep)
        gone = self.blocks[len(self.blocks) - depth :]
        if not gone or any(one.foreign for one in gone):
            return
        del self.blocks[len(self.blocks) - depth :]
        self._forks += 1
        if returned:
            for one in (each for block in gone for each in block.sent):
                self.pool.setdefault(one.nonce, one)
        for _ in range(depth + longer):
            self.mine(empty=empty)

    def evict(self, nonce: int) -> None:
        """Let the pool forget a transaction."""
        self.pool.pop(nonce, None)

    # What the keeper asks.

    async def head(self, block: int | str | None = None) -> Head:
        """Return a block of the chain as it is now."""
        self._maybe_out()
        if block is None:
            return self.tip.head
        for one in self.blocks:
            if block in (one.head.number, one.head.hash):
                return one.head
        if isinstance(block, int) and 0 <= block < FIRST:
            return head(block)
        raise RpcRefused("no such block")

    async def finalized(self) -> Head | None:
        """Return the finalized block, where this chain has one."""
        if not self.tagged:
            return None
        return self.blocks[self.finalized_number - FIRST].head

    async def transaction_count(self, address: str, block: str = "latest") -> int:
        """Return the count, or fewer."""
        del address
        self._maybe_out()
        count = self.tip.count
        if block == "pending":
            while count in self.pool:
                count += 1
            return count
        return max(0, count - (self.lies.counts.pop(0) if self.lies.counts else 0))

    async def receipt(self, transaction: str) -> Receipt | None:
        """Return the receipt, or none, or one of a block that never was."""
        self._maybe_out()
        lie = self.lies.receipts.pop(0) if self.lies.receipts else ""
        self.lied_at = self.tip.head.number if lie else self.lied_at
        found = [one for block in self.blocks for one in block.receipts]
        for one in found:
            if one.transaction_hash == transaction and lie != "none":
                return replace(one, block_hash="0x" + "fa" * 32) if lie == "orphan" else one
        return None

    async def call(self, call: object, basis: object, *, sender: object = None) -> bytes:
        """Return nothing: what was decided is simulated elsewhere."""
        del call, basis, sender
        return b""

    async def balance(self, address: object, basis: object) -> int:
        """Return enough, or nothing."""
        del address, basis
        return 0 if self.poor else 10**20

    async def fee_history(self, blocks: int, percentile: int) -> tuple[list[int], list[int]]:
        """Return the next base fee and what others tip."""
        del blocks, percentile
        self._maybe_out()
        return [self.base_fee, self.base_fee], [TIP]

    async def send_raw(self, raw: bytes) -> str:
        """Take a transaction as geth's pool does, or lie about it."""
        self.leaving(raw)
        lie = self.lies.sends.pop(0) if self.lies.sends else ""
        sent = self._read(raw)
        if lie == "lost":
            raise LOST
        if lie == "busy":
            raise RpcRefused("refused", number=-32005, text="too many requests")
        if lie != "swallowed":
            self._take(sent)
        if lie == "delivered":
            raise LOST
        return sent.hash

    def _take(self, sent: Sent) -> None:
        there = self.pool.get(sent.nonce)
        refusal = ""
        if sent.nonce < self.tip.count:
            refusal = "nonce too low"
        elif there is not None and there.hash == sent.hash:
            refusal = "already known"
        elif self.poor:
            refusal = "insufficient funds for gas * price + value"
        elif there is not None and (
            sent.max_fee < bumped(there.max_fee) or sent.tip < bumped(there.tip)
        ):
            refusal = "replacement transaction underpriced"
        if refusal:
            raise RpcRefused("refused", number=-32000, text=refusal)
        self.pool[sent.nonce] = sent

    def _read(self, raw: bytes) -> Sent:
        if raw not in self._known:
            fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
            self._known[raw] = Sent(
                raw=raw,
                hash="0x" + keccak(raw).hex(),
                nonce=fields["nonce"],
                max_fee=fields["maxFeePerGas"],
                tip=fields["maxPriorityFeePerGas"],
                data=bytes(fields["data"]),
            )
        return self._known[raw]

    def _maybe_out(self) -> None:
        if self.lies.outages:
            self.lies.outages -= 1
            raise LOST


def _with(block: Block, sent: Sent, accounts: dict[bytes, tuple[int, ...]]) -> Block:
    """Return the block with one more transaction in it."""
    wanted = accounts.get(sent.data, ())
    cured = [one for one in wanted if one in block.sick]
    price = min(sent.max_fee, block.head.base_fee + sent.tip)
    receipt = Receipt(
        transaction_hash=sent.hash,
        block_hash=block.head.hash,
        block_number=block.head.number,
        success=bool(cured) or not wanted,
        gas_used=PLAN_GAS * len(wanted) if wanted else CANCEL_GAS,
        gas_price=price,
        contract=None,
        logs=(),
    )
    return replace(
        block,
        count=block.count + 1,
        sick=block.sick - frozenset(cured),
        executed=(*block.executed, *((one, sent.hash) for one in cured)),
        receipts=(*block.receipts, receipt),
        sent=(*block.sent, sent),
    )
