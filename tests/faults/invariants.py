"""What must hold after every run, asked of the journal and of the chain itself."""

import contextlib
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from keeper.devnet.market import Devnet
from keeper.devnet.node import Transaction

LIQUIDATION = (
    "0x"
    + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
)
APPROVAL = "0x" + keccak(text="Approval(address,address,uint256)").hex()
ALLOWANCE = keccak(text="allowance(address,address)")[:4]
ETHER = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the journal holds."""

    nonces: list[int]
    states: dict[int, str]
    attempts: dict[str, tuple[int, int, int]]
    intents: dict[tuple[int, str], list[tuple[str, ...]]]
    outcomes: dict[int, tuple[str, str, bool]]


@dataclass(slots=True)
class Audit:
    """Compares the two; ``since`` is the first block of the run, ``budget`` in wei."""

    devnet: Devnet
    since: int
    budget: int
    _blocks: dict[int, Any] = field(default_factory=dict)

    def violations(self, journal: Path, *, settled: bool = False) -> list[str]:
        """
        Return what does not hold; with ``settled``, that nothing is left to do, too.

        Safe to ask while no process has the journal open.
        """
        kept = read(journal)
        mine = self._mine()
        receipts = self._receipts([one["hash"] for one in mine])
        found = [
            *_nonces(kept),
            *_known(kept, mine),
            *_gas(kept, mine, receipts, self.budget),
            *self._executions(kept, receipts),
            *self._allowances(),
        ]
        return found + (self._unsettled(kept, receipts) if settled else [])

    def _mine(self) -> list[Any]:
        """Return every transaction of the hot key on the chain as it is now."""
        node, hot = self.devnet.node, self.devnet.accounts.hot.lower()
        wanted = range(self.since, node.block_number() + 1)
        blocks = node.batch([("eth_getBlockByNumber", [hex(one), True]) for one in wanted])
        return [one for each in blocks for one in each["transactions"] if one["from"] == hot]

    def _receipts(self, hashes: list[str]) -> dict[str, Any]:
        asked = self.devnet.node.batch([("eth_getTransactionReceipt", [one]) for one in hashes])
        return dict(zip(hashes, asked, strict=True))

    def _logs(self, **wanted: object) -> list[Any]:
        where = {"fromBlock": hex(self.since), "toBlock": "latest", **wanted}
        return list(self.devnet.node.rpc("eth_getLogs", [where]))

    def _executions(self, kept: Kept, receipts: dict[str, Any]) -> list[str]:
        """Each liquidation of ours is one intent's, and no intent has two."""
        found, seen = [], Counter[tuple[int, str]]()
        for log in self._logs(address=self.devnet.aave.pool.address, topics=[LIQUIDATION]):
            sent = log["transactionHash"]
            if sent not in receipts:
                continue
            borrower = "0x" + log["topics"][3][-40:]
            nonce = kept.attempts[sent][0] if sent in kept.attempts else -1
            seen[nonce, borrower] += 1
            if (nonce, borrower) not in kept.intents:
                found.append(f"{borrower} was liquidated by nonce {nonce} without an intent")
        found += [
            f"{borrower} was liquidated {times} times by nonce {nonce}"
            for (nonce, borrower), times in seen.items()
            if times > 1
        ]
        executed = Counter[tuple[str, ...]]()
        for (nonce, borrower), each in kept.intents.items():
            if seen[nonce, borrower]:
                executed.update(each)
        return found + [f"{key} was executed {n} times" for key, n in executed.items() if n > 1]

    def _allowances(self) -> list[str]:
        """Whoever the executor ever approved may take nothing now."""
        executor = str(self.devnet.executor)
        owner = "0x" + executor[2:].lower().rjust(64, "0")
        given = {(log["address"], log["topics"][2]) for log in self._logs(topics=[APPROVAL, owner])}
        hot = self.devnet.accounts.hot
        calls = [
            Transaction(
                sender=hot,
                to=token,
                data=ALLOWANCE + bytes.fromhex(owner[2:]) + bytes.fromhex(spender[2:]),
            ).as_json()
            for token, spender in sorted(given)
        ]
        answers = self.devnet.node.batch([("eth_call", [one, "latest"]) for one in calls])
        return [
            f"{spender} may take {int(left, 16)} of {token}"
            for (token, spender), left in zip(sorted(given), answers, strict=True)
            if int(left, 16)
        ]

    def _unsettled(self, kept: Kept, receipts: dict[str, Any]) -> list[str]:
        """Every nonce was consumed, and is booked as what the chain has."""
        node, hot = self.devnet.node, self.devnet.accounts.hot
        count = int(node.rpc("eth_getTransactionCount", [hot, "latest"]), 16)
        wanted = kept.nonces[-1] + 1 if kept.nonces else count
        found = [] if count == wanted else [f"the chain consumed {count} nonces of {wanted}"]
        found += [
            f"nonce {one} is still bound" for one, is_ in kept.states.items() if is_ == "bound"
        ]
        for nonce, (sent, block, success) in kept.outcomes.items():
            receipt = receipts.get(sent)
            if receipt is None:
                found.append(f"nonce {nonce} is booked as {sent}, which is not on the chain")
            elif receipt["blockHash"] != block or (receipt["status"] == "0x1") != success:
                found.append(f"nonce {nonce} is booked in another block, or with another end")
        return found


def read(journal: Path) -> Kept:
    """Return what a journal holds; nothing where a process died before it made one."""
    with contextlib.closing(sqlite3.connect(journal)) as database:
        made = {row[0] for row in database.execute("select name from sqlite_master")}
        if "outcomes" not in made:
            return Kept(nonces=[], states={}, attempts={}, intents={}, outcomes={})
        states = dict(database.execute("select nonce, state from transactions order by nonce"))
        attempts = {
            sent: (nonce, int(fee), int(gas))
            for sent, nonce, fee, gas in database.execute(
                "select hash, nonce, a.max_fee, a.gas_limit from attempts a"
                " join transactions t on t.id = transaction_id"
            )
        }
        intents: dict[tuple[int, str], list[tuple[str, ...]]] = {}
        for nonce, *key in database.execute(
            "select nonce, chain_id, market, borrower, spent, received, round"
            " from intents i join transactions t on t.id = transaction_id"
        ):
            intents.setdefault((nonce, key[2].lower()), []).append(tuple(map(str, key)))
        outcomes = {
            nonce: (sent, block, bool(success))
            for nonce, sent, block, success in database.execute(
                "select nonce, hash, block_hash, success from outcomes o join transactions t"
                " on t.id = transaction_id where o.state in ('included', 'final')"
            )
        }
        (problem,) = database.execute("pragma integrity_check(1)").fetchone()
    assert problem == "ok", problem
    return Kept(
        nonces=sorted(states), states=states, attempts=attempts, intents=intents, outcomes=outcomes
    )


def _nonces(kept: Kept) -> list[str]:
    wanted = list(range(kept.nonces[0], kept.nonces[0] + len(kept.nonces))) if kept.nonces else []
    return [] if kept.nonces == wanted else [f"the nonces are not contiguous: {kept.nonces}"]


def _known(kept: Kept, mine: list[Any]) -> list[str]:
    return [
        f"{one['hash']} (nonce {int(one['nonce'], 16)}) is not in the journal"
        for one in mine
        if one["hash"] not in kept.attempts
    ]


def _gas(kept: Kept, mine: list[Any], receipts: dict[str, Any], budget: int) -> list[str]:
    """Each was paid no more than it was signed for, all of them no more than the limits."""
    found, spent = [], 0
    for one in mine:
        receipt = receipts[one["hash"]]
        price, used = int(receipt["effectiveGasPrice"], 16), int(receipt["gasUsed"], 16)
        spent += price * used
        _, most, limit = kept.attempts.get(one["hash"], (0, price, used))
        if price > most or used > limit:
            found.append(f"{one['hash']} paid more than was signed")
    return found + ([f"{spent} wei of gas, more than {budget}"] if spent > budget else [])
