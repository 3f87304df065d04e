"""``keeper init``: a commented settings file and an empty ``.env``."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from keeper.chain.reader import connect
from keeper.cli.output import print_line
from keeper.domain.errors import ConfigError, EnvironmentFault

TEMPLATES = Path(__file__).resolve().parents[2]
ZERO = "0x" + "0" * 40


def command(
    folder: Annotated[Path, typer.Argument(help="Where to write; default here.")] = Path(),
    *,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="A node; its chain id is asked for.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a commented keeper.toml and .env; asks nothing that the chain can answer."""
    settings, secrets = folder / "keeper.toml", folder / ".env"
    for path in (settings, secrets):
        if path.exists() and not force:
            raise ConfigError(f"{path} exists", hint="name another folder, or overwrite: --force")
    text = _template("keeper.example.toml")
    if endpoint is not None:
        text = _filled(text, endpoint, asyncio.run(_chain_id(endpoint)))
    folder.mkdir(parents=True, exist_ok=True)
    _write(settings, text)
    _write(secrets, _template(".env.example"))
    print_line(f"{settings}: set the addresses in it, then run `keeper doctor`")
    print_line(f"{secrets}: for secrets; only you can read it")


def _template(name: str) -> str:
    """Return one of the example files of the checkout."""
    try:
        return (TEMPLATES / name).read_text(encoding="utf-8")
    except OSError:
        raise EnvironmentFault(
            f"this installation lacks {name}", hint="run from a source checkout"
        ) from None


async def _chain_id(endpoint: str) -> int:
    async with connect([endpoint]) as reader:
        return await reader.chain_id()


def _filled(text: str, endpoint: str, chain_id: int) -> str:
    """Return the template with this chain; the endpoint may hold a key, the file is 0600."""
    lines = []
    for line in text.splitlines():
        if line.startswith("id = "):
            lines.append(f"id = {chain_id}")
        elif line.startswith("endpoints = "):
            quoted = endpoint.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'endpoints = ["{quoted}"]')
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whatever was there before."""
    scratch = path.with_name(f".{path.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)
