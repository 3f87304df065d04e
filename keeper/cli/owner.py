"""Operator-ordered transactions, for deployment and rescue.

If a journal is kept for the account, they are recorded there, so that the next `keeper run` knows
their nonces. An account without a journal (a cold owner's) sends once and waits.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final, Protocol

from keeper.app import live_submitter
from keeper.chain.optional import fetch_pending_nonce
from keeper.chain.records import Receipt
from keeper.chain.sender import Sender
from keeper.cli.here import Here
from keeper.composition.bidding import fee_policy
from keeper.domain.errors import EnvironmentFault, NotBroadcast, OutcomeUnknown
from keeper.domain.units import (
    BPS,
    MAX_TRANSACTION_GAS,
    Address,
    Gas,
    TransactionHash,
    mul_div_ceil,
)
from keeper.execution.fee_quotes import NodeFees
from keeper.execution.fees import FeeOracle, market_fees
from keeper.execution.signer import LOCAL_CHAINS, LocalSigner, Unsigned
from keeper.execution.submitter import NodeSubmitter
from keeper.storage.journal import Journal, sender_of

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 180
POLL_SECONDS: Final = 0.2
GAS_HEADROOM_BPS: Final = 12_000


class Way(Protocol):
    """The route of a transaction to the chain."""

    async def mined(self, to: Address | None, data: bytes, gas: Gas) -> Receipt:
        """Send once and return the receipt. ``OutcomeUnknown`` if it does not arrive."""
        ...


class OwnerAccount:
    """One account that an operator controls directly."""

    def __init__(self, address: Address, here: Here, way: Way) -> None:
        self.address = address
        self._here = here
        self._way = way

    async def send(self, data: bytes, to: Address | None = None) -> Receipt:
        """Send one transaction and return its receipt. ``to`` None creates a contract.

        Raises:
            EnvironmentFault: it would fail, or it failed on the chain.
            OutcomeUnknown: it was not mined in time. The message has its hash.
        """
        call: dict[str, object] = {"from": self.address, "data": "0x" + data.hex()}
        if to is not None:
            call["to"] = to
        estimate = await self._here.reader.estimate_gas(call, self._here.basis)
        limit = min(mul_div_ceil(estimate, GAS_HEADROOM_BPS, BPS), MAX_TRANSACTION_GAS)
        receipt = await self._way.mined(to, data, Gas(limit))
        if not receipt.success:
            raise EnvironmentFault(
                f"the transaction {receipt.transaction_hash} failed on the chain"
            )
        return receipt


@contextlib.asynccontextmanager
async def owner_account(
    key: bytes, here: Here, *, operates: bool = False, init_journal: bool = False
) -> AsyncIterator[OwnerAccount]:
    """Open the key's account, with its journal if it has one.

    A key that ``operates`` (that a node will sign with) and never sent a transaction gets its
    journal here. A used one gets it with ``init_journal`` only.

    Raises:
        JournalError: a running node has the journal, or it is not sound.
        ForeignKeyUse: the chain knows transactions of the key that the journal does not.
    """
    signer = LocalSigner(key, here.settings.chain.id)
    fees = FeeOracle(NodeFees(rpc=here.reader.rpc), signer.chain_id, fee_policy(here.settings))
    journal = await _open_journal(signer, here, operates=operates, init=init_journal)
    if journal is None:
        yield OwnerAccount(signer.address, here, _DirectRoute(signer, fees, here))
        return
    try:
        submitter = await live_submitter(here.session, signer, fees, journal, lambda _: None)
        yield OwnerAccount(signer.address, here, _JournaledRoute(submitter, here))
    finally:
        journal.close()


async def _open_journal(
    signer: LocalSigner, here: Here, *, operates: bool, init: bool
) -> Journal | None:
    """Open the key's journal, created if necessary. None if it needs none."""
    path, reader = here.settings.journal.path, here.reader
    mined = await reader.transaction_count(signer.address)
    if sender_of(path) != signer.address:
        pending = await fetch_pending_nonce(reader, signer.address)
        fresh = mined == 0 and not pending and signer.chain_id not in LOCAL_CHAINS
        if path.exists() or not (operates and (fresh or init)):
            return None
    return Journal.open(
        path, chain_id=signer.chain_id, sender=signer.address, chain_nonce=mined, init=init
    )


class _JournaledRoute:
    """Route through the journal, as a running node sends."""

    def __init__(self, submitter: NodeSubmitter, here: Here) -> None:
        self._submitter = submitter
        self._here = here

    async def mined(self, to: Address | None, data: bytes, gas: Gas) -> Receipt:
        """Record, send, and follow until it is in a block."""
        head = await self._here.reader.head()
        ordered = await self._submitter.order(to, data, gas, head)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._wait_for_inclusion(ordered.nonce)
        except TimeoutError:
            raise _build_unknown_error(
                ordered.newest.hash, "the journal has it: `keeper run` goes on"
            ) from None

    async def _wait_for_inclusion(self, nonce: int) -> Receipt:
        seen = ""
        while True:
            head = await self._here.reader.head()
            if head.hash != seen:
                seen = head.hash
                await self._submitter.follow(head, lambda *_: True)
            inclusion = self._submitter.tracker.book[nonce].inclusion
            receipt = await self._here.reader.receipt(inclusion.hash) if inclusion else None
            if receipt is not None:
                return receipt
            await asyncio.sleep(POLL_SECONDS)


class _DirectRoute:
    """Direct route with the node's nonce, for an account that no node signs with."""

    def __init__(self, signer: LocalSigner, fees: FeeOracle, here: Here) -> None:
        self._signer = signer
        self._fees = fees
        self._here = here

    async def mined(self, to: Address | None, data: bytes, gas: Gas) -> Receipt:
        """Send and wait for the receipt."""
        reader = self._here.reader
        fees = market_fees(await self._fees.market(await reader.head()), self._fees.policy)
        if fees is None:
            raise NotBroadcast("the base fee is above policy.max_fee_gwei")
        nonce = await fetch_pending_nonce(reader, self._signer.address)
        if nonce is None:
            hint = "a transaction of this account that still waits may be replaced"
            log.warning("pending_nonce_unknown address=%s hint=%s", self._signer.address, hint)
            nonce = await reader.transaction_count(self._signer.address)
        signed = self._signer.sign(
            Unsigned(nonce=nonce, to=to, calldata=data, gas_limit=gas, fees=fees)
        )
        await Sender(reader.rpc).send_raw(signed.raw)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    receipt = await reader.receipt(signed.hash)
                    if receipt is not None:
                        return receipt
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise _build_unknown_error(
                signed.hash, "it may still be mined: look it up first"
            ) from None


def _build_unknown_error(sent: TransactionHash, hint: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"the transaction {sent} was not mined within {WAIT_SECONDS} s", hint=hint
    )
