"""The executor on a local chain: steps, hostile contracts, and what a transaction did."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from eth_abi.abi import encode

from keeper.chain.abi import checksum
from keeper.devnet.artifacts import Artifact, Contract, Deployer
from keeper.devnet.market import Devnet
from keeper.devnet.node import Node, Receipt, Transaction
from keeper.devnet.toolchain import compile_solidity
from keeper.domain.errors import RpcRefused
from keeper.domain.reads import Log
from keeper.domain.units import BPS, UINT256_MAX, BlockHash, TransactionHash
from keeper.execution.executor import StepReport, decode_logs
from keeper.execution.reverts import failure_reason

ROOT = Path(__file__).resolve().parents[2]
ZERO = "0x" + "0" * 40
SOON = 2**40
GAS = 3_000_000
USD = 10**8

HOSTILE = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "paris",
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}


@dataclass(frozen=True)
class Step:
    """One step of ``liquidate``, with what is usual as the default."""

    data: bytes
    spend: str
    receive: str
    funding: int = 1
    lender: str = ZERO
    borrow: int = 0
    factory: str = ZERO
    path: bytes = b""
    min_profit: int = 1
    gas: int = GAS
    module: int = 1

    def values(self) -> tuple[object, ...]:
        """Return the struct as the ABI orders it."""
        return (
            *(self.module, self.data, self.spend, self.receive, self.funding, self.lender),
            *(self.borrow, self.factory, self.path, self.min_profit, self.gas),
        )

    def with_(self, **changes: object) -> "Step":
        """Return the step with one detail changed."""
        return replace(self, **changes)


@dataclass
class World:
    """A devnet whose WETH has fallen, and an executor on it."""

    devnet: Devnet
    executor: Contract

    @property
    def node(self) -> Node:
        """The node."""
        return self.devnet.node

    def address(self, symbol: str) -> str:
        """Return a token's address."""
        return checksum(self.devnet.tokens[symbol].address)

    def borrower(self, kind: str) -> str:
        """Return the first unhealthy borrower of a kind."""
        unhealthy = self.devnet.unhealthy()
        return next(
            b.address for b in self.devnet.borrowers if b.kind == kind and b.address in unhealthy
        )

    def debt(self, symbol: str, account: str) -> int:
        """Return an account's variable debt."""
        return int(
            self.devnet.aave.data_provider.call(
                "getUserReserveData", self.address(symbol), account
            )[2]
        )

    def path(self, *parts: object) -> bytes:
        """Return a path of symbols and fees."""
        return b"".join(
            part.to_bytes(3)
            if isinstance(part, int)
            else bytes.fromhex(self.address(str(part))[2:])
            for part in parts
        )

    def pool(self, first: str, second: str, fee: int) -> str:
        """Return a Uniswap pool's address."""
        return checksum(
            self.devnet.venue.factory.call(
                "getPool", self.address(first), self.address(second), fee
            )
        )

    def aave_data(self, account: str, amount: int = UINT256_MAX) -> bytes:
        """Return the Aave module's data."""
        return encode(
            ["address", "address", "uint256"], [self.devnet.aave.pool.address, account, amount]
        )

    def transaction(
        self, steps: list[Step], deadline: int = SOON, share: int = 0, **terms: object
    ) -> Transaction:
        """Return the transaction that performs the steps."""
        made = self.executor.transaction(
            "liquidate",
            [step.values() for step in steps],
            deadline,
            share,
            sender=str(terms.pop("sender", self.devnet.accounts.hot)),
        )
        return replace(made, **terms)

    def run(self, *steps: Step, **terms: object) -> tuple[Receipt, tuple[StepReport, ...]]:
        """Perform the steps and return what the logs say of each."""
        receipt = self.node.send(self.transaction(list(steps), **terms))
        return receipt, decode_logs(logs_of(receipt), checksum(self.executor.address))

    def refusal(self, *steps: Step, **terms: object) -> str:
        """Return why the whole call reverts."""
        return refusal(self.node, self.transaction(list(steps), **terms))

    def balance(self, token: str, account: str) -> int:
        """Return a balance of a token given by address."""
        answer = self.node.call(call_of(token, "70a08231", account))
        return int.from_bytes(answer)

    def allowance(self, token: str, spender: str) -> int:
        """Return what the executor allows."""
        return int.from_bytes(
            self.node.call(call_of(token, "dd62ed3e", self.executor.address, spender))
        )


def call_of(to: str, selector: str, *addresses: str) -> Transaction:
    """Return a read with addresses as arguments."""
    data = bytes.fromhex(selector) + encode(["address"] * len(addresses), addresses)
    return Transaction(sender=ZERO, to=to, data=data)


def refusal(node: Node, transaction: Transaction) -> str:
    """Return why a transaction reverts; a test that gets here wants it to."""
    try:
        node.call(transaction)
    except RpcRefused as error:
        return failure_reason(error.data)
    raise AssertionError("it did not revert")


def logs_of(receipt: Receipt) -> list[Log]:
    """Return a receipt's logs as the keeper reads them."""
    return [
        Log(
            address=checksum(each["address"]),
            topics=tuple(bytes.fromhex(topic[2:]) for topic in each["topics"]),
            data=bytes.fromhex(each["data"][2:]),
            block_number=int(each["blockNumber"], 16),
            block_hash=BlockHash(each["blockHash"]),
            transaction_hash=TransactionHash(each["transactionHash"]),
            index=int(each["logIndex"], 16),
        )
        for each in receipt["logs"]
    ]


def artifact(name: str) -> Artifact:
    """Return a build of the executor as committed."""
    content = json.loads((ROOT / "contracts" / "abi" / f"{name}.json").read_text())
    return Artifact(name=name, abi=content["abi"], code=content["bytecode"].removeprefix("0x"))


def hostile() -> dict[str, Artifact]:
    """Return the hostile contracts."""
    source = ROOT / "tests" / "contracts" / "Hostile.sol"
    built = compile_solidity({source.name: source}, settings=HOSTILE)[source.name]
    return {
        name: Artifact(name=name, abi=each["abi"], code=each["evm"]["bytecode"]["object"])
        for name, each in built.items()
    }


def deployed(devnet: Devnet, name: str, *more_pools: str) -> World:
    """Deploy a build of the executor for the devnet's accounts."""
    who = devnet.accounts
    executor = Deployer(devnet.node, who.admin).deploy(
        artifact(name),
        who.owner,
        who.receiver,
        [who.hot],
        [devnet.aave.pool.address, *more_pools],
        [devnet.venue.factory.address],
        devnet.tokens["WETH"].address,
        (BPS, 0),
    )
    return World(devnet, executor)
