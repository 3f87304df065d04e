"""The root command ``keeper`` with its options, errors and exit codes."""

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

import typer
from typer.core import TyperGroup

import keeper
from keeper.cli.documents import Failure, begin, has_printed, print_failure
from keeper.cli.guarding import protect_memory
from keeper.cli.lazy import LazyGroup
from keeper.cli.plain_text import use_plain_text
from keeper.cli.streams import explain_unwritable, open_closed_streams
from keeper.domain.errors import KeeperError
from keeper.observe.redaction import one_line, redacted

BUG_EXIT: Final = 1
USAGE_EXIT: Final = 2
INTERRUPTED_EXIT: Final = 130

app = typer.Typer(
    cls=LazyGroup,
    name="keeper",
    help="Watch lending markets and liquidate accounts whose health factor is below 1.",
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
    """Show the help if no command is given."""
    del version, debug
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Errors become lines on stderr.

    With ``--json`` an error is also a document on stdout, unless one was printed already.
    """
    open_closed_streams()
    protect_memory()  # any command may hold the key: settings are read with it
    use_plain_text()
    begin()
    options = arguments[: _find_end_of_options(arguments)]
    debug = "--debug" in options
    try:
        result = _build_command().main(list(arguments), prog_name="keeper", standalone_mode=False)
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
        failure = _report_error(explain_unwritable(error), debug=debug)
        if "--json" in options and not has_printed():
            with contextlib.suppress(OSError):
                print_failure(failure, as_event=_is_run(options))
        return failure.exit_code
    return result if isinstance(result, int) else 0


def _build_command() -> TyperGroup:
    """Return the root command with its lazy subcommands."""
    command = typer.main.get_command(app)
    if not isinstance(command, TyperGroup):
        raise TypeError(type(command).__name__)
    return command


def _find_end_of_options(arguments: Sequence[str]) -> int:
    """Return the index of ``--``, which ends the options, or the number of arguments."""
    return arguments.index("--") if "--" in arguments else len(arguments)


def _is_run(options: Sequence[str]) -> bool:
    """Return whether the command prints events, one per line."""
    return next((one for one in options if not one.startswith("-")), "") == "run"


def _report_error(error: Exception, *, debug: bool) -> Failure:
    """Print an error as its lines, and return it for scripts."""
    if debug:
        _print_error(redacted("".join(traceback.format_exception(error))).rstrip())
    if isinstance(error, KeeperError):
        known = _build_failure(error, str(error) or type(error).__name__, error.hint)
        _print_error(f"error[{known.code}]: {known.message}")
        if known.hint:
            _print_error(f"hint: {known.hint}")
        problems = getattr(error, "problems", ())
        return replace(
            known, others=tuple(_build_failure(error, str(one), one.hint) for one in problems)
        )
    if isinstance(error, typer.TyperException):
        text = one_line(_format_usage_error(error))
        _print_error(f"error[usage]: {text}")
        return Failure(code="usage", message=text, hint="", exit_code=USAGE_EXIT)
    detail = one_line(str(error))
    named = type(error).__name__ + (f": {detail}" if detail else "")
    advice = "" if debug else " (run with --debug for the traceback)"
    _print_error(f"error[bug]: {named}{advice}")
    return Failure(code="bug", message=named, hint="", exit_code=BUG_EXIT)


def _build_failure(error: KeeperError, message: str, hint: str) -> Failure:
    return Failure(
        code=error.code,
        message=one_line(message),
        hint=one_line(hint),
        exit_code=error.exit_code,
    )


def _format_usage_error(error: typer.TyperException) -> str:
    """Return the usage error of the command line, with a reference to its help."""
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context is not None else ""
    text = error.format_message()
    possibilities = getattr(error, "possibilities", None)
    if possibilities:
        nearest = ", ".join(possibilities)
        text = f"{error.message}. Did you mean {nearest}?"
    return f"{text}{where}"


def _print_error(text: str) -> None:
    """Write a line to stderr. A closed stderr is ignored."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        return


def _close_stdout_quietly() -> None:
    """Redirect stdout to the null device, so that the interpreter's last flush succeeds."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
