"""``keeper vault``. Deploys and checks the contract that pays for cures."""

import asyncio
from typing import Annotated

import typer

from keeper.cli.executor import _parse_address_option as address_option
from keeper.cli.findings import report
from keeper.cli.lazy import loaded
from keeper.cli.options import ConfigOption, InitJournalOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line
from keeper.config import load, overrides
from keeper.domain.errors import ConfigError

app = typer.Typer(help="The vault for cures: deploy, check.")

_WORK = "keeper.cli.vault_work"


@app.command()
def deploy(
    config: ConfigOption = None,
    *,
    owner: Annotated[
        str | None,
        typer.Option(
            help="Owner: a cold account; lists accounts and withdraws.", metavar="ADDRESS"
        ),
    ] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(help="May cure (repeatable); default: the hot key.", metavar="ADDRESS"),
    ] = None,
    storage_build: Annotated[
        bool, typer.Option("--storage-build", help="For chains without transient storage.")
    ] = False,
    init_journal: InitJournalOption = False,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Deploy a vault. Its owner then funds it, lists accounts and sets limits."""
    settings = load(config, overrides(override)).settings
    final = address_option(owner, "--owner")
    if final is None:
        raise ConfigError(
            "a vault holds money: its owner has to be said",
            hint="--owner 0x...: a cold account, not the hot key",
        )
    made = asyncio.run(
        loaded(f"{_WORK}:deployed")(
            settings,
            owner=final,
            operators=[
                one for text in operator or () if (one := address_option(text, "--operator"))
            ],
            storage_build=storage_build,
            init_journal=init_journal,
        )
    )
    if as_json:
        print_json({"address": made}, "vault-deploy")
    else:
        print_line(made)


@app.command()
def check(
    config: ConfigOption = None, *, as_json: JsonOption = False, override: SetOption = None
) -> None:
    """Compare the vault's code, roles, balance, limits and list with the settings."""
    settings = load(config, overrides(override)).settings
    report(asyncio.run(loaded(f"{_WORK}:checked")(settings)), as_json=as_json)
