"""``keeper key``. Creates, imports and checks the hot key."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from keeper.cli.findings import report
from keeper.cli.lazy import loaded
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line
from keeper.config import load, overrides

app = typer.Typer(help="The hot key: create, import, check.")

_WORK = "keeper.cli.key_work"

FileArgument = Annotated[Path, typer.Argument(help="The keystore file to write.")]
PasswordOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file", metavar="FILE", help="File with the password; without it you are asked."
    ),
]


@app.command()
def new(
    file: FileArgument = Path("key.json"),
    *,
    password_file: PasswordOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a key and store it encrypted (keystore v3, mode 0600)."""
    _print_address(loaded(f"{_WORK}:made")(file, password_file), as_json=as_json)


@app.command("import")
def import_(
    file: FileArgument = Path("key.json"),
    *,
    password_file: PasswordOption = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with the private key in hex; without it you are asked."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Store an existing private key encrypted."""
    _print_address(loaded(f"{_WORK}:imported")(file, password_file, key_file), as_json=as_json)


@app.command()
def check(
    config: ConfigOption = None, *, as_json: JsonOption = False, override: SetOption = None
) -> None:
    """Check the configured key (address, no code, nonce, balance, not a development key)."""
    settings = load(config, overrides(override)).settings
    report(asyncio.run(loaded(f"{_WORK}:checked")(settings)), as_json=as_json)


def _print_address(address: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"address": address}, "key-address")
    else:
        print_line(address)
