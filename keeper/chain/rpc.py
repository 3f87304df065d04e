"""
JSON-RPC 2.0: every answer is checked before anybody sees it.

``request`` and ``batch`` go out once. ``read`` and ``read_batch`` repeat what did not
reach the node, a few times and for a few seconds, and move on to the next endpoint; nothing
that changes the chain may go through them.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import tenacity

from keeper.chain.fields import Json, quantity
from keeper.chain.refusal import refusal
from keeper.chain.transport import Notifications, Timeouts, Transport
from keeper.domain.errors import ChainError, ConfigError, RpcMalformed, RpcRefused, RpcUnavailable

T = TypeVar("T")
Request = tuple[str, Sequence[object]]
"""A method and its parameters."""

ATTEMPTS: Final = 5
WAIT_SECONDS: Final = 0.05
MAX_WAIT_SECONDS: Final = 1.0


class Exchange(NamedTuple):
    """
    One message to a node and its answer, measured.

    ``endpoint`` is the place of the one that was asked, counted from 0 in the order of the
    settings; ``errors`` has the code of each request that failed.
    """

    endpoint: int
    methods: Sequence[str]
    seconds: float
    errors: Sequence[str]


class Rpc:
    """
    A node, or several that serve the same chain: the first that answers is used.

    ``requests`` counts what was asked, by method; ``round_trips`` how many messages went out.
    ``measured`` is told of each exchange when it is over.
    """

    def __init__(
        self,
        transports: Sequence[Transport],
        *,
        timeouts: Timeouts | None = None,
        chain_id: int | None = None,
    ) -> None:
        self.requests: Counter[str] = Counter()
        self.round_trips = 0
        self.measured: Callable[[Exchange], None] = _ignored
        self.timeouts = timeouts or Timeouts()
        self._transports = list(transports)
        self._active = 0
        self._chain_id = chain_id
        self._checked: set[int] = set()
        self._ids = itertools.count(1)

    @property
    def transport(self) -> Transport:
        """The way that is used now."""
        return self._transports[self._active]

    async def request(self, method: str, *params: object) -> Json:
        """Ask once, on the way that is used now, and return the result."""
        (answer,) = await self._exchange([(method, params)], batch=False)
        if isinstance(answer, ChainError):
            raise answer
        return answer

    async def batch(self, requests: Sequence[Request]) -> list[Json | ChainError]:
        """Ask several things in one message; each has its own result or error, in their order."""
        return await self._exchange(requests, batch=True) if requests else []

    async def read(self, method: str, *params: object) -> Json:
        """Ask, and ask again if the node could not be reached."""
        return await self._persistently(lambda: self.request(method, *params))

    async def read_batch(self, requests: Sequence[Request]) -> list[Json | ChainError]:
        """Ask several things, again if the node could not be reached or was busy."""

        async def attempt() -> list[Json | ChainError]:
            answers = await self.batch(requests)
            for answer in answers:
                if isinstance(answer, RpcUnavailable):
                    raise answer
            return answers

        return await self._persistently(attempt)

    async def subscribe(self, *params: object) -> Notifications:
        """
        Subscribe on the way that is used now.

        Raises:
            RpcRefused: this way or this node has no subscriptions.
            RpcUnavailable: the node did not answer; also what ends the notifications.
        """
        transport = self.transport
        if not transport.streams:
            raise RpcRefused("this endpoint has no subscriptions")
        subscription = await self.request("eth_subscribe", *params)
        if not isinstance(subscription, str):
            raise RpcMalformed("the subscription has no id")
        return transport.notifications(subscription)

    async def connect(self) -> int:
        """
        Choose the first endpoint that serves the expected chain and return the chain's id.

        Raises:
            ConfigError: the endpoints that answer serve another chain.
            RpcUnavailable: none answers.
        """
        await self._persistently(lambda: self.request("eth_blockNumber"))
        if self._chain_id is None:
            raise RpcUnavailable("no endpoint answered")
        return self._chain_id

    async def close(self) -> None:
        """Close every connection."""
        for transport in self._transports:
            await transport.close()

    async def _persistently(self, ask: Callable[[], Awaitable[T]]) -> T:
        started = time.monotonic()
        try:
            return await self._checked_way(ask)
        except RpcUnavailable as error:
            return await self._repeatedly(ask, error, time.monotonic() - started)

    async def _repeatedly(
        self, ask: Callable[[], Awaitable[T]], failure: RpcUnavailable, elapsed: float
    ) -> T:
        """Go on after a first attempt that failed and took ``elapsed`` seconds."""
        failures = iter([failure])
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(max(ATTEMPTS, 2 * len(self._transports)))
            | tenacity.stop_after_delay(max(0.0, self.timeouts.reads - elapsed)),
            wait=tenacity.wait_random_exponential(WAIT_SECONDS, MAX_WAIT_SECONDS),
            retry=tenacity.retry_if_exception_type(RpcUnavailable),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                for first in failures:
                    raise first
                return await self._checked_way(ask)
        raise RpcUnavailable("no endpoint answered")  # tenacity raised before this line

    async def _checked_way(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask on the way used now, once it has proved to serve the right chain."""
        try:
            if self._active not in self._checked:
                await self._check_chain()
            return await ask()
        except RpcUnavailable:
            self._active = (self._active + 1) % len(self._transports)
            raise

    async def _check_chain(self) -> None:
        try:
            served = quantity(await self.request("eth_chainId"), "the chain id")
        except RpcRefused as error:
            if len(self._transports) == 1:
                raise
            raise RpcUnavailable(str(error)) from None
        if self._chain_id is None:
            self._chain_id = served
        if served != self._chain_id:
            message = f"{self.transport.endpoint} serves chain {served}, not {self._chain_id}"
            if len(self._transports) > 1:
                raise RpcUnavailable(message)
            raise ConfigError(message, hint="set [chain] id to what the node serves")
        self._checked.add(self._active)

    async def _exchange(
        self, requests: Sequence[Request], *, batch: bool
    ) -> list[Json | ChainError]:
        ids = [next(self._ids) for _ in requests]
        bodies = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in zip(ids, requests, strict=True)
        ]
        self.round_trips += 1
        self.requests.update(method for method, _ in requests)
        body = json.dumps(bodies if batch else bodies[0], separators=(",", ":")).encode()
        methods = [method for method, _ in requests]
        active, started = self._active, time.monotonic()
        try:
            answer = await self.transport.exchange(body, ids, self.timeouts.request)
            answers = (
                checked_batch(answer, ids, methods)
                if batch
                else [checked_answer(answer, ids[0], methods[0])]
            )
        except ChainError as error:
            seconds = time.monotonic() - started
            self.measured(Exchange(active, methods, seconds, [error.code] * len(methods)))
            raise
        seconds = time.monotonic() - started
        errors = [one.code for one in answers if isinstance(one, ChainError)]
        self.measured(Exchange(active, methods, seconds, errors))
        return answers


def _ignored(_: Exchange) -> None:
    """Do nothing."""


def checked_answer(answer: Json, number: int, method: str) -> Json | ChainError:
    """
    Return the result, or the node's error as ours, of the answer to request ``number``.

    Raises:
        RpcMalformed: not an answer, or one to another request.
    """
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        raise RpcMalformed(f"the answer to {method} is not JSON-RPC 2.0")
    has_result, error = "result" in answer, answer.get("error")
    if has_result == (error is not None):
        raise RpcMalformed(f"the answer to {method} needs a result or an error, not both")
    given = answer.get("id")
    if isinstance(given, bool) or (given != number and not (given is None and error is not None)):
        raise RpcMalformed(f"the answer to {method} has another request's id")
    return refusal(method, error) if error is not None else answer["result"]


def checked_batch(
    answer: Json, ids: Sequence[int], methods: Sequence[str]
) -> list[Json | ChainError]:
    """
    Return the answers in the order of the requests, whatever order the node chose.

    Raises:
        RpcMalformed: an answer is missing, doubled or to another request.
    """
    if isinstance(answer, dict):  # the whole batch was refused
        refused = checked_answer(answer, ids[0], "the batch")
        if isinstance(refused, ChainError):
            raise refused
    if not isinstance(answer, list) or len(answer) != len(ids):
        raise RpcMalformed("the answer to a batch has another length")
    by_id: dict[int, Json] = {}
    for item in answer:
        number = item.get("id") if isinstance(item, dict) else None
        if isinstance(number, bool) or not isinstance(number, int) or number in by_id:
            raise RpcMalformed("the answer to a batch has a doubled or a missing id")
        by_id[number] = item
    if by_id.keys() != set(ids):
        raise RpcMalformed("the answer to a batch has another request's id")
    return [
        checked_answer(by_id[number], number, method)
        for number, method in zip(ids, methods, strict=True)
    ]
