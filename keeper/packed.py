"""Files packed with the program, inside the package in a wheel and beside it in a checkout."""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_INSIDE: Final = _PACKAGE / "_packed"
"""Where ``setup.py`` copies them when a wheel is built."""


def packed_file(*parts: str) -> Path:
    """Return the path of a packed file or folder by its path in the checkout. It may be missing."""
    inside = _INSIDE.joinpath(*parts)
    return inside if inside.exists() else _PACKAGE.parent.joinpath(*parts)
