"""Measurements of one liquidatable account in a block, or thirty at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles
from typing import Any, Final

from keeper.devnet.bench_floor import PARTS, Floor
from keeper.devnet.bench_keeper import Measured, place
from keeper.devnet.bench_market import Stairs
from keeper.devnet.bench_wire import Noted, Passed, Wire, recorded, requests_of
from keeper.devnet.market import AAVE_V3, hot_key
from keeper.domain.errors import EnvironmentFault

WARM_UP: Final = 2
"""Steps before the first that counts: connections, caches and curves are then warm."""
BURST: Final = 30

ANSWER: Final = "< answer"

_MICROSECOND: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """From a block's announcement to the first and last transaction's bytes, in microseconds."""

    first: int
    last: int
    methods: tuple[str, ...]
    messages: int
    transactions: int
    timeline: tuple[tuple[int, str], ...]

    @property
    def round_trips(self) -> int:
        """Number of round trips before the first transaction was sent."""
        ways = [what.startswith(ANSWER) for _, what in self.timeline]
        return sum(later and not earlier for earlier, later in pairwise(ways))


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """
    One market's reactions, and the floor measured between them, in microseconds.

    ``floor`` is each part after a pause, ``floor_again`` the same at once once more.
    """

    borrowers: int
    reactions: tuple[Reaction, ...]
    floor: dict[str, int]
    floor_again: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Reactions to thirty accounts in one block. ``landed`` counts those liquidated in the next."""

    reactions: tuple[Reaction, ...]
    accounts: int
    landed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """Devnet kind of a measurement. Each answer of the node is delayed by ``delay_seconds``."""

    transport: str
    protocol: str = AAVE_V3
    delay_seconds: float = 0


async def latency(borrowers: int, samples: int, kind: Kind) -> Latency:
    """Measure ``samples`` blocks, each of which makes one account liquidatable.

    Raises:
        EnvironmentFault: the devnet failed, or the keeper did not send as expected.
    """
    stairs = Stairs(borrowers=borrowers, steps=samples + WARM_UP, protocol=kind.protocol)
    with place(stairs, kind.transport, kind.delay_seconds) as there:
        measured, wire = Measured(there, Wire()), Wire()
        floor, way = (
            Floor(there.folder, bytes.fromhex(hot_key()[2:])),
            recorded(there.address, wire),
        )
        reactions = []
        try:
            async with measured.running():
                for step in range(stairs.steps):
                    passed = await _measure_reaction(measured, stairs, step)
                    if step >= WARM_UP:
                        reactions.append(_build_reaction(passed))
                        await floor.measure(way, wire, passed.requests())
                    await _mine_and_count(measured, 1)
        finally:
            await way.close()
            floor.close()
    return Latency(
        borrowers=borrowers,
        reactions=tuple(reactions),
        floor={part: int(median(floor.first[part])) for part in PARTS},
        floor_again={part: int(median(floor.again[part])) for part in PARTS},
    )


async def burst(samples: int, kind: Kind) -> Burst:
    """Measure ``samples`` blocks, each of which makes thirty accounts liquidatable.

    Raises:
        EnvironmentFault: as ``latency``.
    """
    stairs = Stairs(
        borrowers=(samples + 1) * BURST, steps=samples + 1, width=BURST, protocol=kind.protocol
    )
    reactions, landed = list[Reaction](), list[int]()
    with place(stairs, kind.transport) as there:
        measured = Measured(there, Wire())
        async with measured.running():
            for step in range(stairs.steps):
                passed = await _measure_reaction(measured, stairs, step)
                count = await _mine_and_count(measured, BURST)
                if step:
                    reactions.append(_build_reaction(passed))
                    landed.append(count)
    return Burst(reactions=tuple(reactions), accounts=BURST, landed=tuple(landed))


async def _measure_reaction(measured: Measured, stairs: Stairs, step: int) -> Passed:
    """Make a step's group liquidatable and return the messages after the announcement."""
    number = await measured.mined(stairs.price(step))
    passed = measured.wire.since_block(number)
    if passed is None:
        raise EnvironmentFault(f"block {number} was not announced")
    if not passed.sends():
        told = measured.events("decision", block_number=number)
        raise EnvironmentFault(f"nothing was sent at block {number}: {told[:1]}")
    return Passed(passed.start, tuple(passed.noted))


async def _mine_and_count(measured: Measured, expected: int) -> int:
    """Mine the sent transactions and count the liquidated accounts."""
    number = await measured.mined()
    done = measured.events("included", block_number=number, success=True)
    count = sum(_count_successes(one["plans"]) for one in done)
    if not 0 < count <= expected:
        raise EnvironmentFault(f"{count} of {expected} accounts were liquidated in block {number}")
    return count


def _count_successes(plans: Any) -> int:  # noqa: ANN401 - an event's JSON
    return sum(not plan["failure"] for plan in plans)


def _build_reaction(passed: Passed) -> Reaction:
    until = passed.until_first_send()
    sends = passed.sends()
    return Reaction(
        first=(sends[0] - passed.start) // _MICROSECOND,
        last=(sends[-1] - passed.start) // _MICROSECOND,
        methods=tuple(until.methods()),
        messages=len(until.bodies()),
        transactions=len(sends),
        timeline=tuple(
            ((one.moment - passed.start) // _MICROSECOND, _format_message(one))
            for one in until.noted
        ),
    )


def _format_message(noted: Noted) -> str:
    if noted.outgoing:
        return "> " + " ".join(request["method"] for request in requests_of(noted))
    return ANSWER


def spread(values: Sequence[int]) -> tuple[int, int, int]:
    """Compute the tenth percentile, the median and the ninetieth."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    tenths = quantiles(values, n=10, method="inclusive")
    return int(tenths[0]), int(median(values)), int(tenths[-1])
