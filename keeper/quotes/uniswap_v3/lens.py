"""Reads whole pools at one block (price, liquidity, balances and initialised ticks).

One request reads all pools if the node runs the undeployed lens contract
(``contracts/src/lens/UniswapV3Lens.sol``) and the answer fits into the largest contract code.
Otherwise several requests do. A node that refuses such a request is read by plain calls.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.abi import ABI_FOLDER, WORD, calldata, encoded, signed_word, word
from keeper.domain.errors import EnvironmentFault, RpcMalformed, RpcRefused
from keeper.domain.head import Basis
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, TokenUnits
from keeper.ports import ChainReader
from keeper.quotes.uniswap_v3.depth import WORD_BITS
from keeper.quotes.uniswap_v3.pools import Pool
from keeper.quotes.uniswap_v3.tick_math import MAX_TICK

RADIUS: Final = 128
"""How many words of the tick bitmap are read to either side of the current one, at most."""

ENOUGH: Final = 128
"""How many initialised ticks to either side end the reading before that."""

HEADER: Final = 8 * WORD
PER_TICK: Final = 19
_TICK_BYTES: Final = 3

_MOST_BYTES: Final = 22_000  # an answer is at most as long as a contract's code, 24,576
_MOST_POOLS: Final = 24  # bounds the gas of one request
_UNKNOWN_SIZE: Final = HEADER + 40 * PER_TICK  # expected of a pool that was never read
_PLAIN_READS: Final = 100  # reads by plain calls until the lens is tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """One pool at one block. ``ticks`` are packed as the lens returns them, sorted or not."""

    price: int
    tick: int
    liquidity: int
    balances: tuple[TokenUnits, TokenUnits]
    words: tuple[int, int]
    ticks: bytes

    def net_liquidity(self) -> list[tuple[int, int]]:
        """Decode the initialised ticks with their net liquidity."""
        raw, middle = self.ticks, _TICK_BYTES
        return [
            (
                int.from_bytes(raw[at : at + middle], signed=True),
                int.from_bytes(raw[at + middle : at + PER_TICK], signed=True),
            )
            for at in range(0, len(raw), PER_TICK)
        ]


class Lens:
    """Reads pools. Remembers the sizes of their answers, so that each request is filled."""

    def __init__(self, reader: ChainReader) -> None:
        """Send no request yet."""
        self._reader = reader
        self._sizes = dict[Address, int]()
        self._plain_reads = 0

    async def states(self, pools: Sequence[Pool], basis: Basis) -> Mapping[Address, PoolState]:
        """Fetch the pools' states. Pools without code or price at the block are missing."""
        states = dict[Address, PoolState]()
        for chunk in self._split_into_chunks(pools):
            states.update(await self._read(chunk, basis))
        return states

    def _split_into_chunks(self, pools: Sequence[Pool]) -> list[list[Pool]]:
        """Return the pools in groups that fit into one answer each."""
        chunks, size = list[list[Pool]](), 0
        for pool in pools:
            expected = self._sizes.get(pool.address, _UNKNOWN_SIZE)
            size += expected
            if not chunks or size > _MOST_BYTES or len(chunks[-1]) == _MOST_POOLS:
                chunks.append([])
                size = expected
            chunks[-1].append(pool)
        return chunks

    async def _read(self, pools: Sequence[Pool], basis: Basis) -> dict[Address, PoolState]:
        """Read some pools by the lens. If refused, in halves and finally by plain calls."""
        if self._plain_reads:
            self._plain_reads -= 1
            return await plain_states(self._reader, pools, basis)
        try:
            raw = await self._reader.deployless(lens_code(pools), basis)
        except RpcRefused:
            raw = b""  # as some nodes answer instead of refusing
        if raw:
            return self._decode_states(pools, raw)
        if len(pools) > 1:
            half = len(pools) // 2
            first = await self._read(pools[:half], basis)
            return first | await self._read(pools[half:], basis)
        self._plain_reads = _PLAIN_READS
        return await plain_states(self._reader, pools, basis)

    def _decode_states(self, pools: Sequence[Pool], raw: bytes) -> dict[Address, PoolState]:
        """Decode the states from a lens's answer."""
        states, at = dict[Address, PoolState](), 0
        for pool in pools:
            header = raw[at : at + HEADER]
            end = at + HEADER + PER_TICK * word(header, 7)
            if end > len(raw):
                raise RpcMalformed("the lens's answer is cut short")
            self._sizes[pool.address] = end - at
            if word(header, 0):
                states[pool.address] = PoolState(
                    price=word(header, 0),
                    tick=signed_word(header, 1),
                    liquidity=word(header, 2),
                    balances=(TokenUnits(word(header, 3)), TokenUnits(word(header, 4))),
                    words=(signed_word(header, 5), signed_word(header, 6)),
                    ticks=raw[at + HEADER : end],
                )
            at = end
        if at != len(raw):
            raise RpcMalformed("the lens's answer is too long")
        return states


def lens_code(pools: Sequence[Pool]) -> bytes:
    """Return the lens's creation code with these pools as its arguments."""
    return _encode_lens_code(tuple(pools))


@functools.lru_cache(maxsize=64)
def _encode_lens_code(pools: tuple[Pool, ...]) -> bytes:
    wanted = [(pool.address, *pool.tokens, pool.spacing) for pool in pools]
    types = ("(address,address,address,int24)[]", "int256", "uint256")
    return _load_creation_code() + encoded(types, (wanted, RADIUS, ENOUGH))


@functools.cache
def _load_creation_code() -> bytes:
    """Return the committed bytecode of the lens."""
    try:
        artifact = json.loads((ABI_FOLDER / "UniswapV3Lens.json").read_text(encoding="utf-8"))
        return bytes.fromhex(artifact["bytecode"][2:])
    except (OSError, ValueError, KeyError, TypeError):
        raise EnvironmentFault("the bytecode of UniswapV3Lens is missing or broken") from None


def words_around(tick: int, spacing: int) -> tuple[int, int]:
    """Return the first and last word of the tick bitmap to read around a tick."""
    here, last = tick // spacing // WORD_BITS, MAX_TICK // spacing
    return max(here - RADIUS, -last // WORD_BITS), min(here + RADIUS, last // WORD_BITS)


async def plain_states(
    reader: ChainReader, pools: Sequence[Pool], basis: Basis
) -> dict[Address, PoolState]:
    """Fetch the pools' states by plain calls in three rounds."""
    heads = await reader.aggregate(
        [call for pool in pools for call in _build_head_calls(pool)], basis
    )
    per = len(_build_head_calls(pools[0])) if pools else 0
    states = dict[Address, PoolState]()
    for at, pool in enumerate(pools):
        state = _decode_head(pool, heads[at * per : (at + 1) * per])
        if state is not None:
            states[pool.address] = state
    live = [pool for pool in pools if pool.address in states]
    places = [
        (pool, index)
        for pool in live
        for index in range(states[pool.address].words[0], states[pool.address].words[1] + 1)
    ]
    calls = [_build_call(pool.address, "tickBitmap(int16)", index) for pool, index in places]
    ticks = list[tuple[Pool, int]]()
    for (pool, index), answer in zip(places, await reader.aggregate(calls, basis), strict=True):
        bits = _read_word(answer, 0)
        ticks += [
            (pool, (index * WORD_BITS + bit) * pool.spacing)
            for bit in range(WORD_BITS)
            if bits >> bit & 1
        ]
    calls = [_build_call(pool.address, "ticks(int24)", tick) for pool, tick in ticks]
    packed: dict[Address, bytearray] = {pool.address: bytearray() for pool in live}
    for (pool, tick), answer in zip(ticks, await reader.aggregate(calls, basis), strict=True):
        packed[pool.address] += tick.to_bytes(_TICK_BYTES, signed=True)
        packed[pool.address] += _read_word(answer, 1).to_bytes(WORD)[_TICK_BYTES - PER_TICK :]
    return {
        address: PoolState(
            price=state.price,
            tick=state.tick,
            liquidity=state.liquidity,
            balances=state.balances,
            words=state.words,
            ticks=bytes(packed[address]),
        )
        for address, state in states.items()
    }


def _build_head_calls(pool: Pool) -> list[Call]:
    """Return the calls for everything of a pool but its ticks."""
    balances = [_build_call(token, "balanceOf(address)", pool.address) for token in pool.tokens]
    return [
        _build_call(pool.address, "slot0()"),
        _build_call(pool.address, "liquidity()"),
        *balances,
    ]


def _decode_head(pool: Pool, answers: Sequence[CallResult]) -> PoolState | None:
    """Decode a pool's state without its ticks. None before the pool exists."""
    slot0, liquidity, *balances = answers
    if not slot0.success or not slot0.data or not word(slot0.data, 0):
        return None
    lent = [TokenUnits(word(each.data, 0)) if each.success else TokenUnits(0) for each in balances]
    tick = signed_word(slot0.data, 1)
    return PoolState(
        price=word(slot0.data, 0),
        tick=tick,
        liquidity=_read_word(liquidity, 0),
        balances=(lent[0], lent[1]),
        words=words_around(tick, pool.spacing),
        ticks=b"",
    )


def _build_call(target: Address, signature: str, *values: object) -> Call:
    """Build a call."""
    return Call(target=target, data=calldata(signature, *values))


def _read_word(answer: CallResult, index: int) -> int:
    """Return a word of a successful answer."""
    if not answer.success:
        raise RpcMalformed("a pool does not answer as Uniswap v3's do")
    return word(answer.data, index)
