"""Doctor's checks of the endpoints, each alone and in comparison."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.batching import BATCH
from keeper.chain.capabilities import INSTEAD, Capability, Lack
from keeper.chain.deployless import LENS
from keeper.chain.endpoint import Endpoint, endpoint
from keeper.chain.reader import NodeReader, connect
from keeper.cli.findings import Finding, fail, failed, ok, warn
from keeper.clock import wall
from keeper.config import Chain
from keeper.domain.errors import ChainError, KeeperError
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, LogFilter
from keeper.execution.signer import LOCAL_CHAINS
from keeper.observe.redaction import endpoint_label

MAX_HEAD_AGE_BLOCKS: Final = 10
LOG_RANGE: Final = 1_000
"""Blocks of logs that the start of a keeper asks for at once, and is glad to get."""
_EMPTY_BLOCK: Final[Mapping[str, object]] = {"blockStateCalls": [{"calls": []}]}
_LOGS_BY_HASH: Final = "eth_getLogs by hash"
_FINALIZED: Final = "finalized"
_CAPABILITIES: Final[Mapping[str, str]] = {
    _LOGS_BY_HASH: Capability.LOGS_BY_HASH,
    _FINALIZED: Capability.FINALIZED,
}
"""Capabilities that are called otherwise here."""

EndpointCheck = Callable[[str, NodeReader], Awaitable[list[Finding]]]
"""A further look at one endpoint, by its name in findings."""
Test = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Report on one endpoint. ``head`` and ``code`` are None if it did not answer."""

    what: str
    place: Endpoint
    findings: Sequence[Finding]
    head: Head | None = None
    code: bytes | None = None
    below: Mapping[int, str] | None = None
    """Hashes of some of its blocks, by their number."""


async def endpoints(chain: Chain, probe: EndpointCheck | None = None) -> list[Finding]:
    """Check every endpoint, and all of them together.

    ``probe`` also runs on each of them, before its lacks are reported.
    """
    named = zip(_list_names(chain), chain.endpoint_addresses, strict=True)
    seen = await asyncio.gather(
        *(_check_endpoint(name, address, chain, probe) for name, address in named)
    )
    return [
        *(
            finding
            for one in seen
            for finding in (*one.findings, *_compare_with_others(one, seen, chain))
        ),
        *_check_redundancy(seen),
    ]


def _list_names(chain: Chain) -> list[str]:
    """Return the endpoints' display names, with position if there are several."""
    labels = [endpoint_label(address) for address in chain.endpoint_addresses]
    if len(labels) == 1:
        return [f"endpoint {labels[0]}"]
    return [f"endpoint {place} {label}" for place, label in enumerate(labels)]


async def _check_endpoint(
    what: str, address: str, chain: Chain, probe: EndpointCheck | None
) -> Seen:
    """Check one endpoint. Without an answer there is a single finding."""
    place, block_seconds = endpoint(address), chain.block_time_ms / 1000
    try:
        async with connect(
            [address], multicall=chain.multicall, chain_id=chain.id, block_seconds=block_seconds
        ) as reader:
            head = await reader.head()
            code = await reader.code(chain.multicall, Basis(block_hash=head.hash))
            found = [ok(what, f"chain {chain.id}, {await _fetch_client(reader)}")]
            found += [_check_age(what, head, chain), *_check_transport(what, place)]
            found += await _check_requests(what, reader, head, chain)
            below = await _fetch_hashes(reader, head)
            found += [] if probe is None else await probe(what, reader)
            found += _report_lacks(what, reader, found)
    except KeeperError as error:
        return Seen(what=what, place=place, findings=[failed(what, error)])
    return Seen(what=what, place=place, findings=found, head=head, code=code, below=below)


async def _fetch_client(reader: NodeReader) -> str:
    try:
        return await reader.client_version()
    except ChainError:
        return "a client that does not say its name"


async def _fetch_hashes(reader: NodeReader, head: Head) -> Mapping[int, str]:
    """Fetch the newest blocks' hashes for comparison with other endpoints."""
    numbers = range(max(0, head.number - 8), head.number)
    heads = await asyncio.gather(*(reader.head(number) for number in numbers))
    return {one.number: one.hash for one in (*heads, head)}


def _check_age(what: str, head: Head, chain: Chain) -> Finding:
    age = int(wall()) - head.timestamp
    text = f"block {head.number} is {age} s old"
    if chain.id in LOCAL_CHAINS or age * 1000 <= MAX_HEAD_AGE_BLOCKS * chain.block_time_ms:
        return ok(what, text)
    return warn(what, text, "is the node in sync, and this machine's clock right?")


def _check_transport(what: str, place: Endpoint) -> list[Finding]:
    """Return whether the node is on this machine, or its connection encrypted."""
    if place.is_loopback:
        return [ok(what, "on this machine")]
    if place.scheme in ("http", "ws"):
        secure = "wss" if place.scheme == "ws" else "https"
        return [warn(what, "not encrypted: others can read and change it", f"use {secure}://")]
    return []


async def _check_requests(what: str, reader: NodeReader, head: Head, chain: Chain) -> list[Finding]:
    """Try the keeper's requests. Lacks that show are reported later."""
    basis = Basis(block_hash=head.hash)
    nothing = LogFilter(addresses=(chain.multicall,))
    read, height = Call(target=LENS, data=b""), ("eth_blockNumber", ())
    first = max(0, head.number - LOG_RANGE + 1)
    window = {"fromBlock": hex(first), "toBlock": hex(head.number), "address": chain.multicall}
    needed: list[tuple[str, Test]] = [
        ("eth_call by hash", lambda: reader.balance(chain.multicall, basis)),
        (_LOGS_BY_HASH, lambda: reader.block_logs(nothing, head.hash)),
        (Capability.BATCHES, lambda: reader.rpc.read_batch([height] * BATCH)),
        (Capability.MULTICALL3, lambda: reader.aggregate([read, read], basis)),
    ]
    optional: list[tuple[str, Test, str]] = [
        ("eth_feeHistory", lambda: reader.fee_history(1, 50), INSTEAD[Capability.FEE_HISTORY]),
        (
            f"eth_getLogs over {LOG_RANGE} blocks",
            lambda: reader.rpc.request("eth_getLogs", window),
            "ranges are cut until it accepts them: the start takes longer",
        ),
        (
            "eth_simulateV1",
            lambda: reader.simulate_v1(_EMPTY_BLOCK, basis),
            INSTEAD[Capability.SIMULATION],
        ),
        (
            "newHeads",
            lambda: reader.rpc.request("eth_subscribe", "newHeads"),
            "the keeper asks for new blocks, every chain.poll_interval_ms",
        ),
        (_FINALIZED, lambda: _fetch_finalized(reader), INSTEAD[Capability.FINALIZED]),
    ]
    found = [await _check_required(what, reader, *test) for test in needed]
    found += [await _check_optional(what, *test) for test in optional]
    return [finding for finding in found if finding is not None]


async def _check_required(what: str, reader: NodeReader, name: str, test: Test) -> Finding | None:
    """Check a required read. None if it used an alternative, which is a lack."""
    try:
        await test()
    except KeeperError as error:
        return fail(what, f"{name} does not work ({error.code})", error.hint)
    lacks = {str(lack.capability) for lack in reader.rpc.capabilities.lacks()}
    return None if _CAPABILITIES.get(name, name) in lacks else ok(what, name)


async def _check_optional(what: str, name: str, test: Test, instead: str) -> Finding:
    """Check an optional read."""
    try:
        await test()
    except KeeperError as error:
        return warn(what, f"{name} does not work ({error.code})", instead)
    return ok(what, name)


def _report_lacks(what: str, reader: NodeReader, found: Sequence[Finding]) -> list[Finding]:
    """Report an endpoint's lacks that have no finding yet."""
    named = {finding.detail.partition(" does not work")[0] for finding in found if finding.fix}
    lines = {_CAPABILITIES.get(name, name) for name in named}
    return [
        warn(what, _describe_lack(lack), lack.instead)
        for lack in reader.rpc.capabilities.lacks()
        if lack.capability not in lines
    ]


def _describe_lack(lack: Lack) -> str:
    most = f", {lack.limit} at most" if lack.limit else ""
    return f"does without {lack.capability}{most}: refused ({lack.reason})"


async def _fetch_finalized(reader: NodeReader) -> None:
    if await reader.finalized() is None:
        raise ChainError("no finalized block")


def _compare_with_others(one: Seen, seen: Sequence[Seen], chain: Chain) -> list[Finding]:
    """Compare one endpoint with the others by height, blocks and a contract's code."""
    others = [each for each in seen if each is not one and each.head is not None]
    if one.head is None or not others:
        return []
    newest = max(each.head.number for each in others if each.head is not None)
    lag = max(0, newest - one.head.number)
    text = f"{lag} blocks behind the newest"
    late = lag > chain.max_lag_blocks
    found = [warn(one.what, text, "it is not read from") if late else ok(one.what, text)]
    for other in others:
        common = (one.below or {}).keys() & (other.below or {}).keys()
        height = max(common, default=None)
        if height is not None and (one.below or {})[height] != (other.below or {})[height]:
            found.append(
                fail(one.what, f"has another block {height} than {other.what}", "which is right?")
            )
        if one.code != other.code:
            found.append(
                fail(
                    one.what,
                    f"has other code at {chain.multicall} than {other.what}",
                    "it is another chain of the same id: remove it",
                )
            )
    return found


def _check_redundancy(seen: Sequence[Seen]) -> list[Finding]:
    """Return whether one failure, or one provider's mistake, affects all endpoints."""
    what = "endpoints"
    if len(seen) == 1:
        text = "one only: nothing shows when it errs, and nothing takes over"
        return [warn(what, text, "add a second of another provider to chain.endpoints")]
    hosts = {one.place.host for one in seen}
    if len(hosts) == 1 and not seen[0].place.is_loopback:
        text = f"all {len(seen)} are at {seen[0].place.host}: they fail and err together"
        return [warn(what, text, "use another provider, or a node of your own")]
    return [ok(what, f"{len(seen)} at {len(hosts)} hosts")]
