"""``keeper devnet``: a local chain of real contracts."""

import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from keeper.cli.options import JsonOption
from keeper.cli.output import print_note
from keeper.devnet import local
from keeper.devnet.assets import PRICE_DECIMALS
from keeper.devnet.market import PROTOCOLS
from keeper.domain.errors import ConfigError
from keeper.domain.units import WAD

app = typer.Typer(
    help="A local chain of real contracts to try things on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_LARGEST_EXPONENT = 20

DirOption = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="The devnet's folder.", show_default=True)
]


@app.command()
def up(
    *,
    aave: Annotated[str, typer.Option(help="The version of Aave: 3.6 or 3.0.")] = "3.6",
    protocol: Annotated[
        str, typer.Option(help=f"Whose borrowers: {', '.join(PROTOCOLS)}, or {local.BOTH}.")
    ] = PROTOCOLS[0],
    borrowers: Annotated[int, typer.Option(help="How many borrowers of each protocol.")] = 32,
    seed: Annotated[int, typer.Option(help="The seed that borrowers are made from.")] = 1,
    block_time: Annotated[
        int, typer.Option(help="Seconds between blocks; 0 for a block per transaction.")
    ] = 0,
    fork: Annotated[bool, typer.Option("--fork", help="Run on a fork of the chain.")] = False,
    port: Annotated[int, typer.Option(help="The port; 0 for any free one.")] = 0,
    folder: DirOption = local.DEFAULT_FOLDER,
    json_: JsonOption = False,  # noqa: ARG001 (the answer is JSON either way)
) -> None:
    """Start a chain with a lending market; print what a keeper needs, write a keeper.toml."""
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
    typer.echo(json.dumps(answer, indent=2))
    print_note(f"{', '.join(answer['protocols'])}: {answer['borrowers']} borrowers are there.")
    print_note(f"try: keeper scan --config {answer['config']}")


@app.command()
def price(
    changes: Annotated[list[str], typer.Argument(metavar="SYMBOL=USD...", help="New prices.")],
    *,
    leave_pools: Annotated[
        bool, typer.Option("--leave-pools", help="Leave the exchange's pools where they are.")
    ] = False,
    folder: DirOption = local.DEFAULT_FOLDER,
    json_: JsonOption = False,
) -> None:
    """Move prices through the real feeds, and the pools with them, in one block."""
    wanted = dict(_change(text) for text in changes)
    devnet = local.attach(folder)
    devnet.set_prices(wanted, leave_pools=leave_pools)
    devnet.node.close()
    _show_status(folder, json_=json_)


@app.command()
def status(*, folder: DirOption = local.DEFAULT_FOLDER, json_: JsonOption = False) -> None:
    """Show block, prices and the accounts that can be liquidated."""
    _show_status(folder, json_=json_)


@app.command()
def down(*, folder: DirOption = local.DEFAULT_FOLDER, json_: JsonOption = False) -> None:
    """Stop the chain; its settings and logs stay in the folder."""
    ended = local.down(folder)
    if json_:
        typer.echo(json.dumps({"ended": ended}))
    else:
        typer.echo(f"ended {len(ended)} process(es)" if ended else "no devnet was running")


def _show_status(folder: Path, *, json_: bool) -> None:
    answer = local.status(folder)
    if json_:
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(f"block {answer['block_number']}")
    for symbol, value in answer["prices"].items():
        typer.echo(f"{symbol:<8} {Decimal(value).scaleb(-PRICE_DECIMALS):>14,.2f} USD")
    typer.echo(f"{len(answer['unhealthy'])} of {answer['borrowers']} accounts unhealthy")
    for each in answer["unhealthy"]:
        health = Decimal(each["health_factor"]) / WAD
        typer.echo(f"{each['account']}  {health:.4f}  {each['kind']}")


def _change(text: str) -> tuple[str, int]:
    """Return symbol and price (8 decimals, rounded down) of ``SYMBOL=USD``."""
    symbol, separator, value = text.partition("=")
    try:
        usd = Decimal(value)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not separator or not usd.is_finite() or usd.adjusted() > _LARGEST_EXPONENT:
        raise ConfigError(f"not a price: {text!r}", hint="write it as WETH=2600")
    return symbol, int(usd.scaleb(PRICE_DECIMALS))
