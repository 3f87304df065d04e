"""Registry of commands. A command's module is imported when it is invoked."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from keeper.domain.errors import EnvironmentFault


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """Location of a command as ``module:attribute``, and its line in the list of commands."""

    target: str
    help: str


COMMANDS: Final[Mapping[str, CommandSpec]] = {
    "init": CommandSpec(
        target="keeper.cli.init:command", help="Write a commented keeper.toml and .env."
    ),
    "doctor": CommandSpec(
        target="keeper.cli.doctor:command",
        help="Check settings, nodes, contracts and keys, with a fix for each problem.",
    ),
    "run": CommandSpec(
        target="keeper.cli.run:command", help="Watch the chain and liquidate what pays."
    ),
    "scan": CommandSpec(
        target="keeper.cli.scan:command", help="List liquidatable accounts and those close to it."
    ),
    "explain": CommandSpec(
        target="keeper.cli.explain:command",
        help="Show why an account was liquidated or skipped.",
    ),
    "calls": CommandSpec(
        target="keeper.cli.calls:app", help="Open margin calls: list, acknowledge."
    ),
    "stress": CommandSpec(
        target="keeper.cli.stress:command", help="Estimate the effect of price moves."
    ),
    "rehearse": CommandSpec(
        target="keeper.cli.rehearse:command",
        help="Backtest policies on a recorded price path.",
    ),
    "audit": CommandSpec(
        target="keeper.cli.audit:app",
        help="Check the accounts against the chain, the record against its hashes.",
    ),
    "replay": CommandSpec(
        target="keeper.cli.replay:command",
        help="Recompute recorded decisions and compare them.",
    ),
    "report": CommandSpec(target="keeper.cli.report:app", help="Report fairness and profit."),
    "tx": CommandSpec(target="keeper.cli.tx:app", help="Transactions: list, show, bump, cancel."),
    "notify": CommandSpec(
        target="keeper.cli.notify:app", help="Notifications: test channels, list messages, retry."
    ),
    "breaker": CommandSpec(
        target="keeper.cli.breaker:app", help="Circuit breakers: list, reset, pause, resume."
    ),
    "executor": CommandSpec(
        target="keeper.cli.executor:app", help="The on-chain executor: deploy, check, sweep."
    ),
    "vault": CommandSpec(target="keeper.cli.vault:app", help="The vault for cures: deploy, check."),
    "key": CommandSpec(target="keeper.cli.key:app", help="The hot key: create, import, check."),
    "config": CommandSpec(target="keeper.cli.settings:app", help="Settings: show, check."),
    "devnet": CommandSpec(
        target="keeper.cli.devnet:app", help="A local chain with real contracts."
    ),
}
"""Every command, in the order of the help text."""


def loaded(target: str) -> Any:  # noqa: ANN401 (any attribute of any module)
    """Import a module and return its attribute, from ``module:attribute``.

    Raises:
        EnvironmentFault: this installation has no such module.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"this installation lacks the module {error.name}", hint="run scripts/setup again"
        ) from error


class LazyGroup(TyperGroup):
    """A group that lists its commands from ``COMMANDS`` and imports only the invoked one."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 (handed on unchanged)
        super().__init__(**attributes)
        for name, spec in COMMANDS.items():
            self.add_command(TyperCommand(name, help=spec.help, rich_markup_mode=None))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 (typer's own types are private)
        """Return the named command, imported. The base class reports an unknown name."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        if name is None or placeholder is None:
            return name, placeholder, rest
        return name, command_named(name), rest


def command_named(name: str) -> TyperCommand | TyperGroup:
    """Return the real command, a function or a ``typer.Typer`` with subcommands."""
    spec = COMMANDS[name]
    target = loaded(spec.target)
    if not isinstance(target, typer.Typer):
        single = typer.Typer()
        single.command()(target)
        target = single
    elif not target.registered_callback:
        target.callback()(_keep_group)
    target._add_completion = False  # noqa: SLF001 (the root has it; typer offers no setter)
    target.rich_markup_mode = None
    command = typer.main.get_command(target)
    if not isinstance(command, TyperCommand | TyperGroup):
        raise EnvironmentFault(f"{spec.target} is not a command")
    command.name = name
    command.help = command.help or spec.help
    _accept_debug(command)
    return command


def _keep_group() -> None:
    """Keep a group with a single command as a group."""


def _accept_debug(command: TyperCommand | TyperGroup) -> None:
    """Add ``--debug`` to every command of the tree. ``keeper.__main__`` reads it."""
    if isinstance(command, TyperGroup):
        for child in command.commands.values():
            if isinstance(child, TyperCommand | TyperGroup):
                _accept_debug(child)
        return
    command.params.extend(_build_debug_command().params)


def _build_debug_command() -> TyperCommand:
    """Build a command with ``--debug`` as its only parameter."""
    carrier = typer.Typer(add_completion=False)
    carrier.command()(_hold_debug_option)
    command = typer.main.get_command(carrier)
    if not isinstance(command, TyperCommand):
        raise TypeError(type(command).__name__)
    return command


def _hold_debug_option(
    *,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error.", expose_value=False),
    ] = False,
) -> None:
    """Carry the declaration of the option. Never called."""
    del debug
