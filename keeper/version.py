"""Version of the program and hash of its source files."""

import functools
import hashlib
from pathlib import Path
from typing import Final

import keeper

_LENGTH: Final = 16


@functools.cache
def code_version() -> str:
    """Return the version, with a prefix of the SHA-256 of all source files of the package."""
    folder = Path(keeper.__file__).parent
    whole = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        whole.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{keeper.__version__}+{whole.hexdigest()[:_LENGTH]}"
