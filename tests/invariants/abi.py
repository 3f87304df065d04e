"""Calldata in a hurry: half of a campaign's time would go into checking arguments that we made."""

from collections.abc import Callable, Sequence
from functools import cache

from eth_hash.auto import keccak

WORD = 32
Encoder = Callable[[object], bytes]


@cache
def selector_and_types(signature: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a function's selector and its arguments' types."""
    return keccak(signature.encode())[:4], parts_of(signature[signature.index("(") :])


@cache
def parts_of(types: str) -> tuple[str, ...]:
    """Return the types of a tuple, which may be nested."""
    parts, depth, word = [], 0, ""
    for letter in types[1:-1]:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(word)
            word = ""
        else:
            word += letter
    return (*parts, word) if word else ()


def calldata(signature: str, *values: object) -> bytes:
    """Return the calldata of a function."""
    selector, types = selector_and_types(signature)
    return bytes(selector + encode(types, values))


def encode(types: Sequence[str], values: Sequence[object]) -> bytes:
    """Return values as the ABI lays them out."""
    if len(types) != len(values):
        raise ValueError((types, values))
    encoders = [encoder_of(kind) for kind in types]
    made = [
        (dynamic, write(value)) for (dynamic, write), value in zip(encoders, values, strict=True)
    ]
    place = sum(WORD if dynamic else len(part) for dynamic, part in made)
    heads, tails = [], []
    for dynamic, part in made:
        heads.append(place.to_bytes(WORD) if dynamic else part)
        if dynamic:
            tails.append(part)
            place += len(part)
    return b"".join(heads + tails)


@cache
def encoder_of(kind: str) -> tuple[bool, Encoder]:
    """Return whether a type is of no fixed length, and what encodes it."""
    if kind.endswith("[]"):
        inner = kind[:-2]
        return (
            True,
            lambda values: len(values).to_bytes(WORD) + encode([inner] * len(values), values),
        )
    if kind.startswith("("):
        parts = parts_of(kind)
        return any(encoder_of(part)[0] for part in parts), lambda values: encode(parts, values)
    if kind == "bytes":
        return True, _bytes
    if kind == "address":
        return False, _address
    if kind.startswith("bytes"):
        return False, lambda value: value.ljust(WORD, b"\0")
    return False, lambda value: (int(value) % 2**256).to_bytes(WORD)


def _bytes(value: bytes) -> bytes:
    return len(value).to_bytes(WORD) + value + bytes(-len(value) % WORD)


@cache
def _address(value: str) -> bytes:
    return bytes.fromhex(value[2:]).rjust(WORD, b"\0")
