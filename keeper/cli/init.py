"""``keeper init``. Writes a commented settings file and an empty ``.env``."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from keeper.chain.abi import checksum
from keeper.chain.reader import connect
from keeper.cli.init_markets import FoundMarket, find_markets, market_sections
from keeper.cli.output import print_line, print_note
from keeper.domain.errors import ConfigError, EnvironmentFault
from keeper.domain.units import Address
from keeper.exposure import open_private
from keeper.packed import packed_file

ZERO = "0x" + "0" * 40


def command(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; default: this one.")] = Path(),
    *,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="A node, to read the chain id from.")
    ] = None,
    aave: Annotated[
        list[str] | None,
        typer.Option(
            "--aave",
            metavar="PROVIDER",
            help="PoolAddressesProvider of an Aave v3 market (repeatable).",
        ),
    ] = None,
    morpho: Annotated[
        list[str] | None,
        typer.Option(
            "--morpho",
            metavar="ADDRESS",
            help="Address of Morpho Blue.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a commented keeper.toml and .env, with the markets' first blocks."""
    settings, secrets = folder / "keeper.toml", folder / ".env"
    for path in (settings, secrets):
        if path.exists() and not force:
            raise ConfigError(f"{path} exists", hint="name another folder, or overwrite: --force")
    text = _read_template("keeper.example.toml")
    providers, deployments = _parse_addresses("--aave", aave), _parse_addresses("--morpho", morpho)
    if endpoint is not None:
        chain_id, markets = asyncio.run(_fetch_markets(endpoint, providers, deployments))
        text = _insert_markets(_fill_template(text, endpoint, chain_id), markets)
    elif providers or deployments:
        raise ConfigError("--aave and --morpho need a node", hint="name one: --endpoint wss://...")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(settings, text)
    _write(secrets, _read_template(".env.example"))
    print_line(f"{settings}: set the addresses in it, then run `keeper doctor`")
    print_line(f"{secrets}: for secrets; only you can read it")


def _parse_addresses(option: str, given: Sequence[str] | None) -> list[Address]:
    """Parse an option's addresses. ConfigError if one is invalid."""
    found = list[Address]()
    for text in given or ():
        try:
            found.append(checksum(text))
        except ValueError as error:
            raise ConfigError(f"{option} {text}: {error}", hint="0x and 40 hex digits") from None
    return found


async def _fetch_markets(
    endpoint: str, providers: Sequence[Address], deployments: Sequence[Address]
) -> tuple[int, list[FoundMarket]]:
    """Return the chain's id and the markets, with the first blocks that can be found."""
    async with connect([endpoint]) as reader:
        chain_id = await reader.chain_id()
        if not providers and not deployments:
            return chain_id, []
        print_note("looking for the first block of each market")
        return chain_id, await find_markets(reader, providers, deployments)


def _insert_markets(text: str, markets: Sequence[FoundMarket]) -> str:
    """Replace the example's markets in the settings by these."""
    if not markets:
        return text
    for market in markets:
        print_line(market.line)
    start, end = text.index("[[market]]"), text.index("[[venue]]")
    return text[:start] + market_sections(markets) + "\n" + text[end:]


def _read_template(name: str) -> str:
    """Read one of the packed example files."""
    try:
        return packed_file(name).read_text(encoding="utf-8")
    except OSError:
        raise EnvironmentFault(
            f"this installation lacks {name}", hint="install it again from its wheel or a checkout"
        ) from None


def _fill_template(text: str, endpoint: str, chain_id: int) -> str:
    """Fill the chain and the endpoint, which may hold a key, into the template."""
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
    """Write a file that only its owner may read."""
    scratch = path.with_name(f".{path.name}.new")
    with os.fdopen(open_private(scratch), "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)
