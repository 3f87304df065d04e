"""Contracts as compilers describe them, and a thin handle of a deployed one."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.node import Node, Receipt, Transaction
from keeper.devnet.toolchain import compile_solidity, ensure_packages
from keeper.domain.errors import EnvironmentFault

Abi = list[dict[str, Any]]

_ADDRESS_BYTES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A contract's ABI and creation code. ``links`` are the places of library addresses."""

    name: str
    abi: Abi = field(repr=False)
    code: str = field(repr=False)
    links: Mapping[str, Mapping[str, Sequence[Mapping[str, int]]]] = field(
        default_factory=dict, repr=False
    )

    def creation_code(
        self, *arguments: object, libraries: Mapping[str, str] | None = None
    ) -> bytes:
        """Build the creation code with libraries linked and arguments added."""
        code = self.code
        for names in self.links.values():
            for name, places in names.items():
                address = (libraries or {})[name].removeprefix("0x").lower()
                for place in places:
                    start = 2 * place["start"]
                    code = code[:start] + address + code[start + 2 * _ADDRESS_BYTES :]
        constructor = [entry for entry in self.abi if entry["type"] == "constructor"]
        types = _list_types(constructor[0]["inputs"]) if constructor else []
        return bytes.fromhex(code) + encode(types, arguments)

    def calldata(self, function: str, *arguments: object) -> bytes:
        """Encode the calldata of a function, chosen by its name and number of arguments."""
        entry = self._find_entry(function, len(arguments))
        types = _list_types(entry["inputs"])
        selector = keccak(text=f"{function}({','.join(types)})")[:4]
        return bytes(selector) + encode(types, arguments)

    def decoded(self, function: str, count: int, answer: bytes) -> Any:  # noqa: ANN401
        """Decode a function's result, a value if there is one, else a tuple."""
        values = decode(_list_types(self._find_entry(function, count)["outputs"]), answer)
        return values[0] if len(values) == 1 else values

    def _find_entry(self, function: str, count: int) -> dict[str, Any]:
        for entry in self.abi:
            if (
                entry["type"] == "function"
                and entry["name"] == function
                and len(entry["inputs"]) == count
            ):
                return entry
        raise EnvironmentFault(f"{self.name} has no function {function} of {count} arguments")


@dataclass(frozen=True, slots=True)
class Contract:
    """Deployed contract with a default ``sender``."""

    node: Node
    artifact: Artifact
    address: str
    sender: str

    def transaction(
        self, function: str, *arguments: object, sender: str = "", value: int = 0
    ) -> Transaction:
        """Return the transaction that calls a function."""
        return Transaction(
            sender=sender or self.sender,
            to=self.address,
            data=self.artifact.calldata(function, *arguments),
            value=value,
        )

    def send(self, function: str, *arguments: object, sender: str = "", value: int = 0) -> Receipt:
        """Call a function in its own transaction. A revert raises ``RpcRefused``."""
        return self.node.send(self.transaction(function, *arguments, sender=sender, value=value))

    def call(self, function: str, *arguments: object) -> Any:  # noqa: ANN401
        """Read a function. Addresses are in lower case."""
        answer = self.node.call(self.transaction(function, *arguments))
        return self.artifact.decoded(function, len(arguments), answer)


@dataclass(frozen=True, slots=True)
class Deployer:
    """Creates contracts from one account."""

    node: Node
    sender: str

    def deploy(
        self, artifact: Artifact, *arguments: object, libraries: Mapping[str, str] | None = None
    ) -> Contract:
        """Create a contract. ``libraries`` maps names to the addresses to link."""
        code = artifact.creation_code(*arguments, libraries=libraries)
        return self.at(artifact, self.node.deploy(self.sender, code))

    def at(self, artifact: Artifact, address: str) -> Contract:
        """Return the handle of a contract that exists."""
        return Contract(self.node, artifact, str(to_checksum_address(address)), self.sender)


@cache
def packaged(path: str) -> Artifact:
    """Load an artifact of an npm package (Hardhat's format), by its path in ``node_modules``."""
    content = json.loads((ensure_packages() / path).read_text())
    return Artifact(
        name=Path(path).stem,
        abi=content["abi"],
        code=content["bytecode"].removeprefix("0x"),
        links=content.get("linkReferences", {}),
    )


def compiled(
    sources: Mapping[str, Path], settings: Mapping[str, Any], wanted: Mapping[str, str]
) -> dict[str, Artifact]:
    """Compile and return the artifacts of ``wanted`` (contract name -> source unit)."""
    output = ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences"]
    selection = dict[str, dict[str, list[str]]]()
    for name, unit in wanted.items():
        selection.setdefault(unit, {})[name] = output
    contracts = compile_solidity(sources, settings={**settings, "outputSelection": selection})
    artifacts = {}
    for name, unit in wanted.items():
        built = contracts[unit][name]
        code = built["evm"]["bytecode"]
        artifacts[name] = Artifact(
            name=name, abi=built["abi"], code=code["object"], links=code["linkReferences"]
        )
    return artifacts


def multicall3_creation_code() -> bytes:
    """Load Multicall3's creation code, as viem publishes it."""
    text = (ensure_packages() / "viem/_cjs/constants/contracts.js").read_text()
    found = re.search(r"multicall3Bytecode = '0x([0-9a-f]{4096,})'", text)
    if found is None:
        raise EnvironmentFault("viem no longer carries Multicall3's creation code")
    return bytes.fromhex(found.group(1))


def _list_types(parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    return [_format_type(parameter) for parameter in parameters]


def _format_type(parameter: Mapping[str, Any]) -> str:
    kind = cast("str", parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_list_types(parameter['components']))}){kind.removeprefix('tuple')}"
