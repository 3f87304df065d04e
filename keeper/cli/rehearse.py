"""``keeper rehearse``. Backtests policies on a recorded price path."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import typer

from keeper.cli.garbage import searched_seldom
from keeper.cli.options import JsonOption
from keeper.cli.output import print_json, print_line, print_note, print_table
from keeper.cli.plots import checked_plot, stacked
from keeper.cli.policies import policy_of
from keeper.config.sources import read_text
from keeper.domain import wording
from keeper.domain.errors import ConfigError
from keeper.domain.units import USD_E8
from keeper.margin.settings import MarginSettings
from keeper.rehearse.outcome import Outcome
from keeper.rehearse.plan import Rehearsed, Settled, rehearsed
from keeper.rehearse.prices import PricePath, parsed

DEFAULT: Final = ["competitive", "guardian"]
CENT_E8: Final = USD_E8 // 100
SEARCH_AFTER: Final = 1_000_000

_Number = typer.Option
PricesOption = Annotated[
    Path, typer.Option("--prices", metavar="FILE", help="CSV: timestamp_utc,WETH,USDC,...")
]
PolicyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="POLICY",
        help="competitive, guardian, either with +KEY=VALUE of [policy] (as in"
        " guardian+guard.blocks=5), or a settings file; repeatable.",
        show_default="competitive, guardian",
    ),
]
_SETTLED: Final = Settled()


def command(
    prices: PricesOption,
    policy: PolicyOption = None,
    *,
    accounts: Annotated[
        int, _Number(min=1, max=200_000, help="Number of synthetic accounts.")
    ] = _SETTLED.accounts,
    seed: Annotated[int, _Number(min=0, help="Seed of the accounts.")] = _SETTLED.seed,
    step_minutes: Annotated[
        int, _Number(min=1, max=1_440, help="Minutes between two simulated times.")
    ] = _SETTLED.step_minutes,
    recovery_hours: Annotated[
        int, _Number(min=1, max=240, help="Unnecessary: the account recovers within so many hours.")
    ] = _SETTLED.recovery_hours,
    wicks: Annotated[
        int, _Number(min=0, max=10_000, help="Number of false prices.")
    ] = _SETTLED.wicks,
    wick_off_bps: Annotated[
        int, _Number(min=1, max=9_999, help="Size of a false price, in 1/10,000.")
    ] = _SETTLED.wick_off_bps,
    wick_seed: Annotated[
        int, _Number(min=0, help="Seed of the false prices.")
    ] = _SETTLED.wick_seed,
    gas_gwei: Annotated[int, _Number(min=0, max=100_000, help="Gas price.")] = (_SETTLED.gas_gwei),
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw it as .png or .svg.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Backtest policies on a recorded price path, by the production rules."""
    settled = Settled(
        accounts=accounts,
        seed=seed,
        step_minutes=step_minutes,
        recovery_hours=recovery_hours,
        wicks=wicks,
        wick_off_bps=wick_off_bps,
        wick_seed=wick_seed,
        gas_gwei=gas_gwei,
    )
    picture = None if plot is None else checked_plot(plot)
    hint = "give a CSV with a column timestamp_utc"
    path = parsed(read_text(prices, what="the price file", hint=hint), prices.name)
    found = _run_policies(policy or DEFAULT, path, settled)
    outcomes = [one.outcome for one in found]
    if picture is not None:
        _draw(picture, prices.name, path, found)
    if as_json:
        print_json(
            {
                "settled": dict(settled.told(path)),
                "policies": [_build_document(one) for one in outcomes],
            },
            "rehearse",
        )
        return
    for name, words in settled.told(path).items():
        print_line(f"{name}: {words}")
    print_line("")
    print_table(["", *(one.policy for one in outcomes)], _build_rows(outcomes))


def _run_policies(names: Sequence[str], path: PricePath, settled: Settled) -> list[Rehearsed]:
    """Run each policy, in parallel if there are several processors."""
    policies = {name: policy_of(name) for name in dict.fromkeys(names)}
    workers = min(len(policies), os.cpu_count() or 1)
    for name in policies:
        print_note(f"rehearsing {name} over {len(path.times)} records")
    if workers == 1:
        return [_run_policy(name, one, path, settled) for name, one in policies.items()]
    spawned = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawned) as pool:
        runs = [
            pool.submit(_run_policy, name, one, path, settled) for name, one in policies.items()
        ]
        try:
            return [run.result() for run in runs]
        except concurrent.futures.BrokenExecutor as error:
            raise ConfigError(
                "a rehearsal's process ended", hint="is there memory for so many accounts?"
            ) from error


def _run_policy(name: str, policy: MarginSettings, path: PricePath, settled: Settled) -> Rehearsed:
    """Run one policy. Garbage collection would take a quarter of the time."""
    with searched_seldom(SEARCH_AFTER):
        return rehearsed(name, policy, path, settled)


def _build_rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    shown: Mapping[str, list[str]] = {
        "accounts with calls due": [f"{one.called:,}" for one in outcomes],
        "notice before liquidation, median": [_format_span(one.notice_median) for one in outcomes],
        "notice before liquidation, a tenth had at most": [
            _format_span(one.notice_tenth) for one in outcomes
        ],
        "liquidations": [f"{one.liquidations:,}" for one in outcomes],
        "of accounts": [f"{one.liquidated:,}" for one in outcomes],
        "of these unnecessary": [f"{one.unnecessary:,}" for one in outcomes],
        "bad debt, USD": [f"{_convert_to_dollars(one.bad_debt_usd_e8):,}" for one in outcomes],
        "profit, USD": [f"{_convert_to_dollars(one.profit_usd_e8):,}" for one in outcomes],
        "notices": [f"{one.notices:,}" for one in outcomes],
        "messages to one channel": [f"{one.messages:,}" for one in outcomes],
    }
    return [[name, *values] for name, values in shown.items()]


def _build_document(one: Outcome) -> dict[str, object]:
    document: dict[str, object] = asdict(one)
    for name in ("bad_debt", "profit"):
        document[f"{name}_usd"] = str(_convert_to_dollars(document.pop(f"{name}_usd_e8")))
    for name in ("notice_median", "notice_tenth"):
        document[f"{name}_seconds"] = document.pop(name)
    return document


def _convert_to_dollars(usd_e8: object) -> Decimal:
    return (Decimal(str(usd_e8)) / USD_E8).quantize(Decimal("0.01"))


def _format_span(seconds: int | None) -> str:
    return "-" if seconds is None else wording.hours(seconds)


def _draw(file: Path, name: str, path: PricePath, found: Sequence[Rehearsed]) -> None:
    """Draw prices, health and actions over time in stacked panels."""
    first = path.prices[0]
    days = [datetime.fromtimestamp(one, tz=UTC) for one in path.times]
    prices = {
        symbol: (days, [at[symbol] / first[symbol] for at in path.prices])
        for symbol in ("WETH", "WBTC", "stETH")
        if symbol in first
    }
    health = {
        f"{one.outcome.policy}, a tenth below": (
            [datetime.fromtimestamp(when, tz=UTC) for when, _, _ in one.health],
            [tenth for _, tenth, _ in one.health],
        )
        for one in found
    }
    span = (path.times[0], path.times[-1])
    actions = {one.outcome.policy: _sum_up(one.actions, span) for one in found}
    stacked(
        file,
        f"Rehearsal on {name}",
        {
            "price, first record = 1": prices,
            "health factor": health,
            "liquidations so far": actions,
        },
    )


def _sum_up(
    actions: Sequence[tuple[int, int]], span: tuple[int, int]
) -> tuple[list[datetime], list[float]]:
    """Return the steps of a running total over the path's time span."""
    times, totals, total = [datetime.fromtimestamp(span[0], tz=UTC)], [0.0], 0
    for when, count in actions:
        times += [datetime.fromtimestamp(when, tz=UTC)] * 2
        totals += [total, total + count]
        total += count
    return [*times, datetime.fromtimestamp(span[1], tz=UTC)], [*totals, total]
