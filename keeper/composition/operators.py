"""Operator roles of the hot key, read along with a command's block."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from keeper.chain.abi import calldata, word
from keeper.composition.session import Session
from keeper.composition.wallet import hot_address
from keeper.domain.errors import RpcMalformed
from keeper.domain.head import Head
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, BlockHash


@dataclass(slots=True)
class OperatorReads:
    """A rider (``keeper.abilities.Rider``) that reads one account's role from each executor.

    ``takes_orders`` has the executors with the role granted, as of ``block``.
    """

    account: Address
    executors: Sequence[Address]
    takes_orders: frozenset[Address] = frozenset()
    block: BlockHash | None = field(default=None)

    def calls(self, _: Head) -> Sequence[Call]:
        """Build a read of each executor."""
        data = calldata("isOperator(address)", self.account)
        return [Call(target=executor, data=data) for executor in self.executors]

    def apply(self, head: Head, results: Sequence[CallResult]) -> None:
        """Store the answers."""
        self.block = head.hash
        self.takes_orders = frozenset(
            executor
            for executor, result in zip(self.executors, results, strict=True)
            if result.success and _is_true(result.data)
        )

    def is_operator(self, executor: Address, head: Head) -> bool:
        """Return whether the account is known to be the executor's operator at a block."""
        return self.block == head.hash and executor in self.takes_orders


def read_operators_along(session: Session) -> OperatorReads | None:
    """Add reads of the hot key's operator roles to the next block. None without a key."""
    account = hot_address(session.settings)
    executors = {session.executor_of(market.key) for market in session.markets} - {None}
    if account is None:
        return None
    reads = OperatorReads(account, sorted(one for one in executors if one is not None))
    session.follower.riders.append(reads)
    return reads


def _is_true(data: bytes) -> bool:
    try:
        return bool(word(data, 0))
    except RpcMalformed:
        return False
