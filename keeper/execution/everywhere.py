"""Broadcasts signed bytes to all healthy endpoints at once, to each of them once."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Final

from eth_hash.auto import keccak

from keeper.chain.fields import hash32
from keeper.chain.rpc import Rpc
from keeper.domain.errors import ChainError, RpcMalformed, RpcUnavailable
from keeper.domain.units import TransactionHash
from keeper.execution.sending import DONE_OR_THERE, Answer, classified, contradicts, together

log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 2.0
"""How long a send waits if every endpoint is rate limited."""
ANSWER_SECONDS: Final = 3.0
"""Timeout of a send's answers. Later answers are only compared and logged."""
SEND: Final = "send"

Outcome = ChainError | None
"""Error of an endpoint's send. None if it accepted the transaction."""


class SendsEverywhere:
    """``RawSender`` over all healthy endpoints.

    It returns at the first endpoint that has the transaction. Later answers are logged only if they
    contradict. If no endpoint has it, the most conclusive answer is raised. A missing answer
    outweighs a refusal.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def send_raw(self, raw: bytes) -> TransactionHash:
        """Send to each healthy endpoint once and return the transaction's hash.

        Raises:
            RpcRefused: every endpoint refused ("nonce too low" and "already known" included).
            RpcUnavailable: no answer, or no endpoint. The bytes may be in a mempool.
            RpcMalformed: an invalid answer, or another transaction's hash. The bytes may be
                in a mempool.
        """
        own = TransactionHash("0x" + keccak(raw).hex())
        places = await self._select_places()  # mutation: F04 all-endpoints
        tasks = {self._rpc.later(self._send_to(at, raw, own)): at for at in places}
        outcomes: dict[int, Outcome] = {}
        waiting: Collection[asyncio.Task[Outcome]] = set(tasks)
        give_up = self._rpc.pool.clock() + ANSWER_SECONDS
        while waiting:
            patience = max(0.0, give_up - self._rpc.pool.clock())
            done, waiting = await asyncio.wait(
                waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            outcomes |= {tasks[task]: task.result() for task in done}
            if not done or any(classified(one) in DONE_OR_THERE for one in outcomes.values()):
                break
        if waiting:
            self._rpc.later(self._await_late(tasks, outcomes, waiting))
        else:
            self._report_contradiction(outcomes)
        if waiting and not any(classified(one) in DONE_OR_THERE for one in outcomes.values()):
            raise RpcUnavailable(f"no endpoint took it within {ANSWER_SECONDS:g} s")
        answers = [classified(one) for one in outcomes.values()]
        telling = list(outcomes.values())[together(answers)]
        if telling is not None:
            raise telling
        return own

    async def _select_places(self) -> list[int]:
        """Select the endpoints to send to, all healthy ones, else the best of the others."""
        pool = self._rpc.pool
        wait = pool.patience()
        if 0 < wait <= PATIENCE_SECONDS:
            await asyncio.sleep(wait)
        return pool.alive() or [pool.best()]

    async def _send_to(self, at: int, raw: bytes, own: TransactionHash) -> Outcome:
        try:
            await self._rpc.ensure_identified(at)
            answer = await self._rpc.ask(at, "eth_sendRawTransaction", "0x" + raw.hex())
            if hash32(answer, "the transaction's hash") != own:
                return RpcMalformed("the node returned another transaction's hash")
        except ChainError as error:
            return error
        return None

    async def _await_late(
        self,
        tasks: Mapping[asyncio.Task[Outcome], int],
        outcomes: dict[int, Outcome],
        waiting: Collection[asyncio.Task[Outcome]],
    ) -> None:
        """Await the endpoints that answer after the first one, and compare all answers."""
        await asyncio.wait(waiting)
        outcomes |= {tasks[task]: task.result() for task in waiting if not task.cancelled()}
        self._report_contradiction(outcomes)

    def _report_contradiction(self, outcomes: Mapping[int, Outcome]) -> None:
        answers: Mapping[int, Answer] = {at: classified(one) for at, one in outcomes.items()}
        if contradicts(list(answers.values())):
            said = ", ".join(f"{at} says {answer}" for at, answer in sorted(answers.items()))
            self._rpc.pool.disagreements.counts[SEND] += 1
            log.error("endpoints_disagree what=%s detail=%s", SEND, said)
