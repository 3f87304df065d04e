"""A release of the executor is known by its code alone, wherever its wrapped coin is."""

import json

import pytest

from keeper.chain.abi import ABI_FOLDER
from keeper.execution.releases import CURRENT, LACKS, find_release, masked_hash, releases

BUILDS = ("LiquidationExecutor", "LiquidationExecutorStorage")


def runtime(name: str, wrapped: bytes = bytes(12) + b"\x77" * 20) -> bytes:
    """Return a build's code as on a chain: its immutables are the wrapped coin's address."""
    artifact = json.loads((ABI_FOLDER / f"{name}.json").read_text())
    code = bytearray.fromhex(artifact["deployedBytecode"][2:])
    for start in artifact["immutables"]:
        code[start : start + 32] = wrapped
    return bytes(code)


@pytest.mark.parametrize("name", BUILDS)
def test_what_is_committed_is_a_release_of_the_current_version(name):
    """A contract that changes without a new hash could not go live."""
    release = find_release(runtime(name))

    assert release is not None
    assert (release.version, release.name) == (CURRENT, name)
    assert not release.lacks


def test_code_that_differs_in_one_byte_is_no_release():
    """A back door is one byte wide."""
    code = bytearray(runtime(BUILDS[0]))
    code[200] ^= 1

    assert find_release(bytes(code)) is None


def test_immutables_that_differ_among_themselves_are_no_release():
    """Each place holds the one wrapped coin; another address in one of them is a forgery."""
    code = bytearray(runtime(BUILDS[0]))
    first = releases()[2].immutables[0]
    code[first + 31] ^= 1

    assert find_release(bytes(code)) is None


def test_no_code_and_strange_code_are_no_release():
    """An account without code, or a proxy, is not an executor."""
    assert find_release(b"") is None
    assert find_release(bytes.fromhex("363d3d373d3d3d363d73") + bytes(35)) is None


def test_every_version_says_what_it_lacks_and_keeps_its_hashes():
    """Executors that were deployed with an earlier version go on working, and their owner knows."""
    versions = {release.version for release in releases()}

    assert versions == set(LACKS) == set(range(1, CURRENT + 1))
    assert len({release.code_hash for release in releases()}) == 2 * CURRENT
    assert LACKS[CURRENT] == ()


def test_a_hash_is_taken_without_immutables():
    """The same build over two wrapped coins is the same release."""
    places = releases()[2].immutables

    first, second = (runtime(BUILDS[0], bytes(12) + mark * 20) for mark in (b"\x01", b"\x02"))

    assert first != second
    assert masked_hash(first, places) == masked_hash(second, places)
