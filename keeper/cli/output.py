"""Results on stdout as JSON documents and tables, safe for pipes and untrusted names."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keeper.cli.documents import print_document
from keeper.observe.redaction import one_line

PIPED_WIDTH: Final = 100_000
"""Columns when nobody looks: a pipe cuts nothing."""

Cell = str | Text


def print_json(document: object, schema: str = "") -> None:
    """Print one JSON document on one line. It must not contain floats.

    ``schema`` names its file in ``keeper/schemas``, and adds the common keys.
    """
    print_document(document, schema)


def print_line(text: str) -> None:
    """Print one line of a result unchanged."""
    sys.stdout.write(text + "\n")


def print_note(text: str) -> None:
    """Print a line of progress or advice to stderr."""
    sys.stderr.write(one_line(text) + "\n")
    sys.stderr.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a table. Plain text in a cell is never markup, whatever a token is called.

    On a terminal that is too narrow for the rows, each row becomes a block of lines (``column:
    value``), so that no address is cut or broken.
    """
    cells = [[_to_cell(cell) for cell in row] for row in rows]
    widths = [
        max([len(name), *(row[index].cell_len for row in cells)])
        for index, name in enumerate(columns)
    ]
    console = Console(width=available_width(), highlight=False, markup=False, emoji=False)
    if sum(widths) + 2 * len(widths) > console.width:
        _print_blocks(console, columns, cells)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ignore")
    for row in cells:
        table.add_row(*row)
    console.print(table, soft_wrap=not sys.stdout.isatty())


def available_width() -> int:
    """Return the terminal's columns. No limit if the output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH


def print_pairs(pairs: Mapping[str, Cell]) -> None:
    """Print ``name  value`` lines, the values aligned."""
    console = Console(width=PIPED_WIDTH, highlight=False, markup=False, emoji=False)
    longest = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        console.print(Text(f"{name:<{longest}}  ") + _to_cell(value), soft_wrap=True)


def _to_cell(value: Cell) -> Text:
    return value if isinstance(value, Text) else Text(one_line(value))


def _print_blocks(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, cell in zip(columns, row, strict=True):
            console.print(Text(f"{name}: ") + cell, soft_wrap=True)
