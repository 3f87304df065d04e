"""JSON-RPC 2.0 over one or several endpoints, with all answers validated.

``request``, ``ask`` and the batch methods send once. ``read`` and ``read_batch`` retry requests
that did not reach the node, within limits and on the next endpoint if there is one, and reads of a
block that is not served yet. Requests that change the chain must not use them.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Final, NamedTuple, TypeVar

from keeper.chain.awaiting import BLOCK_SECONDS, Awaiting, BlockId
from keeper.chain.batching import BatchRead, Request
from keeper.chain.bounds import Expected, answer_bound
from keeper.chain.capabilities import Capabilities
from keeper.chain.envelope import checked_answer, checked_batch
from keeper.chain.faults import NOTHING, Asked, Faults, name_method
from keeper.chain.fields import Json
from keeper.chain.headers import ask_height, canonical_hash
from keeper.chain.identity import Identity
from keeper.chain.oversized import compare_elsewhere, is_too_large_by_contract, may_pass
from keeper.chain.pool import Pool
from keeper.chain.repeating import Repeating
from keeper.chain.standing import Rules, State
from keeper.chain.transport import Notifications, Timeouts, Transport
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    ConfigError,
    RpcMalformed,
    RpcRefused,
    RpcUnavailable,
)

T = TypeVar("T")

DIAL_SECONDS: Final = 1.0
"""How long the start waits for further endpoints once one is good."""
NO_ID: Final = ("", "0x")
LATE_SECONDS: Final = 1.0
"""How long the end waits for what was begun."""
_ONLY: Final[ContextVar[int | None]] = ContextVar("_ONLY", default=None)
_ASKED: Final[ContextVar[Asked]] = ContextVar("_ASKED", default=NOTHING)
"""What was asked last, whose answer is being read."""


class Exchange(NamedTuple):
    """One message to a node and its answer, with timing.

    ``endpoint`` is the endpoint's position from 0 in the order of the settings. ``errors`` has the
    code of each failed request.
    """

    endpoint: int
    methods: Sequence[str]
    seconds: float
    errors: Sequence[str]


class Rpc:
    """The endpoints of one chain. ``pool`` holds their health, and reads use the best.

    ``capabilities`` holds what each lacks, ``faults`` the methods that each fails. ``requests``
    counts by method, ``round_trips`` counts messages. ``measured`` is called with each finished
    exchange. ``identity`` identifies the chain.
    """

    def __init__(
        self,
        transports: Sequence[Transport],
        *,
        timeouts: Timeouts | None = None,
        chain_id: int | None = None,
        rules: Rules | None = None,
        block_seconds: float = BLOCK_SECONDS,
    ) -> None:
        self.requests: Counter[str] = Counter()
        self.round_trips = 0
        self.measured: Callable[[Exchange], None] = _ignore
        self.timeouts = timeouts or Timeouts()
        self.transports = tuple(transports)
        self.pool = Pool([str(one.endpoint) for one in transports], rules)
        self.capabilities = Capabilities()
        awaiting = Awaiting(self.pool.blocks, block_seconds, self.pool.clock)
        self._repeating = Repeating(
            self.pool,
            awaiting,
            lambda: self.timeouts,
            self.ask_checked,
            partial(canonical_hash, self),
        )
        self.identity = Identity(self, chain_id)
        self.faults = Faults(block_seconds)
        self._identified: dict[int, int] = {}
        self._identifying = [asyncio.Lock() for _ in transports]
        self._ids = itertools.count(1)
        self._late: set[asyncio.Task[object]] = set()

    async def request(self, method: str, *params: object) -> Json:
        """Send a request to the best endpoint once and return the result."""
        return await self.ask(self.pool.best(), method, *params)

    async def ask(self, at: int, method: str, *params: object) -> Json:
        """Send a request to one endpoint once and return the result."""
        _ASKED.set(Asked.of(method, params))
        (answer,) = await self._send_requests(at, [(method, params)], batch=False)
        if isinstance(answer, ChainError):
            raise answer
        return answer

    async def batch(self, requests: Sequence[Request]) -> list[Json | ChainError]:
        """Send several requests in one message. Returns each one's result or error, in order."""
        return await self.ask_batch(self.pool.best(), requests) if requests else []

    async def ask_batch(self, at: int, requests: Sequence[Request]) -> list[Json | ChainError]:
        """Send several requests to one endpoint in one message, once."""
        _ASKED.set(Asked.of(*requests[0]))
        return await self._send_requests(at, requests, batch=True)

    async def read(self, method: str, *params: object, block: BlockId = None) -> Json:
        """Send a request, with retries if the node was unreachable or its answer invalid.

        ``block`` is the block that the answer depends on. A young block is waited for.
        """
        return await self.read_with(lambda place: self.ask(place, method, *params), block=block)

    async def read_parsed(
        self, parse: Callable[[Json], T], method: str, *params: object, block: BlockId = None
    ) -> T:
        """Read as ``read`` does. An answer that ``parse`` calls malformed counts as none."""

        async def ask(place: int) -> T:
            return parse(await self.ask(place, method, *params))

        return await self.read_with(ask, block=block)

    async def read_batch(
        self, requests: Sequence[Request], *, block: BlockId = None, needs_results: bool = False
    ) -> list[Json | ChainError]:
        """Send several requests in few messages, with retries if the endpoint was busy.

        Only requests with a block that is not served yet are retried for that, and with
        ``needs_results`` those that were answered with ``null``.
        """
        if not requests:
            return []
        batch = BatchRead(self, lambda _: requests, needs_results=needs_results)
        return await self.read_with(batch.ask, block=block)

    async def read_with(
        self, ask: Callable[[int], Awaitable[T]], *, block: BlockId = None, only: int | None = None
    ) -> T:
        """Return the result of ``ask`` for an endpoint, with retries at others.

        ``ask`` gets the endpoint's position, so that it can choose the request's form by
        ``capabilities`` and learn from a refusal. ``only`` restricts reads to one endpoint.
        """
        pinned = _ONLY.get()
        if pinned is not None:
            return await self.ask_checked(ask, pinned)
        return await self._repeating.answer(ask, block, only)

    async def read_at(
        self, place: int, method: str, *params: object, block: BlockId = None
    ) -> Json:
        """Send a request to one endpoint, with retries at the same if it was unreachable."""
        return await self.read_with(
            lambda _: self.ask(place, method, *params), block=block, only=place
        )

    async def await_block(
        self, place: int, ask: Callable[[int], Awaitable[T]], block: BlockId
    ) -> T:
        """Ask one endpoint, with retries only while it does not have the block yet."""
        return await self._repeating.await_block(ask, block, place)

    async def subscribe(self, *params: object, at: int | None = None) -> Notifications:
        """Subscribe at one endpoint, the best by default.

        Raises:
            RpcRefused: the transport or the node has no subscriptions.
            RpcUnavailable: the node did not answer. It also ends the notifications.
        """
        place = self.pool.best() if at is None else at
        transport = self.transports[place]
        if not transport.streams:
            raise RpcRefused("this endpoint has no subscriptions")
        subscription = await self.ask(place, "eth_subscribe", *params)
        if not isinstance(subscription, str) or subscription in NO_ID:
            raise RpcMalformed("the subscription has no id")
        return transport.notifications(subscription)

    async def connect(self) -> int:
        """Identify the endpoints until one serves the expected chain, and return the chain's id.

        Slower ones are identified later.

        Raises:
            ConfigError: the endpoints that answer serve another chain.
            RpcUnavailable: none answers.
        """
        dialled = {self.later(self._try_identify(at)) for at in range(len(self.transports))}
        waited: float | None = None
        while dialled:
            done, dialled = await asyncio.wait(
                dialled, timeout=waited, return_when=asyncio.FIRST_COMPLETED
            )
            for one in done:
                one.result()
            if self.pool.alive():
                waited = DIAL_SECONDS
            if not done:
                break
        if not self.pool.alive():
            self._refuse_another_chain()
            await self.read_with(partial(ask_height, self))
        if self.identity.chain_id is None:
            raise RpcUnavailable("no endpoint answered")
        return self.identity.chain_id

    async def identify(self, at: int) -> None:
        """Identify the chain of an endpoint, and report it to the pool.

        Raises:
            RpcUnavailable: it does not answer, or serves another chain.
        """
        try:
            fault = await self.identity.find_fault(at)
        except RpcRefused as error:  # nobody's question was refused: none may be asked
            hint = "use an endpoint that answers eth_chainId or net_version"
            raise RpcUnavailable(f"its chain is not known: {error}", hint=hint) from None
        self.pool.identified(at, fault)
        if fault:
            self._identified.pop(at, None)
            raise RpcUnavailable(f"{self.transports[at].endpoint} {fault}")
        self._identified[at] = self.transports[at].generation

    async def ensure_identified(self, at: int) -> None:
        """Identify an endpoint, unless that was done over its present connection."""
        if self._is_identified(at):
            return
        async with self._identifying[at]:
            if not self._is_identified(at):
                await self.identify(at)

    def _is_identified(self, at: int) -> bool:
        return self._identified.get(at) == self.transports[at].generation

    @contextlib.contextmanager
    def only(self, at: int) -> Iterator[None]:
        """Restrict reads to one endpoint, without retries, within the context."""
        token = _ONLY.set(at)
        try:
            yield
        finally:
            _ONLY.reset(token)

    def later(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Start a task that may outlive its caller. ``close`` ends it."""
        task = asyncio.ensure_future(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    async def close(self) -> None:
        """Close every connection."""
        late = list(self._late)
        if late:
            _, pending = await asyncio.wait(late, timeout=LATE_SECONDS)
            for task in pending:
                task.cancel()
            await asyncio.wait(late)
        for transport in self.transports:
            await transport.close()

    async def _try_identify(self, at: int) -> None:
        """Identify at the start. Errors are recorded by the pool."""
        with contextlib.suppress(ChainError):
            await self.identify(at)

    def _refuse_another_chain(self) -> None:
        wrong = [
            (self.pool.names[at], one.reason)
            for at, one in enumerate(self.pool.standings)
            if one.state is State.WRONG_CHAIN
        ]
        if len(wrong) == len(self.pool):
            raise ConfigError(
                "; ".join(f"{name} {reason}" for name, reason in wrong),
                hint="set [chain] id to what the node serves",
            )

    async def ask_checked(self, ask: Callable[[int], Awaitable[T]], place: int) -> T:
        """Ask an endpoint after identifying its chain."""
        await self.ensure_identified(place)
        _ASKED.set(NOTHING)
        try:
            answer = await ask(place)
        except BlockUnknown as error:
            name_method(error, _ASKED.get().method)
            self.faults.note_content(place, _ASKED.get(), error)
            raise
        except RpcMalformed as error:
            name_method(error, _ASKED.get().method)
            self.faults.note_content(place, _ASKED.get(), error)
            if is_too_large_by_contract(error) and _ONLY.get() is None:
                return await compare_elsewhere(self, ask, place, error)
            if len(self.transports) == 1 or not may_pass(error):
                raise
            raise RpcUnavailable(f"{self.transports[place].endpoint}: {error}") from None
        self.faults.accept(place, _ASKED.get())
        return answer

    async def _send_requests(
        self, at: int, requests: Sequence[Request], *, batch: bool
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
        started = time.monotonic()
        try:
            expected = Expected(ids, answer_bound(requests))
            answer = await self.transports[at].exchange(body, expected, self.timeouts.request)
            answers = (
                checked_batch(answer, ids, methods)
                if batch
                else [checked_answer(answer, ids[0], methods[0])]
            )
        except ChainError as error:
            seconds = time.monotonic() - started
            self.measured(Exchange(at, methods, seconds, [error.code] * len(methods)))
            self.faults.note_all(at, requests, [error] * len(methods))
            self._note(at, [error])
            if len(self.transports) > 1 and isinstance(error, RpcMalformed) and error.excessive:
                # Nothing is learnt from it but that another endpoint is to be asked.
                raise RpcUnavailable(f"{self.transports[at].endpoint}: {error}") from None
            raise
        seconds = time.monotonic() - started
        errors = [one for one in answers if isinstance(one, ChainError)]
        self.measured(Exchange(at, methods, seconds, [one.code for one in errors]))
        self.faults.note_all(at, requests, answers)
        self._note(at, errors)
        return answers

    def _note(self, at: int, errors: Sequence[ChainError]) -> None:
        """Report an outcome to the pool. An invalid answer counts as none."""
        for error in errors:
            if isinstance(error, RpcUnavailable):
                return self.pool.failed(at, error)
            if isinstance(error, RpcMalformed) and may_pass(error):
                return self.pool.garbled(at, error)
        return self.pool.answered(at)


def _ignore(_: Exchange) -> None:
    """Do nothing."""
