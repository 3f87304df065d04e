"""Measurement of hundreds of accounts that become liquidatable in one block."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from keeper.chain.fields import quantity
from keeper.devnet.bench_keeper import Measured, place
from keeper.devnet.bench_market import SHAPES, Crowd
from keeper.devnet.bench_rankings import Rankings
from keeper.devnet.bench_wire import Passed, Wire
from keeper.devnet.market import AAVE_V3
from keeper.domain.errors import EnvironmentFault
from keeper.domain.units import GWEI

ALONE: Final = 4
"""Blocks with one account each before the crowd. The last ones give one account's time."""
_WARM_UP: Final = 2
_MOST_BLOCKS: Final = 24
_EMPTY_BLOCKS: Final = 3
_MICROSECOND: Final = 1_000
_MILLION: Final = 1_000_000
BLOCK_MGAS: Final = (60, 36, 30)
"""Millions of gas in a block: the local chain's, and what mainnet's blocks had before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdWanted:
    """Options of the measurement.

    ``gas_gwei`` is the base fee of the crowd's block, 0 for the chain's own. ``block_mgas`` is the
    gas limit of a block, in millions.
    """

    shape: str = SHAPES[0]
    gas_gwei: int = 0
    transport: str = "ws"
    protocol: str = AAVE_V3
    block_mgas: int = BLOCK_MGAS[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowded:
    """Reactions to ``accounts`` that fall in one block, in microseconds.

    ``alone`` is the time from a block to the first sent bytes with one account in it, ``first``
    with all of them, ``last`` to the last bytes of that block, ``handled`` until all was decided
    and recorded. ``planned`` counts the accounts sent in this block. ``landed`` has the
    liquidations of each following block (with smaller blocks only of the first one), ``used`` its
    gas in basis points of the limit. ``best_bps`` is the value of the first transaction, in basis
    points of the best one of as many plans by a full ranking of all planned accounts. None if not
    all of them were planned.
    """

    accounts: int
    shape: str
    alone: int
    first: int
    last: int
    handled: int
    transactions: int
    planned: int
    landed: tuple[int, ...]
    used: tuple[int, ...]
    skipped: dict[str, int]
    block_mgas: int
    best_bps: int | None


async def crowded(accounts: int, wanted: CrowdWanted) -> Crowded:
    """Measure one block that makes ``accounts`` liquidatable, and the following blocks.

    Raises:
        EnvironmentFault: the devnet failed, or the keeper sent nothing.
    """
    stairs = Crowd(
        borrowers=0,
        steps=ALONE + 1,
        protocol=wanted.protocol,
        size=accounts,
        shape=wanted.shape,
    )
    with place(stairs, wanted.transport) as there, Rankings().watched() as rankings:
        there.devnet.node.rpc("evm_setBlockGasLimit", [hex(wanted.block_mgas * _MILLION)])
        measured = Measured(there, Wire())
        async with measured.running():
            alone = [await _measure_alone(measured, stairs.price(step)) for step in range(ALONE)]
            if wanted.gas_gwei:
                fee = hex(wanted.gas_gwei * GWEI)
                there.devnet.node.rpc("anvil_setNextBlockBaseFeePerGas", [fee])
            rankings.clear()
            passed, number = await _measure_reaction(measured, stairs.price(ALONE))
            best = rankings.best_bps(accounts)
            decisions = measured.events("decision", block_number=number)
            is_whole = wanted.block_mgas == BLOCK_MGAS[0]
            landed, used = await _mine_liquidations(measured, _MOST_BLOCKS if is_whole else 1)
    sends = passed.sends()
    skipped = Counter(str(one["reason"]) for one in decisions if one["action"] == "skip")
    return Crowded(
        accounts=accounts,
        shape=wanted.shape,
        alone=min(alone[_WARM_UP:]),
        first=(sends[0] - passed.start) // _MICROSECOND,
        last=(sends[-1] - passed.start) // _MICROSECOND,
        handled=(measured.moments[number] - passed.start) // _MICROSECOND,
        transactions=len(sends),
        planned=len(decisions) - skipped.total(),
        landed=landed,
        used=used,
        skipped=dict(skipped),
        block_mgas=wanted.block_mgas,
        best_bps=best,
    )


def report(
    sizes: Sequence[int],
    wanted: CrowdWanted,
    *,
    shapes: Sequence[str],
    block_mgas: Sequence[int],
    as_json: bool,
) -> str:
    """Measure each shape, size and block on a chain of its own and return the answer."""
    cases = [
        (size, replace(wanted, shape=shape, block_mgas=gas))
        for shape in shapes
        for size in sizes
        for gas in block_mgas
    ]
    found = [asyncio.run(crowded(*case)) for case in cases]
    if as_json:
        return json.dumps([asdict(one) for one in found])
    return "\n".join(line for one in found for line in _format_result(one))


def _format_result(found: Crowded) -> list[str]:
    blocks = zip(found.landed, found.used, strict=True)
    landing = ", ".join(f"{count} ({share / 100:.1f} %)" for count, share in blocks)
    times = f"{found.first / found.alone:.2f} times that"
    best = "-" if found.best_bps is None else f"{found.best_bps / 100:.1f} %"
    left = f"{sum(found.skipped.values()):>9}   {found.skipped or ''}"
    title = f"{found.accounts} accounts below the line in one block, {found.shape}"
    return [
        f"{title}, blocks of {found.block_mgas} M gas",
        f"  one account, block -> sent          {_format_ms(found.alone)}",
        f"  block -> first sent                 {_format_ms(found.first)}   {times}",
        f"  the first's share of the best worth    {best}",
        f"  block -> last sent                  {_format_ms(found.last)}",
        f"  block -> decided and recorded       {_format_ms(found.handled)}",
        f"  transactions, accounts in them      {found.transactions:>9}   of {found.planned}",
        f"  left for the next blocks            {left}",
        f"  liquidated in each block that followed, share of its gas: {landing}",
    ]


def _format_ms(microseconds: int) -> str:
    return f"{microseconds / 1_000:>9.2f}"


async def _measure_alone(measured: Measured, price: int) -> int:
    """Measure the time from a block with one liquidatable account to its bytes."""
    passed, _ = await _measure_reaction(measured, price)
    await measured.mined()
    return (passed.sends()[0] - passed.start) // _MICROSECOND


async def _measure_reaction(measured: Measured, price: int) -> tuple[Passed, int]:
    number = await measured.mined(price)
    passed = measured.wire.since_block(number)
    if passed is None or not passed.sends():
        told = measured.events("decision", block_number=number)
        raise EnvironmentFault(f"nothing was sent at block {number}: {told[:1]}")
    return Passed(passed.start, tuple(passed.noted)), number


async def _mine_liquidations(
    measured: Measured, most: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Mine up to ``most`` blocks until nothing is pending. Returns liquidations and gas of each."""
    used = dict[int, int]()
    for _ in range(most):
        number = await measured.mined()
        used[number] = _compute_gas_share(measured, number)
        if [*used.values()][-_EMPTY_BLOCKS:] == [0] * _EMPTY_BLOCKS:
            break
    landed = Counter[int]()
    for event in measured.events("included"):  # the last blocks' receipts may be late
        if event["block_number"] in used:
            landed[event["block_number"]] += sum(not plan["failure"] for plan in _get_plans(event))
    blocks = [number for number in used if used[number]]
    return tuple(landed[number] for number in blocks), tuple(used[number] for number in blocks)


def _get_plans(event: dict[str, Any]) -> Sequence[dict[str, Any]]:
    plans: Sequence[dict[str, Any]] = event["plans"]
    return plans


def _compute_gas_share(measured: Measured, number: int) -> int:
    block = measured.place.devnet.node.rpc("eth_getBlockByNumber", [hex(number), False])
    used, limit = (quantity(block[name], name) for name in ("gasUsed", "gasLimit"))
    return used * 10_000 // limit
