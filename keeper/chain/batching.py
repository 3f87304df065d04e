"""Several requests in one message, in batches as large as an endpoint accepts.

Nodes and gateways refuse batches in many ways, or answer only some entries. Unanswered entries are
sent again in smaller batches, down to single requests.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeGuard

from keeper.chain.awaiting import FIRST_PAUSES
from keeper.chain.capabilities import Capabilities, Capability
from keeper.chain.concurrent import each
from keeper.chain.fields import Json
from keeper.chain.oversized import is_too_costly
from keeper.chain.refusal import concerns_batch, is_momentary, may_be_answered_elsewhere
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    RpcBusy,
    RpcMalformed,
    RpcRefused,
    RpcTooLarge,
    RpcUnavailable,
)

Request = tuple[str, Sequence[object]]
"""A method and its parameters."""
Answer = Json | ChainError

BATCH: Final = 100
"""Requests in one message, at most."""
IN_FLIGHT: Final = 8
"""Messages of one batch that are under way at once."""
SLOW_SECONDS: Final = 1.0
"""A batch that failed after this long is asked for singly: each halving might take as long."""


class Asking(Protocol):
    """The part of the client that batches need."""

    capabilities: Capabilities

    async def ask(self, at: int, method: str, *params: object) -> Json:
        """Send one request to one endpoint once."""
        ...

    async def ask_batch(self, at: int, requests: Sequence[Request]) -> list[Answer]:
        """Send several requests to one endpoint in one message, once."""
        ...

    async def ensure_identified(self, at: int) -> None:
        """Identify an endpoint over its present connection."""
        ...


class BatchRead:
    """Several requests per endpoint, built by ``build``, over repeated attempts."""

    def __init__(
        self,
        rpc: Asking,
        build: Callable[[int], Sequence[Request]],
        *,
        needs_results: bool = False,
    ) -> None:
        self._rpc = rpc
        self._build = build
        self._needs_results = needs_results
        self._readings: dict[int, Reading] = {}

    async def ask(self, endpoint: int) -> list[Answer]:
        """Return an endpoint's answers. Those of an earlier attempt are not requested again."""
        reading = self._readings.get(endpoint)
        if reading is None:
            reading = Reading(
                self._rpc, endpoint, self._build(endpoint), needs_results=self._needs_results
            )
            self._readings[endpoint] = reading
        return await reading.complete()

    def forget_momentary(self, endpoint: int) -> None:
        """Drop answers of an endpoint that may differ at the next attempt."""
        reading = self._readings.get(endpoint)
        if reading is not None:
            reading.forget_momentary()


class Reading:
    """Answers of one endpoint to several requests, collected over repeated attempts.

    Answers of different endpoints are never mixed, since by a block's number they may refer to
    different blocks. With ``needs_results`` neither ``null`` nor a refusal that another endpoint
    may not repeat counts as an answer.
    """

    def __init__(
        self,
        rpc: Asking,
        endpoint: int,
        requests: Sequence[Request],
        *,
        needs_results: bool = False,
    ) -> None:
        self._rpc = rpc
        self._endpoint = endpoint
        self._requests = requests
        self._answers: dict[int, Answer] = {}
        self._most = max(1, min(BATCH, len(requests)))
        self._needs_results = needs_results
        self._lack: BlockUnknown | None = None
        self._refusal: RpcRefused | None = None
        self._busy = 0

    async def complete(self) -> list[Answer]:
        """Request the missing answers and return all of them, in order.

        An endpoint that has the block for some requests is asked again for the others.

        Raises:
            BlockUnknown: the endpoint does not have the block.
            RpcUnavailable: the endpoint did not answer some of them, or was busy.
            RpcMalformed: one of its answers is invalid.
            RpcRefused: with ``needs_results``, it refused one of them for reasons of its own.
        """
        missing, self._refusal = self._list_missing(), None
        for pause in (*FIRST_PAUSES, None):
            before, self._lack = missing, None
            await self._ask(before)
            missing = self._list_missing()
            if self._lack is None:
                break
            if pause is None or len(missing) == len(before):
                raise self._lack
            await asyncio.sleep(pause)
        if self._refusal is not None:
            raise self._refusal
        return [self._answers[place] for place in range(len(self._requests))]

    def forget_momentary(self) -> None:
        """Drop refusals that may be temporary."""
        self._answers = {
            place: answer
            for place, answer in self._answers.items()
            if not (isinstance(answer, RpcRefused) and is_momentary(answer))
        }

    def _list_missing(self) -> list[int]:
        places = range(len(self._requests))
        return [place for place in places if place not in self._answers]

    async def _ask(self, places: Sequence[int]) -> None:
        """Send these requests in batches of the size that the endpoint is known to accept."""
        known = self._rpc.capabilities.limit(self._endpoint, Capability.BATCHES)
        size = self._most if known is None else min(known, self._most)
        parts = [places[start : start + size] for start in range(0, len(places), size)]
        await each(parts, self._ask_part, in_flight=IN_FLIGHT)

    async def _ask_part(self, places: Sequence[int]) -> None:
        await self._rpc.ensure_identified(self._endpoint)
        if len(places) == 1:
            await self._ask_alone(places[0])
            return
        started = time.monotonic()
        try:
            answers = await self._rpc.ask_batch(
                self._endpoint, [self._requests[place] for place in places]
            )
        except RpcBusy as busy:
            self._most = max(1, len(places) // 2)  # gateways count a batch as many requests
            self._busy += 1
            if self._busy > 1:
                self._note_limit(busy, self._most)
            raise
        except ChainError as error:
            if is_too_costly(error):
                raise
            if isinstance(error, RpcUnavailable):  # the batch's fault only if one is answered
                await self._ask_alone(places[0])
                places = places[1:]
            slow = time.monotonic() - started > SLOW_SECONDS
            await self._ask_smaller(places, error, 1 if slow else max(1, len(places) // 2))
            return
        await self._take(places, answers)

    async def _take(self, places: Sequence[int], answers: Sequence[Answer]) -> None:
        """Store the answers, and send the refused requests again in smaller batches."""
        busy, refused = list[RpcBusy](), dict[int, ChainError]()
        for place, answer in zip(places, answers, strict=True):
            if isinstance(answer, RpcBusy):
                busy.append(answer)
            elif isinstance(answer, RpcUnavailable | RpcMalformed) or concerns_batch(answer):
                refused[place] = answer
            else:
                self._accept(place, answer)
        if refused:
            again, error = list(refused), next(iter(refused.values()))
            most = max(1, (len(places) - len(again)) or len(again) // 2)
            await self._ask_smaller(again, error, most)
        elif not busy:
            self._clear_limit(len(places))
        if busy:
            self._most = max(1, len(busy) // 2)
            raise busy[0]

    async def _ask_smaller(self, places: Sequence[int], error: ChainError, size: int) -> None:
        """Send batches of ``size``. The size is stored once a batch was answered."""
        await self._ask_part(places[:size])
        self._note_limit(error, size)
        await self._ask(places[size:])

    async def _ask_alone(self, place: int) -> None:
        method, params = self._requests[place]
        try:
            self._accept(place, await self._rpc.ask(self._endpoint, method, *params))
        except RpcUnavailable:
            raise
        except RpcMalformed as error:
            if not isinstance(error, RpcTooLarge) or is_too_costly(error):
                raise
            self._answers[place] = error
        except ChainError as error:
            self._accept(place, error)

    def _accept(self, place: int, answer: Answer) -> None:
        """Store an answer, unless this or another endpoint may have a better one."""
        if answer is None and self._needs_results:
            answer = BlockUnknown(f"the node answered {self._requests[place][0]} with null")
        if isinstance(answer, BlockUnknown):
            self._lack = answer
        elif self._needs_results and _is_own_refusal(answer):
            self._refusal = answer
        else:
            self._answers[place] = answer

    def _note_limit(self, error: ChainError, size: int) -> None:
        self._rpc.capabilities.learn_lack(
            self._endpoint, Capability.BATCHES, str(error), limit=size
        )

    def _clear_limit(self, size: int) -> None:
        """Clear the limit if a larger batch was answered."""
        lack = self._rpc.capabilities.lack(self._endpoint, Capability.BATCHES)
        if lack is not None and lack.limit is not None and size > lack.limit:
            self._rpc.capabilities.learn_success(self._endpoint, Capability.BATCHES)


def _is_own_refusal(answer: Answer) -> TypeGuard[RpcRefused]:
    return isinstance(answer, RpcRefused) and may_be_answered_elsewhere(answer)
