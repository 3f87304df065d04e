"""Compares signing inputs (nonce, canonical block, receipt) of all good endpoints.

An endpoint without the data yet is waited for briefly. Different data is a contradiction, and
nothing is signed. With a single good endpoint there is no comparison and no second request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from keeper.chain import fields
from keeper.chain.awaiting import YOUNG_BLOCKS
from keeper.chain.faults import LASTING_BLOCKS
from keeper.chain.fields import Json
from keeper.chain.headers import ask_header, ask_height
from keeper.chain.pool import FINALIZED, HEAD, QUORUM
from keeper.chain.reader import NodeReader
from keeper.chain.records import Receipt, SeenTransaction, merged_receipts
from keeper.domain.errors import BlockUnknown, ChainError, EndpointsDisagree, RpcUnavailable
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, Log, LogFilter
from keeper.domain.units import Address, BlockHash, TransactionHash

T = TypeVar("T")

PATIENCE_SECONDS: Final = 1.0
"""How long a second endpoint is waited for once the first has answered."""
GRACE_SECONDS: Final = 0.25
"""How long further ones are waited for once as many as have to have answered."""
AGAIN_SECONDS: Final = 0.03
"""How soon one that does not have a block yet is asked again, within that time."""
NONCE: Final = "nonce"
RECEIPT: Final = "receipt"


class Quorum:
    """The chain reads of execution over a reader's endpoints.

    Every method raises ``EndpointsDisagree`` if two endpoints contradict each other, and the
    reader's errors if none answers.
    """

    def __init__(self, reader: NodeReader) -> None:
        self._reader = reader
        self._rpc = reader.rpc
        self._pool = reader.rpc.pool
        self._lacks_since: dict[int, float] = {}
        """Since when an endpoint has had none of the blocks that it was asked for by number."""

    async def call(self, call: Call, basis: Basis, *, sender: Address | None = None) -> bytes:
        """Read one call. A revert raises ``RpcRefused`` with its data."""
        return await self._reader.call(call, basis, sender=sender)

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Fetch a block's header.

        A number means the canonical block, confirmed by the required number of endpoints.
        """
        if not isinstance(block, int):
            return await self._reader.head(block)
        self._refuse_contradictions()
        return await self.canonical_head(block)

    async def canonical_head(self, block: int) -> Head:
        """Fetch a block's header by number, also while the chain contradicts finality.

        It must not be used for signing. Endpoints that differ on this block still contradict.
        """
        places = self._pool.alive()
        if len(places) < QUORUM:
            return await self._reader.head(block)
        found, answering = await self._fetch_agreed_heads(places, block)
        if len({one.hash for one in found.values()}) > 1:
            detail = f"{_format_places(found)} have different blocks {block}"
            self._pool.disagreements.found(HEAD, "asked", detail)
            raise EndpointsDisagree(f"endpoints disagree on {HEAD}: {detail}")
        if not found:
            raise BlockUnknown(f"no endpoint has block {block}")
        if len(found) < min(QUORUM, answering):
            raise RpcUnavailable(f"only endpoint {_format_places(found)} has block {block} yet")
        self._pool.disagreements.settled(HEAD, "asked")
        return next(iter(found.values()))

    async def finalized(self) -> Head | None:
        """Fetch the newest final block. None if the node has none, and depth counts then.

        If the final block was replaced, its hash shows it.
        """
        return await self._reader.finalized()

    @property
    def noted_finalized(self) -> Head | None:
        """The newest block that an endpoint called final, noted during monitoring."""
        return self._pool.finalized

    def accept_finality(self) -> None:
        """Accept the present chain after a contradicted final block, by an operator's order."""
        self._pool.finalized = None
        for about in ("head", *(str(place) for place in range(len(self._pool)))):
            self._pool.disagreements.settled(FINALIZED, about)

    async def transaction_count(self, address: Address, block: str = "latest") -> int:
        """Fetch the number of nonces that the chain consumed.

        If counts differ, they are compared at the highest common block, since a late endpoint is
        not a contradiction.
        """
        places = self._pool.alive()
        if len(places) < QUORUM or block != "latest":
            return await self._reader.transaction_count(address, block)
        counts = await self._fetch_counts(places, address, block)
        if len(set(counts.values())) > 1:
            counts = await self._fetch_counts(
                list(counts), address, hex(await self._find_common_height(counts))
            )
        if len(set(counts.values())) > 1:  # mutation: G16 nonces-differ
            said = ", ".join(f"{at} says {count}" for at, count in sorted(counts.items()))
            self._pool.disagreements.found(NONCE, address, said)
            raise EndpointsDisagree(f"endpoints disagree on {NONCE}: {said}")
        self._pool.disagreements.settled(NONCE, address)
        return next(iter(counts.values()))

    async def receipt(self, transaction: TransactionHash) -> Receipt | None:
        """Fetch a mined transaction's receipt. None while an up-to-date endpoint has none."""
        places = self._pool.alive()
        if len(places) < QUORUM:
            return await self._reader.receipt(transaction)

        found = await self._fetch_receipts(places, transaction)
        receipts = {at: one for at, one in found.items() if one is not None}
        if not receipts:
            self._pool.disagreements.settled(RECEIPT, transaction)
            return None
        newest = max(one.block_number for one in receipts.values())
        late = [at for at in found if at not in receipts]
        lacking = [at for at in late if await self._has_block(at, newest)]
        if lacking:
            receipts |= await self._fetch_late_receipts(lacking, transaction)
            lacking = [at for at in lacking if at not in receipts]
        merged = merged_receipts(list(receipts.values()))
        if lacking or merged is None:
            detail = f"{_format_places(found)} differ on {transaction}"
            self._pool.disagreements.found(RECEIPT, transaction, detail)
            raise EndpointsDisagree(f"endpoints disagree on {RECEIPT}: {detail}")
        self._pool.disagreements.settled(RECEIPT, transaction)
        return merged if len(receipts) == len(found) else None

    async def transaction(self, transaction: TransactionHash) -> SeenTransaction | None:
        """Fetch a transaction that an endpoint knows, mined or pending. None if none does."""
        return await self._reader.transaction(transaction)

    async def is_known(self, transaction: TransactionHash) -> bool | None:
        """Return whether any endpoint has a transaction. None if a good one does not answer."""
        places = self._pool.alive()

        async def ask(place: int) -> bool:
            answer = await self._rpc.ask(place, "eth_getTransactionByHash", transaction)
            return answer is not None

        found = await self._ask_each(places, ask)
        if any(found.values()):
            return True
        return None if len(found) < len(places) or not places else False

    async def block_logs(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Fetch the logs of one block, by hash."""
        return await self._reader.block_logs(wanted, block_hash)

    async def _fetch_receipts(
        self, places: Sequence[int], transaction: TransactionHash
    ) -> Mapping[int, Receipt | None]:
        async def ask(place: int) -> Receipt | None:
            answer = await self._rpc.ask(place, "eth_getTransactionReceipt", transaction)
            return self._reader.receipt_from(answer, transaction)

        return await self._ask_each(places, ask)

    async def _fetch_late_receipts(
        self, places: Sequence[int], transaction: TransactionHash
    ) -> Mapping[int, Receipt]:
        """Retry at endpoints that have the block, since a receipt may be indexed after it."""
        receipts: dict[int, Receipt] = {}
        give_up = self._pool.clock() + PATIENCE_SECONDS
        while len(receipts) < len(places) and self._pool.clock() < give_up:
            await asyncio.sleep(AGAIN_SECONDS)
            missing = [place for place in places if place not in receipts]
            answers = await self._fetch_receipts(missing, transaction)
            receipts |= {place: found for place, found in answers.items() if found is not None}
        return receipts

    def _refuse_contradictions(self) -> None:
        """Raise EndpointsDisagree if the endpoints are known to be on different chains."""
        reasons = self._pool.disagreements.lasting()
        if reasons:
            raise EndpointsDisagree("; ".join(reasons))

    async def _fetch_agreed_heads(
        self, places: Sequence[int], number: int
    ) -> tuple[Mapping[int, Head], int]:
        """Fetch a block until enough endpoints have it. Also return the number of answers.

        An endpoint that never has it, or lacks an old block, does not count as an answer.
        """
        found: dict[int, Head] = {}

        async def ask(at: int) -> Head | None:
            try:
                return fields.head_of(await ask_header(self._rpc, at, number))
            except BlockUnknown:
                return None

        give_up = self._pool.clock() + PATIENCE_SECONDS
        asked = list(places)
        while True:
            answers = await self._ask_each(asked, ask)
            found |= {at: one for at, one in answers.items() if one is not None}
            asked = [at for at in answers if at not in found]  # those that have it not yet
            enough = len(found) >= QUORUM or not asked
            if enough or self._pool.clock() >= give_up:
                return found, len(found) + await self._count_witnesses(found, asked, number)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _count_witnesses(
        self, found: Mapping[int, Head], lacking: Sequence[int], number: int
    ) -> int:
        """Return how many of the endpoints without a block count as witnesses.

        An endpoint that is late, or has a lower height, may be right that there is no such block.
        One with that height, but still without the block after two blocks' time, does not serve
        blocks by number.
        """
        now, patience = self._pool.clock(), LASTING_BLOCKS * self._rpc.faults.block_seconds
        for place in found:
            self._lacks_since.pop(place, None)
        is_old = number <= self._pool.blocks.newest - YOUNG_BLOCKS
        suspects = [
            place
            for place in lacking
            if is_old or now - self._lacks_since.setdefault(place, now) >= patience
        ]
        useless = [place for place in suspects if await self._has_height(place, number)]
        return len(lacking) - len(useless)

    async def _has_height(self, place: int, number: int) -> bool:
        """Return whether an endpoint's height reaches a number."""
        try:
            return await ask_height(self._rpc, place) >= number
        except ChainError:
            return False

    async def _fetch_counts(
        self, places: Sequence[int], address: Address, block: str
    ) -> Mapping[int, int]:
        async def ask(at: int) -> int:
            answer: Json = await self._rpc.ask(at, "eth_getTransactionCount", address, block)
            return fields.quantity(answer, "the nonce", most=fields.UINT64_MAX)

        number = None if block == "latest" else int(block, 16)
        return await self._ask_each(places, lambda place: self._rpc.await_block(place, ask, number))

    async def _find_common_height(self, places: Mapping[int, int]) -> int:
        """Return the highest block that all of the endpoints have."""

        async def ask(at: int) -> int:
            return await ask_height(self._rpc, at)

        return min((await self._ask_each(list(places), ask)).values())

    async def _has_block(self, at: int, number: int) -> bool:
        """Return whether an endpoint serves a block. Its ``eth_blockNumber`` may be ahead."""
        try:
            await ask_header(self._rpc, at, number)
        except ChainError:
            return False
        return True

    async def _ask_each(
        self, places: Sequence[int], ask: Callable[[int], Awaitable[T]]
    ) -> Mapping[int, T]:
        """Ask several endpoints at once. Failed and late ones are left out.

        Raises:
            ChainError: none answered.
        """
        tasks = {at: self._rpc.later(self._ask_endpoint(at, ask)) for at in places}
        waiting = set(tasks.values())
        while waiting:
            patience = _compute_patience(len(tasks) - len(waiting))
            done, waiting = await asyncio.wait(
                waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
        answered = {at: task.result() for at, task in tasks.items() if task.done()}
        good = {at: one for at, one in answered.items() if not isinstance(one, ChainError)}
        failures = [one for one in answered.values() if isinstance(one, ChainError)]
        if not good and failures:
            raise failures[0]
        return good

    async def _ask_endpoint(self, at: int, ask: Callable[[int], Awaitable[T]]) -> T | ChainError:
        try:
            await self._rpc.ensure_identified(at)
            return await ask(at)
        except ChainError as error:
            return error


def _format_places(found: Mapping[int, object]) -> str:
    return " and ".join(str(at) for at in sorted(found))


def _compute_patience(answered: int) -> float | None:
    """Return the wait for a further answer by the number of answers. None means no limit."""
    if answered == 0:
        return None
    return PATIENCE_SECONDS if answered < QUORUM else GRACE_SECONDS
