"""
Released builds of the executor, known by the hash of their runtime code.

Pure but for one packed file, ``releases.json``: a build's hash is taken with its immutables
(32 bytes each, at the offsets that the compiler states) set to zero.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from eth_hash.auto import keccak

from keeper.chain.abi import WORD
from keeper.domain.errors import EnvironmentFault

CURRENT: Final = 2
"""The version that ``executor deploy`` deploys."""
LACKS: Final = {
    1: (
        "no cap of the builder's share: a stolen operator key can give away each profit",
        "no floor of sales: a stolen operator key can sell each bonus to a pool of its own",
        "no gas of each step in its reports",
    ),
    2: (),
}
"""Features that each version lacks, compared with the current one."""

_FILE: Final = Path(__file__).with_name("releases.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One build of one version."""

    version: int
    name: str
    size: int
    immutables: tuple[int, ...]
    code_hash: bytes

    @property
    def lacks(self) -> Sequence[str]:
        """Features that it lacks compared with the current version, a sentence each."""
        return LACKS[self.version]

    def matches(self, code: bytes) -> bool:
        """Return whether runtime code is of this build, with one address in all its immutables."""
        if len(code) != self.size:
            return False
        places = [code[start : start + WORD] for start in self.immutables]
        return len(set(places)) == 1 and masked_hash(code, self.immutables) == self.code_hash


def masked_hash(code: bytes, immutables: Sequence[int]) -> bytes:
    """Return the keccak hash of runtime code with its immutables set to zero."""
    masked = bytearray(code)
    for start in immutables:
        masked[start : start + WORD] = bytes(WORD)
    return bytes(keccak(bytes(masked)))


def find_release(code: bytes) -> Release | None:
    """Find the release of runtime code. None if it is of no release."""
    return next((release for release in releases() if release.matches(code)), None)


@cache
def releases() -> tuple[Release, ...]:
    """
    Return every released build.

    Raises:
        EnvironmentFault: the installation lacks the file.
    """
    try:
        entries = json.loads(_FILE.read_text(encoding="utf-8"))
        return tuple(
            Release(
                version=int(entry["version"]),
                name=str(entry["name"]),
                size=int(entry["bytes"]),
                immutables=tuple(map(int, entry["immutables"])),
                code_hash=bytes.fromhex(str(entry["hash"]).removeprefix("0x")),
            )
            for entry in entries
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise EnvironmentFault("the list of executor releases is missing or broken") from None
