"""Simulation of a sequence of transactions in the block expected to include them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from keeper.chain.endpoint import sanitised
from keeper.chain.fields import Json, data, document, sequence
from keeper.domain.errors import RpcMalformed, RpcRefused
from keeper.domain.head import Basis, Head
from keeper.domain.units import WAD, Address, Gas
from keeper.execution.alone import lacks_funds
from keeper.execution.landing import landing_block
from keeper.execution.reverts import failure_reason

UNVALIDATED_RUNS: Final = 100
"""Number of simulations without validation, before a node that refused it is asked again."""

Answer = Mapping[str, Json]
"""One simulated call, as the node returned it."""


class SimulatesBlocks(Protocol):
    """The read of a simulation. It may raise ``ChainError``."""

    async def simulate_v1(
        self, payload: Mapping[str, object], basis: Basis
    ) -> list[Mapping[str, Json]]:
        """Run blocks of calls on top of the pinned block."""
        ...


@dataclass(slots=True, kw_only=True)
class LandingRun:
    """Simulates calls of one sender, in order, in the block after a head."""

    chain: SimulatesBlocks
    sender: Address
    block_seconds: int = 1
    _unvalidated_left: int = field(default=0, init=False)

    def seconds_to(self, seconds_left: int | None = None) -> int:
        """Compute the seconds from a head to the simulated block, at most ``seconds_left``."""
        if seconds_left is None:
            return max(1, self.block_seconds)
        return max(1, min(self.block_seconds, seconds_left))

    async def simulate(
        self,
        calls: Sequence[Mapping[str, object]],
        head: Head,
        *,
        gas: Gas,
        seconds_left: int | None = None,
    ) -> list[Answer]:
        """
        Return the calls' answers, in order.

        ``gas`` is the sum of their gas limits. The block is not later than ``seconds_left`` after
        the head, where given.

        Raises:
            ChainError: the node did not simulate.
        """
        overrides = landing_block(head, seconds=self.seconds_to(seconds_left), gas_limit=gas)
        basis = Basis(block_hash=head.hash)
        blocks = await self._simulate_validated(
            {"blockOverrides": overrides, "calls": list(calls)}, basis
        )
        answers = sequence(blocks[0].get("calls"), "the calls") if blocks else []
        if len(answers) != len(calls):
            raise RpcMalformed("the node simulated another number of calls than it was given")
        return [document(answer, "a simulated call") for answer in answers]

    async def _simulate_validated(
        self, block: Mapping[str, object], basis: Basis
    ) -> list[Mapping[str, Json]]:
        """
        Simulate a block with validation, or without it where the node refuses.

        Without ``validation`` nodes set the base fee to 0, which a contract can see. The sender of
        a dry run may have no money and is given some.
        """
        is_refused = False
        if self._unvalidated_left:
            self._unvalidated_left -= 1
        else:
            try:
                return await self.chain.simulate_v1(_build_payload(block, validation=True), basis)
            except RpcRefused as error:
                is_refused = not lacks_funds(error)
        try:
            found = await self.chain.simulate_v1(_build_payload(block, validation=False), basis)
        except RpcRefused as error:
            if not lacks_funds(error):
                raise  # it is not about the validation
        else:
            self._unvalidated_left = UNVALIDATED_RUNS if is_refused else self._unvalidated_left
            return found
        funded = {**block, "stateOverrides": {self.sender: {"balance": hex(WAD * WAD)}}}
        return await self.chain.simulate_v1(_build_payload(funded, validation=False), basis)


def describe_failure(answer: Answer) -> str:
    """Return why a call failed, from its revert data or else the node's message."""
    error = answer.get("error")
    told = error if isinstance(error, dict) else {}
    for stated in (answer.get("returnData"), told.get("data")):
        if isinstance(stated, str) and len(stated) > len("0x"):
            return failure_reason(data(stated, "the simulated result"))
    said = told.get("message")
    return sanitised(said) if said else failure_reason(b"")


def _build_payload(block: Mapping[str, object], *, validation: bool) -> Mapping[str, object]:
    return {"blockStateCalls": [block], "validation": validation}
