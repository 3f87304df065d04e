"""Parses block arguments, a number, a hash or a tag."""

import re
from typing import Annotated, Final

import typer

from keeper.domain.errors import ConfigError
from keeper.domain.head import BlockName, BlockTag
from keeper.domain.units import BlockHash

BlockOption = Annotated[
    str | None,
    typer.Option(
        "--block",
        metavar="BLOCK",
        help="At this block: a number (also 0x...), a hash, latest or finalized.",
        show_default=False,
    ),
]
"""``--block``; turn it into a block by ``parse_block``."""

_LATEST: Final = "latest"
_EARLIEST: Final = "earliest"
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,16}")
_DECIMAL: Final = re.compile(r"[0-9]{1,18}")


def parse_block(text: str | None) -> BlockName:
    """Parse a block option. None for the newest.

    Raises:
        ConfigError: it is not a block.
    """
    name = (text or _LATEST).strip().lower().replace("_", "").replace(",", "")
    if name in (_LATEST, _EARLIEST):
        return None if name == _LATEST else 0
    if name == BlockTag.FINALIZED:
        return BlockTag.FINALIZED
    if _HASH.fullmatch(name):
        return BlockHash(name)
    if _HEX.fullmatch(name):
        return int(name, 16)
    if _DECIMAL.fullmatch(name):
        return int(name)
    raise ConfigError(
        f"--block takes a block, not {text!r}",
        hint="a number (12345 or 0x3039), a hash, latest or finalized",
    )


def parse_number(text: str | None) -> int | None:
    """Parse a block number for an answer without a node. None for the newest.

    Raises:
        ConfigError: it is a hash or a tag.
    """
    block = parse_block(text)
    if block is None or isinstance(block, int):
        return block
    raise ConfigError(
        f"without a node a block has to be a number, not {text!r}", hint="leave out --recorded"
    )
