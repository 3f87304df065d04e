"""Handwritten codec of Multicall3's ``aggregate3``, many reads in one.

Source: mds1/multicall ``Multicall3.aggregate3((address,bool,bytes)[])``, where a failed call fails
alone (``allowFailure``). Encoding with eth-abi takes longer than the call itself.
"""

import functools
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.abi import ABI_FOLDER, SELECTOR, WORD, selector, word
from keeper.domain.errors import EnvironmentFault, RpcMalformed
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, Gas

AGGREGATE3: Final = selector("aggregate3((address,bool,bytes)[])")
MULTICALL3: Final = Address("0xcA11bde05977b3631167028862bE2a173976CA11")
"""The address it has on nearly every chain."""

_EMPTY: Final = WORD.to_bytes(WORD) + bytes(WORD)
"""No calls, as ``aggregate3`` takes them, and no results, as it returns them."""

_TUPLE_HEAD: Final = (1).to_bytes(WORD) + (3 * WORD).to_bytes(WORD)
_KEPT_PAYLOADS: Final = 16


READ_GAS: Final = Gas(45_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one aggregate. More calls are split into several."""

    calls: int = 500
    calldata: int = 128 * 1024
    gas: Gas = READ_GAS
    """The gas that a read is given; common nodes cap it at 50 million."""
    in_flight: int = 4


class Packer:
    """Packs calls and caches the results, since a quiet block repeats them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Call, ...], str] = OrderedDict()

    def packed(self, calls: tuple[Call, ...]) -> str:
        """Return the calldata of one aggregate as 0x hex."""
        known = self._kept.get(calls)
        if known is None:
            known = "0x" + packed(calls).hex()
            self._kept[calls] = known
            if len(self._kept) > _KEPT_PAYLOADS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(calls)
        return known


def packed(calls: Sequence[Call]) -> bytes:
    """Encode the calldata of ``aggregate3(calls)``, each allowed to fail."""
    return AGGREGATE3 + packed_calls(calls)


def packed_calls(calls: Sequence[Call]) -> bytes:
    """Encode the argument of ``aggregate3``."""
    offset = WORD * len(calls)
    offsets, bodies = list[bytes](), list[bytes]()
    for call in calls:
        size = len(call.data)
        body = b"".join(
            (
                bytes(12),
                bytes.fromhex(call.target[2:]),
                _TUPLE_HEAD,
                size.to_bytes(WORD),
                call.data,
                bytes(-size % WORD),
            )
        )
        offsets.append(offset.to_bytes(WORD))
        bodies.append(body)
        offset += len(body)
    start = WORD.to_bytes(WORD) + len(calls).to_bytes(WORD)
    return b"".join((start, *offsets, *bodies))


@functools.cache
def aggregator_code() -> bytes:
    """Return the creation code of the keeper's own aggregator. Its argument is ``aggregate3``'s.

    Source: ``contracts/src/lens/ReadAggregator.sol``.
    """
    try:
        artifact = json.loads((ABI_FOLDER / "ReadAggregator.json").read_text(encoding="utf-8"))
        return bytes.fromhex(artifact["bytecode"][2:])
    except (OSError, ValueError, KeyError, TypeError):
        raise EnvironmentFault("the bytecode of ReadAggregator is missing or broken") from None


def probe(aggregator: Address) -> Call:
    """Build the call of an aggregate that holds an empty aggregate of itself."""
    inner = Call(target=aggregator, data=AGGREGATE3 + _EMPTY)
    return Call(target=aggregator, data=packed([inner]))


def proves_aggregator(raw: bytes) -> bool:
    """Return whether the probe's result can only come from ``aggregate3``."""
    try:
        return unpacked(raw, 1) == [CallResult(success=True, data=_EMPTY)]
    except RpcMalformed:
        return False


def unpacked(raw: bytes, count: int) -> list[CallResult]:
    """Decode the ``count`` results of ``aggregate3``.

    Raises:
        RpcMalformed: another number of results, or an offset outside of the answer.
    """
    base = word(raw, 0) + WORD
    if word(raw, 0) != WORD or word(raw, 1) != count:
        raise RpcMalformed("an aggregate returned another number of results")
    return [
        _decode_result(raw, base + _read_word_at(raw, base + WORD * index))
        for index in range(count)
    ]


def chunks(calls: Sequence[Call], limits: Limits) -> Iterator[tuple[Call, ...]]:
    """Split the calls into chunks within the limits. A single call always fits."""
    chunk, size = list[Call](), 0
    for call in calls:
        added = 5 * WORD + len(call.data) + SELECTOR
        if chunk and (len(chunk) >= limits.calls or size + added > limits.calldata):
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(call)
        size += added
    if chunk:
        yield tuple(chunk)


def _decode_result(raw: bytes, at: int) -> CallResult:
    success, start = _read_word_at(raw, at), at + _read_word_at(raw, at + WORD)
    size = _read_word_at(raw, start)
    end = start + WORD + size
    if success > 1 or end > len(raw):
        raise RpcMalformed("an aggregate's result points outside of the answer")
    return CallResult(success=bool(success), data=raw[start + WORD : end])


def _read_word_at(raw: bytes, at: int) -> int:
    if at + WORD > len(raw):
        raise RpcMalformed("an aggregate's result points outside of the answer")
    return int.from_bytes(raw[at : at + WORD])
