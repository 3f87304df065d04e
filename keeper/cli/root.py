"""The command ``keeper`` itself: its options, its errors, its exit codes."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from typer.core import TyperGroup

import keeper
from keeper.cli.guarding import protect_memory
from keeper.cli.lazy import LazyGroup
from keeper.domain.errors import KeeperError
from keeper.observe.redaction import one_line, redacted

BUG_EXIT: Final = 1
USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130

app = typer.Typer(
    cls=LazyGroup,
    name="keeper",
    help="Watch lending markets and liquidate the accounts that cross the line.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it with the flag)
    """Print the version and end."""
    if wanted:
        typer.echo(keeper.__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Watch lending markets and liquidate the accounts that cross the line."""
    del version, debug
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors become lines on stderr."""
    protect_memory()  # any command may hold the key: settings are read with it
    debug = "--debug" in arguments[: _end_of_options(arguments)]
    try:
        result = _command().main(list(arguments), prog_name="keeper", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED_EXIT
    except BrokenPipeError:
        _close_stdout_quietly()
        return 0
    except SystemExit as exit_:
        if isinstance(exit_.__context__, BrokenPipeError):
            _close_stdout_quietly()
            return 0
        return exit_.code if isinstance(exit_.code, int) else BUG_EXIT
    except (KeeperError, typer.TyperException, Exception) as error:  # noqa: BLE001 (the last resort)
        return _reported(error, debug=debug)
    return result if isinstance(result, int) else 0


def _command() -> TyperGroup:
    """Return the root command with its lazy subcommands."""
    command = typer.main.get_command(app)
    if not isinstance(command, TyperGroup):
        raise TypeError(type(command).__name__)
    return command


def _end_of_options(arguments: Sequence[str]) -> int:
    """Return where ``--`` ends the options, or the number of arguments."""
    return arguments.index("--") if "--" in arguments else len(arguments)


def _reported(error: Exception, *, debug: bool) -> int:
    """Print an error as its lines and return its exit code."""
    if debug:
        _print_error(redacted("".join(traceback.format_exception(error))).rstrip())
    if isinstance(error, KeeperError):
        _print_error(f"error[{error.code}]: {one_line(str(error) or type(error).__name__)}")
        if error.hint:
            _print_error(f"hint: {one_line(error.hint)}")
        return error.exit_code
    if isinstance(error, typer.TyperException):
        _print_error(f"error[usage]: {one_line(_usage_text(error))}")
        return USAGE_EXIT
    detail = one_line(str(error))
    named = type(error).__name__ + (f": {detail}" if detail else "")
    advice = "" if debug else " (run with --debug for the traceback)"
    _print_error(f"error[bug]: {named}{advice}")
    return BUG_EXIT


def _usage_text(error: typer.TyperException) -> str:
    """Return what was wrong with the command line, and where its help is."""
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context is not None else ""
    text = error.format_message()
    possibilities = getattr(error, "possibilities", None)
    if possibilities:
        nearest = ", ".join(possibilities)
        text = f"{error.message}. Did you mean {nearest}?"
    return f"{text}{where}"


def _print_error(text: str) -> None:
    """Write a line to stderr; a closed stderr is nobody's fault."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        return


def _close_stdout_quietly() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
