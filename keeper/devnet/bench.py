"""``scripts/bench``: how fast the keeper is, beside the floor measured in the same run."""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from keeper.devnet import bench_book, bench_crowd, bench_tolerance
from keeper.devnet.bench_against import compare
from keeper.devnet.bench_market import SHAPES
from keeper.devnet.bench_runs import Burst, Kind, Latency, Reaction, burst, latency, spread
from keeper.devnet.bench_wire import TRANSPORTS
from keeper.devnet.market import PROTOCOLS
from keeper.domain.errors import KeeperError
from keeper.observe.logging import configure

SIZES: Final = (30, 300)
SAMPLES: Final = 20
BURST_SAMPLES: Final = 3
INTERRUPTED_EXIT: Final = 130
_LEAST_BORROWERS: Final = 1
_MOST_SAMPLES: Final = 40
_MOST_DELAY_MS: Final = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    wanted = _parse_arguments(arguments)
    configure(level="error", form="text")
    signal.signal(signal.SIGTERM, _stop)
    try:
        answer = COMMANDS[wanted.command](wanted)
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except KeeperError as error:
        sys.stderr.write(f"error[{error.code}]: {error}\n")
        return error.exit_code
    sys.stdout.write(answer + "\n")
    return 0


def _stop(number: int, _frame: object) -> NoReturn:
    """End by an exception, so that the local chain is stopped too."""
    sys.exit(128 + number)


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("latency", help="one account past the line in a block")
    one.add_argument(
        "--borrowers", type=_parse_positive, nargs="+", default=list(SIZES), metavar="N"
    )
    one.add_argument("--trace", action="store_true", help="show the median sample's messages")
    one.add_argument(
        "--delay-ms",
        type=_parse_delay,
        default=0,
        metavar="N",
        help="each answer comes so much later",
    )
    one.add_argument("--against", metavar="REV", help="compare with an earlier revision")
    many = commands.add_parser("burst", help="thirty accounts past the line in one block, or more")
    many.add_argument("--accounts", type=_parse_positive, nargs="+", metavar="N", help="that many")
    many.add_argument(
        "--shape", choices=SHAPES, nargs="+", default=list(SHAPES), help="of the N accounts"
    )
    many.add_argument(
        "--block-mgas",
        type=_parse_positive,
        nargs="+",
        default=list(bench_crowd.BLOCK_MGAS),
        metavar="N",
        help="millions of gas in a block",
    )
    many.add_argument(
        "--gas-gwei", type=_parse_positive, default=0, metavar="N", help="their base fee"
    )
    for command, samples in ((one, SAMPLES), (many, BURST_SAMPLES)):
        command.add_argument("--samples", type=_sample_count, default=samples, metavar="N")
        command.add_argument("--transport", choices=TRANSPORTS, default=TRANSPORTS[0])
        command.add_argument("--protocol", choices=PROTOCOLS, default=PROTOCOLS[0])
    book = commands.add_parser("book", help="a book of a million accounts, without a chain")
    book.add_argument("--only", choices=bench_book.MODULES, nargs="+", metavar="ROW")
    book.add_argument("--accounts", type=_parse_positive, default=bench_book.ACCOUNTS, metavar="N")
    book.add_argument("--samples", type=_sample_count, default=bench_book.SAMPLES, metavar="N")
    tolerance = commands.add_parser(
        "tolerance", help="what each policy.tolerance_bps lets land, and loses to a sandwich"
    )
    for command in (one, many, book, tolerance):
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def _parse_positive(text: str) -> int:
    value = int(text)
    if value < _LEAST_BORROWERS:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _sample_count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= _MOST_SAMPLES:
        raise argparse.ArgumentTypeError(f"from 1 to {_MOST_SAMPLES}")
    return value


def _parse_delay(text: str) -> int:
    value = int(text)
    if not 0 <= value <= _MOST_DELAY_MS:
        raise argparse.ArgumentTypeError(f"from 0 to {_MOST_DELAY_MS}")
    return value


def _run_latency(wanted: argparse.Namespace) -> str:
    if wanted.against is not None:
        return _run_against(wanted)
    kind = Kind(wanted.transport, wanted.protocol, wanted.delay_ms / 1_000)
    found = [asyncio.run(latency(size, wanted.samples, kind)) for size in wanted.borrowers]
    if wanted.json:
        return json.dumps(
            {**_describe_machine(wanted), "markets": [_build_latency_json(one) for one in found]}
        )
    lines = [_format_heading(wanted)]
    for one in found:
        lines += _format_latency(one)
        if wanted.trace:
            lines += _format_trace(one)
    return "\n".join(lines)


def _run_against(wanted: argparse.Namespace) -> str:
    arguments = ["--samples", str(wanted.samples), "--transport", wanted.transport]
    arguments += ["--protocol", wanted.protocol, "--borrowers", *map(str, wanted.borrowers)]
    arguments += ["--delay-ms", str(wanted.delay_ms)] if wanted.delay_ms else []
    found = compare(wanted.against, arguments)
    if wanted.json:
        return json.dumps(
            {**_describe_machine(wanted), "against": wanted.against, "markets": found}
        )
    lines = [_format_heading(wanted), f"against {wanted.against}, in turn; block announced -> sent"]
    for market in found:
        here, there = _format_ms(market["total_us"]), _format_ms(market["against_us"])
        ratio = f"{market['ratio']:.3f}"
        lines.append(f"  {market['borrowers']:>5} borrowers {here:>8} {there:>8}   ratio {ratio}")
    return "\n".join(lines)


def _run_burst(wanted: argparse.Namespace) -> str:
    if wanted.accounts:
        crowd = bench_crowd.CrowdWanted(
            gas_gwei=wanted.gas_gwei,
            transport=wanted.transport,
            protocol=wanted.protocol,
        )
        return bench_crowd.report(
            wanted.accounts,
            crowd,
            shapes=wanted.shape,
            block_mgas=wanted.block_mgas,
            as_json=wanted.json,
        )
    found = asyncio.run(burst(wanted.samples, Kind(wanted.transport, wanted.protocol)))
    if wanted.json:
        return json.dumps({**_describe_machine(wanted), **_build_burst_json(found)})
    return "\n".join([_format_heading(wanted), *_format_burst(found)])


def _run_book(wanted: argparse.Namespace) -> str:
    size = bench_book.Wanted(accounts=wanted.accounts, samples=wanted.samples)
    return bench_book.answer(wanted.only or [*bench_book.MODULES], size, as_json=wanted.json)


def _run_tolerance(wanted: argparse.Namespace) -> str:
    return bench_tolerance.report(as_json=wanted.json)


COMMANDS: Final = {
    "latency": _run_latency,
    "burst": _run_burst,
    "book": _run_book,
    "tolerance": _run_tolerance,
}


def _describe_machine(wanted: argparse.Namespace) -> dict[str, Any]:
    return {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "transport": wanted.transport,
        "protocol": wanted.protocol,
        "samples": wanted.samples,
    }


def _format_heading(wanted: argparse.Namespace) -> str:
    where = _describe_machine(wanted)
    return (
        f"{where['date']}, {where['cores']} cores, Python {where['python']},"
        f" {where['protocol']}, {where['transport']}, {where['samples']} samples; medians in ms"
    )


def _build_latency_json(found: Latency) -> dict[str, Any]:
    typical = _select_typical(found.reactions)
    total = _build_spread_json([one.first for one in found.reactions])
    return {
        "borrowers": found.borrowers,
        "total_us": total,
        "requests": len(typical.methods),
        "most_requests": max(len(one.methods) for one in found.reactions),
        "messages": typical.messages,
        "round_trips": typical.round_trips,
        "methods": list(typical.methods),
        "floor_us": _build_floor_json(found.floor),
        "floor_again_us": _build_floor_json(found.floor_again),
        "ratio": _compute_ratio(total, found.floor),
        "ratio_again": _compute_ratio(total, found.floor_again),
    }


def _build_floor_json(floor: dict[str, int]) -> dict[str, int]:
    return {**floor, "sum": sum(floor.values())}


def _compute_ratio(total: dict[str, int], floor: dict[str, int]) -> float:
    return round(total["median"] / sum(floor.values()), 2)


def _build_burst_json(found: Burst) -> dict[str, Any]:
    typical = _select_typical(found.reactions)
    return {
        "accounts": found.accounts,
        "first_us": _build_spread_json([one.first for one in found.reactions]),
        "last_us": _build_spread_json([one.last for one in found.reactions]),
        "transactions": typical.transactions,
        "requests": len(typical.methods),
        "landed_in_the_next_block": list(found.landed),
    }


def _build_spread_json(values: Sequence[int]) -> dict[str, int]:
    return dict(zip(("p10", "median", "p90"), spread(values), strict=True))


def _select_typical(reactions: Sequence[Reaction]) -> Reaction:
    """Return the reaction with the median time (the lower one of two)."""
    return sorted(reactions, key=lambda one: one.first)[(len(reactions) - 1) // 2]


def _format_latency(found: Latency) -> list[str]:
    told = _build_latency_json(found)
    total, floors = told["total_us"], ("floor", "floor_again")
    return [
        "",
        f"{found.borrowers} borrowers, one past the line",
        _format_spread("block announced -> transaction sent", total),
        f"  {'requests':<36}{told['requests']:>8}   in {told['round_trips']} round trips",
        _format_pair("each part alone", "first", "again"),
        *(
            _format_pair(f"  {part}", _format_ms(value), _format_ms(found.floor_again[part]))
            for part, value in found.floor.items()
        ),
        _format_pair(
            "floor: the sum of these", *(_format_ms(told[f"{one}_us"]["sum"]) for one in floors)
        ),
        _format_pair("total / floor", f"{told['ratio']:.2f}", f"{told['ratio_again']:.2f}"),
    ]


def _format_trace(found: Latency) -> list[str]:
    timeline = _select_typical(found.reactions).timeline
    return ["", *(f"    {_format_ms(moment):>8}  {what}" for moment, what in timeline)]


def _format_burst(found: Burst) -> list[str]:
    told = _build_burst_json(found)
    return [
        "",
        f"{found.accounts} accounts past the line in one block",
        _format_spread("block announced -> first sent", told["first_us"]),
        _format_spread("block announced -> last sent", told["last_us"]),
        f"  {'transactions':<36}{told['transactions']:>8}",
        f"  {'requests before the first':<36}{told['requests']:>8}",
        f"  {'liquidated in the next block':<36}   {', '.join(map(str, found.landed))}",
    ]


def _format_spread(what: str, spread_: dict[str, int]) -> str:
    low, middle, high = (_format_ms(spread_[name]) for name in ("p10", "median", "p90"))
    return f"  {what:<36}{middle:>8}   p10 {low}, p90 {high}"


def _format_pair(what: str, first: str, again: str) -> str:
    return f"  {what:<36}{first:>8}{again:>8}"


def _format_ms(microseconds: int) -> str:
    return f"{microseconds / 1_000:.2f}"


if __name__ == "__main__":
    sys.exit(main())
