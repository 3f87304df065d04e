"""Reads that begin before they are needed: used once, while they are fresh, for their own head."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from keeper.domain.errors import RpcUnavailable
from keeper.execution import early_reads
from keeper.execution.early_reads import EarlyReads
from tests.flow.scripted_market import HEAD

SENDER = "0x" + "5" * 40
LATER = replace(HEAD, number=HEAD.number + 1, hash="0x" + "9" * 64)


@dataclass
class CountedChain:
    """A chain whose answers tell how often it was asked; ``failures`` are raised at first."""

    failures: list = field(default_factory=list)
    counts: int = 0
    heads: int = 0

    async def transaction_count(self, address, block="latest"):
        assert (address, block) == (SENDER, "latest")
        self.counts += 1
        if self.failures:
            raise self.failures.pop()
        return self.counts

    async def head(self, block=None):
        self.heads += 1
        return replace(HEAD, number=block)


@pytest.fixture
def chain():
    return CountedChain()


@pytest.fixture
def early():
    return EarlyReads(sender=SENDER)


async def test_what_was_begun_is_used_once(early, chain):
    """A second signature at the same head asks again: the first may have changed the count."""
    early.begin(chain, HEAD)
    await asyncio.sleep(0)

    assert [await early.fetch_count(chain, HEAD), await early.fetch_count(chain, HEAD)] == [1, 2]
    assert await early.fetch_head(chain, HEAD) == HEAD
    assert (chain.counts, chain.heads) == (2, 1)


async def test_nothing_is_used_for_another_block(early, chain):
    """An answer that was asked for at one block says nothing of the next."""
    early.begin(chain, HEAD)
    await asyncio.sleep(0)

    assert await early.fetch_count(chain, LATER) == 2
    assert (await early.fetch_head(chain, LATER)).number == LATER.number
    assert (chain.counts, chain.heads) == (2, 2)


async def test_what_is_not_fresh_is_asked_again(early, chain, monkeypatch):
    """A simulation that takes long must not let an old count be signed upon."""
    early.begin(chain, HEAD)
    await asyncio.sleep(0)
    monkeypatch.setattr(early_reads, "FRESH_SECONDS", -1.0)

    assert await early.fetch_count(chain, HEAD) == 2
    await early.fetch_head(chain, HEAD)
    assert (chain.counts, chain.heads) == (2, 2)


async def test_what_failed_is_asked_again(early, chain):
    """An endpoint that was away for a moment costs a request, not the block."""
    chain.failures = [RpcUnavailable("no answer")]
    early.begin(chain, HEAD)
    await asyncio.sleep(0)

    assert await early.fetch_count(chain, HEAD) == 2


async def test_a_failure_that_nobody_reads_is_quiet(early, chain, caplog):
    """Most of what is begun is never needed: nothing was worth sending."""
    chain.failures = [RpcUnavailable("no answer")]
    early.begin(chain, HEAD)
    await asyncio.sleep(0.01)
    early.begin(chain, LATER)
    await asyncio.sleep(0.01)

    assert await early.fetch_count(chain, LATER) == 2
    assert caplog.records == []
