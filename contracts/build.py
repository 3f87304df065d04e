"""
Build the executor: ``python -m contracts.build`` writes ``contracts/abi``, ``--check`` compares.

One source, two builds: what lives for one call is in transient storage, or in storage
slots for chains without it. The library ``slots/Slots.sol`` is remapped accordingly.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keeper.devnet.toolchain import compile_solidity
from keeper.domain.errors import KeeperError

CONTRACTS: Final = Path(__file__).resolve().parent
SOLC_VERSION: Final = "0.8.27"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One way to compile the executor: the artifact's name, the slots, the EVM it may use."""

    name: str
    slots: str
    evm_version: str

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
    Build(name="LiquidationExecutor", slots="transient", evm_version="cancun"),
    Build(name="LiquidationExecutorStorage", slots="storage", evm_version="paris"),
)


def compiled(build: Build) -> dict[str, Any]:
    """
    Return the artifact of one build; the same bytes on every machine.

    Raises:
        EnvironmentFault: the sources do not compile, or the compiler could not be fetched.
    """
    sources = {
        str(path.relative_to(CONTRACTS)): path
        for path in sorted((CONTRACTS / "src").rglob("*.sol"))
        if "slots" not in path.parts or build.slots in path.parts
    }
    outputs = {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}}
    source = "src/LiquidationExecutor.sol"
    contract = compile_solidity(sources, settings=build.settings | {"outputSelection": outputs})[
        source
    ]["LiquidationExecutor"]
    return {
        "contractName": build.name,
        "source": f"contracts/{source}",
        "compiler": {"version": SOLC_VERSION, "settings": build.settings},
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + contract["evm"]["deployedBytecode"]["object"],
    }


def main() -> int:
    """Write the artifacts, or with ``--check`` say which are not what the sources give."""
    parser = argparse.ArgumentParser(description="Build the executor's ABI and bytecode.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    stale = []
    for build in BUILDS:
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
