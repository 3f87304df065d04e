"""What the journal must say after every step of the model, and the chain with it."""

import sqlite3
from collections import Counter
from itertools import pairwise
from typing import Any

from keeper.execution.fees import FeePolicy
from tests.faults.chain_model import ModelChain
from tests.support.pool import bumped
from tests.support.scripted_submission import account


def rows(journal: sqlite3.Connection, query: str) -> list[Any]:
    """Return what a query finds in the journal."""
    return journal.execute(query).fetchall()


def checked_books(journal: sqlite3.Connection, policy: FeePolicy, most: int) -> None:
    """Nonces are contiguous, fees only rise and stay below the ceiling, nobody is doubled."""
    states = dict(rows(journal, "select nonce, state from transactions order by nonce"))
    nonces = list(states)
    assert nonces == list(range(len(nonces))), f"the nonces are not contiguous: {nonces}"
    bound = [nonce for nonce, state in states.items() if state == "bound"]
    acting = rows(
        journal,
        "select nonce from transactions where state = 'bound' and executor is not null",
    )
    assert len(acting) <= most + _reopened(journal), f"{len(bound)} nonces are in flight"
    attempts: dict[int, list[tuple[int, int]]] = {}
    for nonce, fee, tip in rows(
        journal,
        "select nonce, a.max_fee, a.priority_fee from attempts a"
        " join transactions t on t.id = transaction_id order by a.id",
    ):
        attempts.setdefault(nonce, []).append((int(fee), int(tip)))
    for nonce, offers in attempts.items():
        assert all(fee <= policy.max_fee for fee, _ in offers), (
            f"nonce {nonce} is above the ceiling"
        )
        for (fee, tip), (higher, better) in pairwise(offers):
            assert higher >= bumped(fee), f"a replacement of nonce {nonce} is refused"
            assert better >= bumped(tip), f"a replacement of nonce {nonce} is refused"


def _reopened(journal: sqlite3.Connection) -> int:
    """Return how many nonces a reorganisation gave back: they are bound again, past the limit."""
    return len(
        rows(journal, "select distinct transaction_id from outcomes where state = 'orphaned'")
    )


def checked_chain(journal: sqlite3.Connection, chain: ModelChain) -> None:
    """What is on the chain from our key is the journal's, and no intent was executed twice."""
    known = dict(
        rows(
            journal,
            "select hash, nonce from attempts a join transactions t on t.id = transaction_id",
        )
    )
    intents: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
    for nonce, *key in rows(
        journal,
        "select nonce, market, borrower, spent, received, round from intents i"
        " join transactions t on t.id = transaction_id",
    ):
        intents.setdefault((nonce, key[1]), []).append(tuple(key))
    executed = Counter[tuple[Any, ...]]()
    for block in chain.blocks:
        for one in block.sent:
            assert one.hash in known, f"{one.hash} is on the chain and not in the journal"
        for who, sent in block.executed:
            keys = intents[known[sent], account(who)]
            assert keys, "a liquidation without an intent"
            executed.update(keys)
    doubled = [key for key, times in executed.items() if times > 1]
    assert not doubled, f"executed twice: {doubled}"


def checked_end(journal: sqlite3.Connection, chain: ModelChain) -> None:
    """Every nonce was consumed and is final, booked as the block that the chain has."""
    states = dict(rows(journal, "select nonce, state from transactions order by nonce"))
    assert chain.tip.count == len(states), f"the chain took {chain.tip.count} of {len(states)}"
    assert set(states.values()) <= {"final"}, f"not final: {states}"
    booked = rows(journal, "select hash, block_hash, success from outcomes where state = 'final'")
    there = {
        (one.transaction_hash, one.block_hash, int(one.success))
        for block in chain.blocks
        for one in block.receipts
    }
    assert set(booked) <= there, "what is booked is not what the chain has"
    assert len(booked) == len(states)
