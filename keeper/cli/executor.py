"""``keeper executor``. Deploys, checks and sweeps the on-chain executor."""

import asyncio
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from keeper.cli.findings import report
from keeper.cli.lazy import loaded
from keeper.cli.options import ConfigOption, InitJournalOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line
from keeper.config import AddressText, Settings, load, overrides
from keeper.domain.errors import ConfigError
from keeper.domain.units import BPS, Address

app = typer.Typer(help="The on-chain executor: deploy, check, sweep.")

_WORK = "keeper.cli.executor_work"
_DEPLOY = "keeper.cli.executor_deploy"

NameOption = Annotated[
    str | None,
    typer.Option(
        "--name", help="Name of the [[executor]]; default: the first.", show_default=False
    ),
]


@app.command()
def deploy(
    config: ConfigOption = None,
    *,
    owner: Annotated[
        str | None, typer.Option(help="Owner: a cold account.", metavar="ADDRESS")
    ] = None,
    receiver: Annotated[
        str | None, typer.Option(help="Receives the profit; default: the owner.", metavar="ADDRESS")
    ] = None,
    operator: Annotated[
        list[str] | None,
        typer.Option(help="May liquidate (repeatable); default: the hot key.", metavar="ADDRESS"),
    ] = None,
    storage_build: Annotated[
        bool, typer.Option("--storage-build", help="For chains without transient storage.")
    ] = False,
    min_sale_bps: Annotated[
        int,
        typer.Option(
            "--min-sale-bps",
            min=0,
            max=BPS,
            help="Least proceeds of a sale, in 1/10,000 of the oracle price; 0: none.",
        ),
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deploying.")] = False,
    another: Annotated[bool, typer.Option("--another", help="Deploy another executor.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Write the executor into the settings file.")
    ] = False,
    init_journal: InitJournalOption = False,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Deploy an executor for the configured markets and venues."""
    known = load(config, overrides(override))
    wanted = loaded(f"{_DEPLOY}:Deployment")(
        owner=_parse_address_option(owner, "--owner"),
        receiver=_parse_address_option(receiver, "--receiver"),
        operators=[
            address
            for text in operator or ()
            if (address := _parse_address_option(text, "--operator"))
        ],
        storage_build=storage_build,
        min_sale_bps=min_sale_bps,
        init_journal=init_journal,
        assume_yes=yes,
        another=another,
        write_to=known.path if write else None,
    )
    made = asyncio.run(loaded(f"{_DEPLOY}:deploy_executor")(known.settings, wanted))
    if as_json:
        print_json({"address": made}, "executor-deploy")
    else:
        print_line(made)


@app.command()
def check(
    config: ConfigOption = None,
    *,
    name: NameOption = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Check code, roles, allow-lists, balances and allowances of an executor."""
    settings = load(config, overrides(override)).settings
    report(
        asyncio.run(loaded(f"{_WORK}:checked")(settings, _find_configured(settings, name))),
        as_json=as_json,
    )


@app.command()
def sweep(
    config: ConfigOption = None,
    *,
    name: NameOption = None,
    to: Annotated[
        str | None, typer.Option(help="Destination; default: the receiver.", metavar="ADDRESS")
    ] = None,
    token: Annotated[
        list[str] | None,
        typer.Option(help="Only this token (repeatable); default: all.", metavar="ADDRESS"),
    ] = None,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Send tokens left in the executor away. Needs the owner's key."""
    settings = load(config, overrides(override)).settings
    sent = asyncio.run(
        loaded(f"{_WORK}:swept")(
            settings,
            _find_configured(settings, name),
            _parse_address_option(to, "--to"),
            [one for text in token or () if (one := _parse_address_option(text, "--token"))],
        )
    )
    if as_json:
        print_json({"swept": sent}, "executor-sweep")
        return
    for one in sent:
        print_line(f"{one['amount']} of {one['token']} to {one['to']} in {one['transaction']}")
    if not sent:
        print_line("nothing lies in the executor")


def _find_configured(settings: Settings, name: str | None) -> Address:
    """Return the named executor's address, or the first one's."""
    known = {one.name: one.address for one in settings.executor}
    if not known:
        raise ConfigError("no executor is configured", hint="keeper executor deploy")
    if name is not None and name not in known:
        raise ConfigError(f"there is no executor {name!r}", hint=f"executors: {', '.join(known)}")
    return known[name] if name is not None else next(iter(known.values()))


def _parse_address_option(text: str | None, option: str) -> Address | None:
    """Parse an option's address, as strictly as the settings' ones."""
    if text is None:
        return None
    try:
        return TypeAdapter[Address](AddressText).validate_python(text)
    except ValidationError as error:
        context = error.errors()[0].get("ctx", {})
        raise ConfigError(f"{option}: {context['reason']}", hint=str(context["hint"])) from None
