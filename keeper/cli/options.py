"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings file; default: $KEEPER_CONFIG, then ./keeper.toml.",
        show_default=False,
    ),
]
"""``--config FILE``; hand it to ``keeper.config.load``."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
"""``--json``."""

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting, as in --set policy.min_profit_usd=10 (repeatable).",
        show_default=False,
    ),
]
"""``--set KEY=VALUE``; turn it into overrides with ``keeper.config.overrides``."""

InitJournalOption = Annotated[
    bool,
    typer.Option("--init-journal", help="Start a new journal for a key that was already used."),
]
"""``--init-journal``; hand it to whatever opens the journal for signing."""
