"""The least that the parts of a reaction take, each alone, in the same run on the same machine."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from keeper.chain.multicall import MULTICALL3
from keeper.chain.transport import Transport
from keeper.devnet.anvil import CHAIN_ID
from keeper.devnet.bench_wire import SEND, Request, Wire
from keeper.domain.submission import Fees
from keeper.domain.units import Address, Gas, Wei
from keeper.execution.signer import LocalSigner, Unsigned

LOGS: Final = "log query"
MULTICALL: Final = "multicall"
POOLS: Final = "pool state"
SIMULATION: Final = "simulation"
COMMIT: Final = "journal commit"
SIGNATURE: Final = "signature"
SENDING: Final = "send"
PARTS: Final = (LOGS, MULTICALL, POOLS, SIMULATION, COMMIT, SIGNATURE, SENDING)

PAUSE_SECONDS: Final = 0.02
REPEATED: Final = 2

_TIMEOUT: Final = 10.0
_MICROSECOND: Final = 1_000


class Floor:
    """
    Microseconds per part, as measured so far.

    ``first`` of each round comes after a pause, as the keeper's own does: with cold
    caches. ``again`` follows at once.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self.first: dict[str, list[int]] = {part: [] for part in PARTS}
        self.again: dict[str, list[int]] = {part: [] for part in PARTS}
        self._signer = LocalSigner(key, CHAIN_ID)
        self._database = _open_database(folder / "floor.sqlite")

    async def measure(self, way: Transport, wire: Wire, requests: Sequence[Request]) -> None:
        """Repeat the keeper's requests alone, and its commit, signing and sending.

        A send ends, like the keeper's, when its bytes are written, without its answer.
        """
        by_part: dict[str, Request] = {}
        for request in requests:
            part = _classify_request(request)
            if part is not None and _get_size(request) > _get_size(by_part.get(part)):
                by_part[part] = request
        for part, request in by_part.items():
            await self._measure_part(part, partial(_send_request, way, wire, request))
        if SENDING in by_part:
            raw = bytes.fromhex(by_part[SENDING]["params"][0][2:])
            await self._measure_part(SIGNATURE, partial(self._sign_again, raw))
            await self._measure_part(COMMIT, partial(self._commit_again, raw))

    async def _measure_part(self, part: str, once: Callable[[], Awaitable[int]]) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        self.first[part].append(await once())
        self.again[part].extend([await once() for _ in range(REPEATED)])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    async def _sign_again(self, raw: bytes) -> int:
        """Sign the same fields again like the keeper, with the signed bytes read back."""
        fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        wanted = Unsigned(
            nonce=fields["nonce"],
            to=Address("0x" + bytes(fields["to"]).hex()),
            calldata=bytes(fields["data"]),
            gas_limit=Gas(fields["gas"]),
            fees=Fees(
                max_fee=Wei(fields["maxFeePerGas"]),
                priority_fee=Wei(fields["maxPriorityFeePerGas"]),
            ),
        )
        start = time.perf_counter_ns()
        self._signer.sign(wanted)
        return _compute_elapsed(start)

    async def _commit_again(self, raw: bytes) -> int:
        """Write twice the transaction's bytes, about what its record holds."""
        start = time.perf_counter_ns()
        with self._database:
            self._database.execute("INSERT INTO sent (raw) VALUES (?)", (raw + raw,))
        return _compute_elapsed(start)


def _open_database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE sent (id INTEGER PRIMARY KEY, raw BLOB)")
    connection.commit()
    return connection


def _classify_request(request: Request) -> str | None:
    method, parameters = request["method"], request["params"]
    if method == "eth_call":
        target = parameters[0].get("to")
        return POOLS if target is None else MULTICALL if target == MULTICALL3 else None
    return {"eth_getLogs": LOGS, "eth_simulateV1": SIMULATION, SEND: SENDING}.get(method)


def _get_size(request: Request | None) -> int:
    return 0 if request is None else len(str(request["params"]))


async def _send_request(way: Transport, wire: Wire, request: Request) -> int:
    """Return how long a request takes until its answer is decoded, or a send until it is out."""
    wire.clear()
    body = json.dumps(request, separators=(",", ":")).encode()
    start = time.perf_counter_ns()
    await way.exchange(body, [request["id"]], _TIMEOUT)
    if request["method"] == SEND:
        return (wire.noted[0].moment - start) // _MICROSECOND
    return _compute_elapsed(start)


def _compute_elapsed(start: int) -> int:
    return (time.perf_counter_ns() - start) // _MICROSECOND
