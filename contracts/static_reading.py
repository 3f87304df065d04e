"""
``scripts/slither``: Slither over our build; every finding is in ``slither.toml`` with its reason.

Runs in an environment of its own, which has Slither and nothing of the keeper. The compiler is
the local chain's solc-js behind ``slither_solc.js``, so that what is read is what is deployed.
"""

import collections
import inspect
import logging
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from crytic_compile import CryticCompile
from crytic_compile.platform.solc_standard_json import SolcStandardJson
from slither import Slither
from slither.detectors import all_detectors
from slither.detectors.abstract_detector import AbstractDetector

CONTRACTS = Path(__file__).resolve().parent
ACCEPTED = CONTRACTS / "slither.toml"
SETTINGS = {
    "evmVersion": "cancun",
    "optimizer": {"enabled": True, "runs": 1000},
    "remappings": ["slots/=src/slots/transient/"],
    "viaIR": True,
}


def compiled() -> CryticCompile:
    """Return all contracts of ours, compiled as they are deployed."""
    sources = {
        str(path.relative_to(CONTRACTS)): {"content": path.read_text()}
        for path in sorted(CONTRACTS.glob("src/**/*.sol"))
        if "slots/storage" not in str(path)
    }
    build = {"language": "Solidity", "sources": sources, "settings": SETTINGS}
    os.chdir(CONTRACTS)
    solc = str(CONTRACTS / "slither_solc.js")
    return CryticCompile(SolcStandardJson(build), solc=solc, solc_standard_json=True)


def findings() -> list[dict[str, Any]]:
    """Return what all detectors say."""
    slither = Slither(compiled())
    for _, detector in inspect.getmembers(all_detectors, inspect.isclass):
        if issubclass(detector, AbstractDetector) and detector is not AbstractDetector:
            slither.register_detector(detector)
    return [finding for results in slither.run_detectors() for finding in results]


def place_of(finding: dict[str, Any]) -> str:
    """Return the check and the function that it is about, in words that survive other lines."""
    for element in finding["elements"]:
        fields = element.get("type_specific_fields", {})
        parent = fields.get("parent", {})
        if element["type"] == "function":
            return f"{finding['check']} {parent['name']}.{element['name']}"
        if parent.get("type") == "function":
            owner = parent["type_specific_fields"]["parent"]["name"]
            return f"{finding['check']} {owner}.{parent['name']}"
    return f"{finding['check']} {finding['elements'][0]['name']}"


def main() -> int:
    """Say what is new, and what is accepted and no longer said; 0 where neither is."""
    logging.disable(logging.CRITICAL)
    accepted = tomllib.loads(ACCEPTED.read_text())
    checks, places = accepted["checks"], accepted["places"]
    said = collections.Counter(
        place_of(finding) for finding in findings() if finding["check"] not in checks
    )
    new, gone = sorted(set(said) - set(places)), sorted(set(places) - set(said))
    for place in new:
        sys.stdout.write(f"new: {place}\n")
    for place in gone:
        sys.stdout.write(f"no longer said: {place}\n")
    sys.stdout.write(f"slither: {len(new)} new findings, {sum(said.values())} with a reason\n")
    return 1 if new or gone else 0


if __name__ == "__main__":
    sys.exit(main())
