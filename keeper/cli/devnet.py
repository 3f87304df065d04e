"""``keeper devnet``. A local chain with real contracts."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from keeper.cli.options import JsonOption
from keeper.cli.output import print_json, print_note
from keeper.config.sources import read_text
from keeper.devnet import local
from keeper.devnet.assets import PRICE_DECIMALS
from keeper.devnet.market import PROTOCOLS
from keeper.devnet.play import Step, played
from keeper.domain.errors import ConfigError
from keeper.domain.units import WAD
from keeper.rehearse.prices import parsed

app = typer.Typer(
    help="A local chain with real contracts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_LARGEST_EXPONENT = 20

DirOption = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="Folder of the local chain.", show_default=True)
]


@app.command()
def up(
    *,
    aave: Annotated[str, typer.Option(help="The version of Aave: 3.6 or 3.0.")] = "3.6",
    protocol: Annotated[
        str, typer.Option(help=f"Protocol: {', '.join(PROTOCOLS)}, or {local.BOTH}.")
    ] = PROTOCOLS[0],
    borrowers: Annotated[int, typer.Option(help="How many borrowers of each protocol.")] = 32,
    seed: Annotated[int, typer.Option(help="Seed of the borrowers.")] = 1,
    block_time: Annotated[
        int, typer.Option(help="Seconds between blocks; 0 for a block per transaction.")
    ] = 0,
    fork: Annotated[bool, typer.Option("--fork", help="Run on a fork of the chain.")] = False,
    port: Annotated[int, typer.Option(help="The port; 0 for any free one.")] = 0,
    folder: DirOption = local.DEFAULT_FOLDER,
    json_: JsonOption = False,  # noqa: ARG001 (the answer is JSON either way)
) -> None:
    """Start a chain with a lending market. Prints what a keeper needs, writes a keeper.toml."""
    answer = local.up(
        local.UpOptions(
            folder=folder,
            version=aave,
            protocol=protocol,
            borrowers=borrowers,
            seed=seed,
            block_time=block_time,
            fork=fork,
            port=port,
        )
    )
    print_json(answer, "devnet-up")
    print_note(f"{', '.join(answer['protocols'])}: {answer['borrowers']} borrowers are there.")
    print_note(f"try: keeper scan --config {answer['config']}")


@app.command()
def price(
    changes: Annotated[list[str], typer.Argument(metavar="SYMBOL=USD...", help="New prices.")],
    *,
    leave_pools: Annotated[
        bool, typer.Option("--leave-pools", help="Do not move the exchange's pools.")
    ] = False,
    folder: DirOption = local.DEFAULT_FOLDER,
    json_: JsonOption = False,
) -> None:
    """Move prices through the real feeds, and the pools with them, in one block."""
    wanted = dict(_parse_change(text) for text in changes)
    devnet = local.attach(folder)
    devnet.set_prices(wanted, leave_pools=leave_pools)
    devnet.node.close()
    _show_status(folder, json_=json_)


@app.command()
def play(
    *,
    prices: Annotated[
        Path, typer.Option("--prices", metavar="FILE", help="CSV: timestamp_utc,WETH,USDC,...")
    ],
    step_minutes: Annotated[
        int, typer.Option(min=1, max=1_440, help="Minutes of the path per step.")
    ] = 60,
    pause: Annotated[float, typer.Option(min=0, max=3_600, help="Seconds to wait per step.")] = 1.0,
    first_hour: Annotated[int, typer.Option(min=0, help="Hour of the path to begin at.")] = 0,
    hours: Annotated[int, typer.Option(min=1, help="Hours to play.")] = 24 * 365,
    folder: DirOption = local.DEFAULT_FOLDER,
    json_: JsonOption = False,
) -> None:
    """Play a recorded price path through the real feeds, at high speed."""
    hint = "give a CSV with a column timestamp_utc"
    path = parsed(read_text(prices, what="the price file", hint=hint), prices.name)
    part = path.part(first_hour * 3_600, hours * 3_600)
    devnet = local.attach(folder)
    try:
        for step in played(devnet, part, step_seconds=step_minutes * 60, pause=pause):
            _show_step(step, json_=json_)
    finally:
        devnet.node.close()


def _show_step(step: Step, *, json_: bool) -> None:
    """Print a step as a line."""
    when = datetime.fromtimestamp(step.recorded_at, tz=UTC)
    if json_:
        document = {"step": step.number, "recorded_at": when.isoformat(), "prices": step.prices}
        prices = {symbol: str(value) for symbol, value in step.prices.items()}
        print_json(document | {"prices": prices}, "devnet-step")
        return
    shown = "  ".join(
        f"{symbol} {Decimal(step.prices[symbol]).scaleb(-PRICE_DECIMALS):,.2f}"
        for symbol in ("WETH", "WBTC", "wstETH")
        if symbol in step.prices
    )
    typer.echo(f"{step.number + 1:>5} of {step.of}  {when:%Y-%m-%d %H:%M}  {shown}")


@app.command()
def status(*, folder: DirOption = local.DEFAULT_FOLDER, json_: JsonOption = False) -> None:
    """Show block, prices and liquidatable accounts."""
    _show_status(folder, json_=json_)


@app.command()
def down(*, folder: DirOption = local.DEFAULT_FOLDER, json_: JsonOption = False) -> None:
    """Stop the chain. Its settings and logs stay in the folder."""
    ended = local.down(folder)
    if json_:
        print_json({"ended": ended}, "devnet-down")
    else:
        typer.echo(f"ended {len(ended)} process(es)" if ended else "no devnet was running")


def _show_status(folder: Path, *, json_: bool) -> None:
    answer = local.status(folder)
    if json_:
        print_json(answer, "devnet-status")
        return
    typer.echo(f"block {answer['block_number']}")
    for symbol, value in answer["prices"].items():
        typer.echo(f"{symbol:<8} {Decimal(value).scaleb(-PRICE_DECIMALS):>14,.2f} USD")
    typer.echo(f"{len(answer['unhealthy'])} of {answer['borrowers']} accounts unhealthy")
    for each in answer["unhealthy"]:
        health = Decimal(each["health_factor"]) / WAD
        typer.echo(f"{each['account']}  {health:.4f}  {each['kind']}")


def _parse_change(text: str) -> tuple[str, int]:
    """Return symbol and price (8 decimals, rounded down) of ``SYMBOL=USD``."""
    symbol, separator, value = text.partition("=")
    try:
        usd = Decimal(value)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not separator or not usd.is_finite() or usd.adjusted() > _LARGEST_EXPONENT:
        raise ConfigError(f"not a price: {text!r}", hint="write it as WETH=2600")
    return symbol, int(usd.scaleb(PRICE_DECIMALS))
