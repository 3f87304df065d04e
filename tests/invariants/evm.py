"""An EVM in this process: contracts, calls that say whether they worked, storage as it is."""

import json
from functools import cache
from pathlib import Path

from eth_hash.auto import keccak
from pyrevm import EVM, BlockEnv, Env

from keeper.devnet.toolchain import compile_solidity
from tests.invariants.abi import calldata, encode, parts_of

ROOT = Path(__file__).resolve().parents[2]
COINBASE = "0x" + "cb" * 20
ADMIN = "0x" + "ad" * 20
START = 1_800_000_000
RICH = 10**30
SETTINGS = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "paris",
    "viaIR": True,
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}


@cache
def hostile_code(name: str) -> bytes:
    """Return the creation code of a hostile contract."""
    source = ROOT / "tests" / "contracts" / "Chaos.sol"
    built = compile_solidity({source.name: source}, settings=SETTINGS)[source.name]
    return bytes.fromhex(built[name]["evm"]["bytecode"]["object"])


@cache
def our_code(name: str) -> bytes:
    """Return the creation code of a build of ours, as committed."""
    content = json.loads((ROOT / "contracts" / "abi" / f"{name}.json").read_text())
    return bytes.fromhex(content["bytecode"].removeprefix("0x"))


@cache
def slot_of(place: int, *keys: str) -> int:
    """Return where a mapping of addresses keeps a value."""
    word = place.to_bytes(32)
    for key in keys:
        word = keccak(bytes.fromhex(key[2:]).rjust(32, b"\0") + word)
    return int.from_bytes(word)


class Machine:
    """A chain of its own, whose clock goes only when it is told to."""

    def __init__(self) -> None:
        self.now = START
        self.evm = EVM(spec_id="CANCUN", env=Env(block=self._block()))
        self.evm.set_balance(ADMIN, RICH)
        self.logs = []

    def deploy(self, code: bytes, types: str = "()", *values: object) -> str:
        """Return the address of a new contract."""
        return str(self.evm.deploy(ADMIN, code + encode(parts_of(types), values)))

    def call(self, sender: str, to: str, data: bytes) -> tuple[bool, bytes]:
        """Send a transaction; return whether it worked, and what it returned."""
        self.logs = []
        try:
            answer = bytes(self.evm.message_call(sender, to, data, gas=30_000_000))
        except RuntimeError as error:
            return False, str(error).encode()
        finally:
            self.evm.reset_transient_storage()
        self.logs = self.evm.result.logs
        return True, answer

    def must(self, sender: str, to: str, signature: str, *values: object) -> None:
        """Send a transaction that prepares something."""
        worked, answer = self.call(sender, to, calldata(signature, *values))
        if not worked:
            raise AssertionError((signature, values, answer))

    def word(self, address: str, slot: int) -> int:
        """Return a word of a contract's storage."""
        return int(self.evm.storage(address, slot))

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds
        self.evm.set_block_env(self._block())

    def _block(self) -> BlockEnv:
        return BlockEnv(number=1, timestamp=self.now, coinbase=COINBASE, prevrandao=b"\1" * 32)
