"""
The bill of materials: what a keeper runs upon, with the hashes that it is installed by.

``python requirements/sbom.py > requirements/sbom.json`` writes it anew from ``run.txt``, as
CycloneDX 1.5; the same lock gives the same bytes.
"""

import json
import re
import sys
from pathlib import Path
from typing import Final

LOCK: Final = Path(__file__).resolve().with_name("run.txt")
PINNED: Final = re.compile(r"(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\]+?))? \\")
HASHED: Final = re.compile(r"    --hash=sha256:(?P<hash>[0-9a-f]{64})")


def read_components(lock: str) -> list[dict[str, object]]:
    """Return the packages of a lock in its order, each with the hashes of its files."""
    components: list[dict[str, object]] = []
    files: list[dict[str, str]] = []
    for line in lock.splitlines():
        if pinned := PINNED.match(line):
            name, version = pinned["name"], pinned["version"]
            files = []
            distribution = {
                "type": "distribution",
                "url": f"https://pypi.org/project/{name}/{version}/",
                "hashes": files,
            }
            component: dict[str, object] = {
                "type": "library",
                "bom-ref": f"pkg:pypi/{name}@{version}",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "externalReferences": [distribution],
            }
            if marker := pinned["marker"]:
                component["properties"] = [{"name": "python:marker", "value": marker}]
            components.append(component)
        elif hashed := HASHED.match(line):
            files.append({"alg": "SHA-256", "content": hashed["hash"]})
    return components


def build_document(lock: str) -> str:
    """Return the bill of materials of a lock."""
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "liquidation-keeper"}},
        "components": read_components(lock),
    }
    return json.dumps(document, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(build_document(LOCK.read_text()))
