"""``keeper doctor``: everything that can be wrong before the first block."""

import asyncio

from keeper.cli.findings import report
from keeper.cli.lazy import loaded
from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.config import overrides


def command(
    config: ConfigOption = None, *, as_json: JsonOption = False, override: SetOption = None
) -> None:
    """Check everything that can be wrong before the first block; exit code 3 if any fails."""
    examined = loaded("keeper.cli.doctor_checks:examined")
    report(asyncio.run(examined(config, overrides(override))), as_json=as_json)
