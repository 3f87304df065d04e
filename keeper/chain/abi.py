"""Contract interfaces (addresses, selectors, topics) and ABI codecs with the keeper's errors."""

import functools
import json
import re
from collections.abc import Sequence
from typing import Any, Final

import eth_abi.abi
from eth_abi.exceptions import DecodingError, EncodingError, ParseError
from eth_hash.auto import keccak

from keeper.domain.errors import EnvironmentFault, RpcMalformed
from keeper.domain.units import Address
from keeper.packed import packed_file

WORD: Final = 32
SELECTOR: Final = 4
ABI_FOLDER: Final = packed_file("contracts", "abi")

_HEX_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_ADDRESS_BITS: Final = 160
_ADDRESS_DIGITS: Final = 40
_CASE: Final = 0x20
"""The bit that tells a small letter from a capital one."""
_RAISED: Final = bytes.maketrans(b"0123456789abcdef", bytes(8) + bytes([_CASE]) * 8)
_LETTER: Final = bytes.maketrans(b"0123456789abcdef", bytes(10) + bytes([_CASE]) * 6)


@functools.lru_cache(maxsize=65536)
def checksum(address: str | bytes) -> Address:
    """Return the EIP-55 form of an address from hex or twenty bytes.

    Raises:
        ValueError: not an address, or mixed case with a wrong checksum.
    """
    given = "0x" + address.hex() if isinstance(address, bytes) else address
    if not _HEX_ADDRESS.fullmatch(given):
        raise ValueError("an address is 0x and 40 hex digits")
    lower = given[2:].lower()
    made = "0x" + _apply_checksum_case(lower.encode())
    if given[2:] not in (lower, lower.upper(), made[2:]):
        raise ValueError(f"the address {given} has a wrong checksum; is it {made}?")
    return Address(made)


def _apply_checksum_case(digits: bytes) -> str:
    """Apply the checksum's case to 40 hex digits."""
    digest = keccak(digits).hex()[:_ADDRESS_DIGITS].encode()
    raised = int.from_bytes(digest.translate(_RAISED)) & int.from_bytes(digits.translate(_LETTER))
    return (int.from_bytes(digits) - raised).to_bytes(_ADDRESS_DIGITS).decode()


@functools.cache
def selector(signature: str) -> bytes:
    """Return the four bytes of a function or custom error, ``name(type,..)``."""
    return keccak(signature.encode())[:SELECTOR]


@functools.cache
def topic(signature: str) -> bytes:
    """Return the first topic of an event, ``Name(type,..)``."""
    return keccak(signature.encode())


@functools.cache
def load_abi(name: str) -> list[dict[str, Any]]:
    """Load the ABI in ``contracts/abi/<name>.json``, a file that names its source.

    Raises:
        EnvironmentFault: there is no such file, or it holds no ABI.
    """
    try:
        entries = json.loads((ABI_FOLDER / f"{name}.json").read_text(encoding="utf-8"))["abi"]
    except (OSError, ValueError, KeyError, TypeError):
        raise EnvironmentFault(f"the ABI of {name} is missing or broken") from None
    return list(entries)


def encoded(types: Sequence[str], values: Sequence[object]) -> bytes:
    """Return the ABI encoding of ``values``. ValueError if one does not fit its type."""
    try:
        return eth_abi.abi.encode(list(types), list(values))
    except (EncodingError, ParseError, TypeError, OverflowError) as error:
        raise ValueError(f"cannot encode ({','.join(types)}): {type(error).__name__}") from None


def calldata(signature: str, *values: object) -> bytes:
    """Encode the calldata of ``name(type,..)``. Tuples are written as ``(type,..)``."""
    return selector(signature) + encoded(
        _split_types(signature[signature.index("(") + 1 : -1]), values
    )


def decoded(types: Sequence[str], raw: bytes, what: str = "the answer") -> tuple[Any, ...]:
    """Decode ABI values from ``raw``.

    Raises:
        RpcMalformed: too short, out of range, not text where text is expected.
    """
    try:
        return eth_abi.abi.decode(list(types), raw)
    except (DecodingError, ParseError, OverflowError, ValueError, TypeError) as error:
        kind = type(error).__name__
        raise RpcMalformed(f"{what} is not ({','.join(types)}): {kind}") from None


def word(raw: bytes, index: int) -> int:
    """Return the unsigned 32-byte word at ``index``. RpcMalformed if there is none."""
    end = (index + 1) * WORD
    if index < 0 or end > len(raw):
        raise RpcMalformed(f"the answer has no word {index}")
    return int.from_bytes(raw[end - WORD : end])


def signed_word(raw: bytes, index: int) -> int:
    """Return the two's complement word at ``index``. RpcMalformed if there is none."""
    value = word(raw, index)
    return value - 2**256 if value >> 255 else value


def address_at(raw: bytes, index: int) -> Address:
    """Return the address in the word at ``index``. RpcMalformed if there is none."""
    value = word(raw, index)
    if value >> _ADDRESS_BITS:
        raise RpcMalformed(f"word {index} of the answer is not an address")
    return checksum(value.to_bytes(20))


def _split_types(types: str) -> list[str]:
    """Split a list of types at the commas outside of tuples."""
    parts, depth, start = list[str](), 0, 0
    for at, letter in enumerate(types):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(types[start:at])
            start = at + 1
    return [*parts, types[start:]] if types else []
