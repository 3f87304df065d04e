"""Files packed with the program: inside the package in a wheel, beside it in a checkout."""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_INSIDE: Final = _PACKAGE / "_packed"
"""Where ``setup.py`` copies them when a wheel is built."""


def packed_file(*parts: str) -> Path:
    """Return a packed file's or folder's path, by its place in the checkout; it may be missing."""
    inside = _INSIDE.joinpath(*parts)
    return inside if inside.exists() else _PACKAGE.parent.joinpath(*parts)
