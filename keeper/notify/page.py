"""HTML rendering of plain text lines, escaped, with paragraphs and lists."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

POINT = "- "
"""Prefix of a list's line."""


def page(lines: Sequence[str]) -> str:
    """Render lines as HTML. Nothing in them is markup."""
    return "\n".join(_render_blocks(lines))


def _render_blocks(lines: Sequence[str]) -> Iterator[str]:
    for kind, group in groupby(lines, key=_classify_line):
        texts = [escape(one) for one in group]
        if kind == POINT:
            points = "".join(f"<li>{one.removeprefix(POINT)}</li>" for one in texts)
            yield f"<ul>{points}</ul>"
        elif kind:
            yield f"<p>{'<br>'.join(texts)}</p>"


def _classify_line(line: str) -> str:
    if not line:
        return ""
    return POINT if line.startswith(POINT) else "text"
