"""A recorded transaction's calldata in the executor's own words, by its ABI."""

from functools import cache
from typing import Any

from web3 import Web3
from web3.contract import Contract
from web3.exceptions import Web3Exception

from keeper.chain.abi import load_abi
from keeper.execution.executor import ARTIFACT

Described = dict[str, object]


def described(calldata: bytes) -> Described | None:
    """
    Return the executor's function and its arguments by name; None if it is not one of its calls.

    Integers are decimal strings and bytes 0x-prefixed, so that JSON loses nothing.
    """
    if not calldata:
        return None
    try:
        function, arguments = _executor().decode_function_input(calldata)
    except (ValueError, Web3Exception):
        return None
    return {"function": function.fn_name, "arguments": _plain(arguments)}


@cache
def _executor() -> type[Contract]:
    # A contract class without a provider: web3's codec, and nothing that could reach a node.
    return Web3().eth.contract(abi=load_abi(ARTIFACT))


def _plain(value: Any) -> object:  # noqa: ANN401 (what web3 decodes is of any type)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    return [_plain(item) for item in value]
