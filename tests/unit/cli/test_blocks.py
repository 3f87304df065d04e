"""How a block is named on the command line."""

import pytest

from keeper.cli import root
from keeper.cli.blocks import parse_block, parse_number
from keeper.domain.errors import ConfigError
from keeper.domain.head import BlockTag

HASH = "0x" + "aB" * 32


@pytest.mark.parametrize(
    ("text", "block"),
    [
        (None, None),
        ("latest", None),
        ("LATEST", None),
        ("0", 0),
        ("earliest", 0),
        ("12_345", 12_345),
        ("12,345", 12_345),
        ("0x3039", 12_345),
        ("finalized", BlockTag.FINALIZED),
        (HASH, HASH.lower()),
    ],
)
def test_a_block_has_the_names_that_other_tools_give_it(text, block):
    """Copied from an explorer, a log line or a node's own answer."""
    assert parse_block(text) == block


@pytest.mark.parametrize("text", [" ", "newest", "-1", "1.5", "0x", "0xg", "0x" + "0" * 65])
def test_what_is_no_block_is_said_with_the_ways_to_name_one(text):
    """A block that was not meant would be answered about as if it were."""
    with pytest.raises(ConfigError, match="--block takes a block") as caught:
        parse_block(text)
    assert "latest or finalized" in caught.value.hint


def test_without_a_node_a_block_is_a_number():
    """The record has no tags, and knows no other block's hash."""
    assert parse_number("0x10") == 16
    assert parse_number("latest") is None
    for text in ("finalized", HASH):
        with pytest.raises(ConfigError, match="has to be a number"):
            parse_number(text)


COMMANDS = ["scan", "stress --shock WETH=-1%", "explain 0x1", "audit book"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_at_a_block_takes_these_names(command, capsys, tmp_path, monkeypatch):
    """A slip is told before anything is asked of anybody."""
    monkeypatch.chdir(tmp_path)

    assert root.run([*command.split(), "--block", "newest"]) == 2
    assert "newest" in capsys.readouterr().err
