"""Speed of decoding logs into columns, compared with web3."""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from hexbytes import HexBytes
from web3 import Web3

from keeper.chain.abi import checksum
from keeper.chain.log_table import log_table
from keeper.devnet.bench_book import Row, Wanted, middle, timed
from keeper.domain.errors import EnvironmentFault
from keeper.domain.reads import LogTable
from keeper.protocols.aave_v3.events import BORROW, history_borrowers

LOGS: Final = 10_000
SAMPLES: Final = 5
TARGET: Final = 30.0

_WORD: Final = 32
_ARGUMENTS: Final = (
    ("reserve", "address", True),
    ("user", "address", False),
    ("onBehalfOf", "address", True),
    ("amount", "uint256", False),
    ("interestRateMode", "uint8", False),
    ("borrowRate", "uint256", False),
    ("referralCode", "uint16", True),
)
_BORROW_ABI: Final = {
    "type": "event",
    "name": "Borrow",
    "anonymous": False,
    "inputs": [
        {"name": name, "type": kind, "indexed": indexed} for name, kind, indexed in _ARGUMENTS
    ],
}


def measured(wanted: Wanted) -> Sequence[Row]:
    """Return the row of decoding ``Borrow`` logs, each argument of each."""
    logs = _build_borrow_logs(random.Random(wanted.seed))  # noqa: S311 - made up, no secret
    formatted = [_format_log(log) for log in logs]
    event = Web3().eth.contract(abi=[_BORROW_ABI]).events.Borrow()
    theirs = [event.process_log(log)["args"] for log in formatted[:100]]
    table = log_table(logs)
    _refuse_differences(_build_columns(table), theirs)

    def with_web3() -> None:
        for log in formatted:
            event.process_log(log)

    def in_bulk() -> None:
        found = log_table(logs)
        _build_columns(found)
        history_borrowers(found)

    mine = middle([timed(in_bulk) for _ in range(SAMPLES)])
    limit = middle([timed(with_web3) for _ in range(SAMPLES)])
    raw = json.dumps(logs)
    return [
        Row(
            name=f"{LOGS:,} Borrow logs: all fields checked and decoded, addresses made",
            unit="ms",
            measured=mine,
            limit_name="web3's process_log, without its formatters",
            limit=limit,
            ratio=round(limit / mine, 1),
            target=TARGET,
            at_most=False,
            parts={
                "the same without the addresses": middle(
                    [timed(lambda: _build_columns(log_table(logs))) for _ in range(SAMPLES)]
                ),
                "json.loads before it, for both": middle(
                    [timed(lambda: json.loads(raw)) for _ in range(SAMPLES)]
                ),
            },
        )
    ]


def _build_borrow_logs(chance: random.Random) -> list[Any]:
    people = [chance.randbytes(20).rjust(_WORD, b"\0").hex() for _ in range(LOGS // 3)]
    tokens = [chance.randbytes(20).rjust(_WORD, b"\0").hex() for _ in range(30)]
    logs = []
    for number in range(LOGS):
        who, token = chance.choice(people), chance.choice(tokens)
        values = (chance.randrange(10**24), 2, chance.randrange(10**26))
        data = "0x" + who + "".join(value.to_bytes(_WORD).hex() for value in values)
        logs.append(
            {
                "address": "0x" + "87" * 20,
                "topics": ["0x" + BORROW.hex(), "0x" + token, "0x" + who, "0x" + "00" * _WORD],
                "data": data,
                "blockNumber": hex(16_000_000 + number // 3),
                "blockHash": "0x" + chance.randbytes(_WORD).hex(),
                "transactionHash": "0x" + chance.randbytes(_WORD).hex(),
                "transactionIndex": "0x1",
                "logIndex": hex(number % 300),
                "removed": False,
            }
        )
    return logs


def _format_log(log: dict[str, Any]) -> dict[str, Any]:
    """Return a log as web3's own formatters pass it to the event."""
    numbers = {name: int(log[name], 16) for name in ("blockNumber", "transactionIndex", "logIndex")}
    hashes = {name: HexBytes(log[name]) for name in ("blockHash", "transactionHash", "data")}
    topics = [HexBytes(topic) for topic in log["topics"]]
    return {**log, **numbers, **hashes, "topics": topics, "address": checksum(log["address"])}


def _build_columns(table: LogTable) -> dict[str, Any]:
    """Return every argument of every log, as arrays."""
    words = np.frombuffer(table.data, dtype=np.uint8).reshape(table.rows, 4, _WORD)
    topics = [np.frombuffer(each, dtype=np.uint8).reshape(-1, _WORD) for each in table.topics]
    return {
        "reserve": topics[1][:, 12:],
        "onBehalfOf": topics[2][:, 12:],
        "referralCode": topics[3][:, 30:].copy().view(">u2").ravel(),
        "user": words[:, 0, 12:],
        "amount": words[:, 1].copy().view(">u8"),
        "interestRateMode": words[:, 2, 31],
        "borrowRate": words[:, 3].copy().view(">u8"),
    }


def _refuse_differences(mine: dict[str, Any], theirs: Sequence[Any]) -> None:
    for row, arguments in enumerate(theirs):
        same = (
            checksum(mine["onBehalfOf"][row].tobytes()) == arguments["onBehalfOf"]
            and checksum(mine["reserve"][row].tobytes()) == arguments["reserve"]
            and checksum(mine["user"][row].tobytes()) == arguments["user"]
            and int.from_bytes(mine["amount"][row].tobytes()) == arguments["amount"]
            and int.from_bytes(mine["borrowRate"][row].tobytes()) == arguments["borrowRate"]
            and mine["interestRateMode"][row] == arguments["interestRateMode"]
            and mine["referralCode"][row] == arguments["referralCode"]
        )
        if not same:
            raise EnvironmentFault("web3 decodes a log otherwise")
