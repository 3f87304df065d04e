"""The toolchain fetches the packages once and compiles through a cache."""

import pytest

from keeper.devnet import toolchain
from keeper.domain.errors import EnvironmentFault

SETTINGS = {"outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}}}
SOURCE = "// SPDX-License-Identifier: MIT\npragma solidity 0.8.27;\ncontract A { uint256 x; }"


def test_compiles_to_abi_and_bytecode_and_answers_again_from_the_cache():
    """Chain tests start in milliseconds because solc runs once per source."""
    first = toolchain.compile_solidity({"A.sol": SOURCE}, settings=SETTINGS)

    assert first["A.sol"]["A"]["evm"]["bytecode"]["object"].startswith("6080")
    assert toolchain.compile_solidity({"A.sol": SOURCE}, settings=SETTINGS) == first


def test_an_import_is_looked_up_in_the_npm_packages():
    """The protocols' sources import each other by package name."""
    text = SOURCE + '\nimport {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";'

    contracts = toolchain.compile_solidity({"A.sol": text}, settings=SETTINGS)

    assert "IERC20" in contracts["@openzeppelin/contracts/token/ERC20/IERC20.sol"]


def test_a_source_that_does_not_compile_is_one_line():
    """The first compiler error, with its file, and no output left in the cache."""
    with pytest.raises(EnvironmentFault, match=r"^Solidity does not compile: B\.sol: .+$"):
        toolchain.compile_solidity({"B.sol": "contract {"}, settings=SETTINGS)


def test_another_architecture_is_refused_before_anything_is_fetched(monkeypatch, tmp_path):
    """Anvil's binary is for Linux on x86-64 only."""
    monkeypatch.setattr(toolchain, "CACHE", tmp_path)
    monkeypatch.setattr(toolchain.platform, "machine", lambda: "aarch64")

    with pytest.raises(EnvironmentFault, match="Linux on x86-64"):
        toolchain.ensure_packages()

    assert list(tmp_path.iterdir()) == []


def test_no_node_and_no_wheel_says_what_to_install(monkeypatch, tmp_path):
    """A machine without Node.js can take it from the Python package."""
    monkeypatch.setattr(toolchain, "CACHE", tmp_path)
    monkeypatch.setattr(toolchain.shutil, "which", lambda _name: None)
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(EnvironmentFault, match=r"Node\.js") as caught:
        toolchain.ensure_packages()

    assert "requirements/node.txt" in caught.value.hint


def test_too_little_disk_is_told_before_npm_runs(monkeypatch, tmp_path):
    """A full disk shows as one line, not as npm's own failure."""
    monkeypatch.setattr(toolchain, "CACHE", tmp_path)
    usage = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(toolchain.shutil, "disk_usage", lambda _path: usage)

    with pytest.raises(EnvironmentFault, match="1 MiB free"):
        toolchain.ensure_packages()
