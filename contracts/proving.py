"""
Build what ``scripts/halmos`` proves: ``python -m contracts.proving FOLDER`` writes it.

Halmos reads what Foundry leaves in ``out``. We have no Foundry, so the same files are written
from solc-js, and a command named ``forge`` that does nothing stands beside them.
"""

import json
import sys
from pathlib import Path
from typing import Any

from contracts.build import CONTRACTS, SOLC_VERSION, VAULT_BUILDS
from keeper.devnet.toolchain import ensure_packages, run_compiler

PROVEN = CONTRACTS.parent / "tests" / "contracts" / "Proven.sol"
OUTPUTS = ("abi", "evm.bytecode", "evm.deployedBytecode", "evm.methodIdentifiers")


def main(folder: Path) -> None:
    """Write the artifacts and the stand-in for Foundry."""
    output = _compiled(folder)
    for name, contracts in output["contracts"].items():
        place = folder / "out" / Path(name).name
        place.mkdir(parents=True, exist_ok=True)
        for contract, content in contracts.items():
            artifact = _artifact(content, output["sources"][name]["ast"])
            (place / f"{contract}.json").write_text(json.dumps(artifact))
    (folder / "foundry.toml").touch()
    forge = folder / "bin" / "forge"
    forge.parent.mkdir(exist_ok=True)
    forge.write_text("#!/bin/sh\nexit 0\n")
    forge.chmod(0o755)


def _compiled(folder: Path) -> dict[str, Any]:
    sources = {
        str(path.relative_to(CONTRACTS)): {"content": path.read_text()}
        for path in sorted(CONTRACTS.glob("src/**/*.sol"))
        if not {"lens", "storage"} & set(path.parts)
    }
    sources[PROVEN.name] = {"content": PROVEN.read_text()}
    settings = VAULT_BUILDS[0].settings | {
        "outputSelection": {"*": {"*": list(OUTPUTS), "": ["ast"]}}
    }
    folder.mkdir(parents=True, exist_ok=True)
    build = {"language": "Solidity", "sources": sources, "settings": settings}
    return run_compiler("solc", [ensure_packages(), folder / "output.json"], json.dumps(build))


def _artifact(content: dict[str, Any], ast: dict[str, Any]) -> dict[str, Any]:
    evm = content["evm"]
    codes = {
        kind: evm[kind] | {"object": "0x" + evm[kind]["object"]}
        for kind in ("bytecode", "deployedBytecode")
    }
    return {
        "abi": content["abi"],
        **codes,
        "methodIdentifiers": evm["methodIdentifiers"],
        "metadata": {"compiler": {"version": SOLC_VERSION}},
        "ast": ast,
        "id": 0,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
