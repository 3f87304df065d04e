"""Decodes recorded calldata of the executor and the vault by their ABIs."""

from functools import cache
from typing import Any

from web3 import Web3
from web3.contract import Contract
from web3.exceptions import Web3Exception

from keeper.chain.abi import load_abi
from keeper.execution.executor import ARTIFACT
from keeper.execution.vault import ARTIFACT as VAULT

Described = dict[str, object]


def described(calldata: bytes) -> Described | None:
    """Decode a call of the executor or the vault, function and arguments by name, else None.

    Integers are decimal strings and bytes 0x-prefixed, so that JSON loses nothing.
    """
    if not calldata:
        return None
    for contract in _load_contracts():
        try:
            function, arguments = contract.decode_function_input(calldata)
        except (ValueError, Web3Exception):
            continue
        return {"function": function.fn_name, "arguments": _to_json_value(arguments)}
    return None


@cache
def _load_contracts() -> tuple[type[Contract], ...]:
    # Contract classes without a provider: web3's codec, and nothing that could reach a node.
    return tuple(Web3().eth.contract(abi=load_abi(name)) for name in (ARTIFACT, VAULT))


def _to_json_value(value: Any) -> object:  # noqa: ANN401 (what web3 decodes is of any type)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {name: _to_json_value(item) for name, item in value.items()}
    if hasattr(value, "_asdict"):
        return _to_json_value(value._asdict())
    return [_to_json_value(item) for item in value]
