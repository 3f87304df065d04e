"""``keeper doctor``. Checks everything that can be wrong before the first block."""

import asyncio
from typing import Annotated

import typer

from keeper.cli.findings import report
from keeper.cli.lazy import loaded
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.config import overrides


def command(
    config: ConfigOption = None,
    *,
    heads: Annotated[
        int,
        typer.Option("--heads", min=1, max=100, help="Number of blocks to test at each endpoint."),
    ] = 3,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Check settings, nodes, contracts and keys. Exit code 3 if a check fails."""
    examined = loaded("keeper.cli.doctor_checks:examined")
    report(asyncio.run(examined(config, overrides(override), heads)), as_json=as_json)
