"""
Build our contracts: ``python -m contracts.build`` writes ``contracts/abi``, ``--check`` compares.

One source, two builds: what lives for one call is in transient storage, or in storage
slots for chains without it. The library ``slots/Slots.sol`` is remapped accordingly.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keeper.devnet.toolchain import compile_solidity
from keeper.domain.errors import KeeperError

CONTRACTS: Final = Path(__file__).resolve().parent
SOLC_VERSION: Final = "0.8.27"
_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "([^"]+)";', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """
    One way to compile a contract: the artifact's name, the slots, the EVM it may use.

    ``folder`` is where the source is, below ``contracts/src``.
    """

    contract: str
    name: str
    slots: str
    evm_version: str
    folder: str = ""

    @property
    def file(self) -> Path:
        """Where the artifact is kept."""
        return CONTRACTS / "abi" / f"{self.name}.json"

    @property
    def settings(self) -> dict[str, Any]:
        """The compiler's settings, except for what it shall output."""
        return {
            "evmVersion": self.evm_version,
            "metadata": {"bytecodeHash": "none", "appendCBOR": False},
            "optimizer": {"enabled": True, "runs": 1000},
            "remappings": [f"slots/=src/slots/{self.slots}/"],
            "viaIR": True,
        }


BUILDS: Final = (
    Build(
        contract="LiquidationExecutor",
        name="LiquidationExecutor",
        slots="transient",
        evm_version="cancun",
    ),
    Build(
        contract="LiquidationExecutor",
        name="LiquidationExecutorStorage",
        slots="storage",
        evm_version="paris",
    ),
)
"""The executor's."""

VAULT_BUILDS: Final = (
    Build(contract="CureVault", name="CureVault", slots="transient", evm_version="cancun"),
    Build(contract="CureVault", name="CureVaultStorage", slots="storage", evm_version="paris"),
)
"""The vault's."""

READ_BUILDS: Final = (
    Build(
        contract="ReadAggregator",
        name="ReadAggregator",
        slots="storage",
        evm_version="paris",
        folder="lens",
    ),
)
"""Those of code that is deployed nowhere."""


def compiled(build: Build) -> dict[str, Any]:
    """
    Return the artifact of one build; the same bytes on every machine.

    Raises:
        EnvironmentFault: the sources do not compile, or the compiler could not be fetched.
    """
    source = str(Path("src") / build.folder / f"{build.contract}.sol")
    sources = {str(path.relative_to(CONTRACTS)): path for path in _needed(build, source)}
    deployed = ("object", "immutableReferences")
    parts = ["abi", "evm.bytecode.object", *(f"evm.deployedBytecode.{part}" for part in deployed)]
    outputs = {"*": {"*": parts}}
    contract = compile_solidity(sources, settings=build.settings | {"outputSelection": outputs})[
        source
    ][build.contract]
    return {
        "contractName": build.name,
        "source": f"contracts/{source}",
        "compiler": {"version": SOLC_VERSION, "settings": build.settings},
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + contract["evm"]["deployedBytecode"]["object"],
        "immutables": sorted(
            place["start"]
            for places in contract["evm"]["deployedBytecode"]["immutableReferences"].values()
            for place in places
        ),
    }


def _needed(build: Build, source: str) -> list[Path]:
    """Return a source and all that it imports, in order."""
    found, open_ = set[Path](), [CONTRACTS / source]
    while open_:
        path = open_.pop()
        if path not in found:
            found.add(path)
            for name in _IMPORT.findall(path.read_text()):
                slots = CONTRACTS / "src" / "slots" / build.slots / name.removeprefix("slots/")
                plain = (path.parent / name).resolve()
                open_.append(slots if name.startswith("slots/") else plain)
    return sorted(found)


def main() -> int:
    """Write the artifacts, or with ``--check`` say which are not what the sources give."""
    parser = argparse.ArgumentParser(description="Build our contracts' ABI and bytecode.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    stale = []
    for build in BUILDS + VAULT_BUILDS + READ_BUILDS:
        try:
            text = json.dumps(compiled(build), indent=1) + "\n"
        except KeeperError as error:
            sys.stderr.write(f"error: {error}\n")
            return error.exit_code
        if not check:
            build.file.write_text(text)
        elif not build.file.is_file() or build.file.read_text() != text:
            stale.append(build.name)
    if stale:
        sys.stderr.write(f"error: not what the sources give: {', '.join(stale)}\n")
        sys.stderr.write("hint: run python -m contracts.build\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
