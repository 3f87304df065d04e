"""JSON-RPC over HTTP with one session, keep-alive connections and bounded answers."""

import asyncio
from collections.abc import Awaitable, Collection
from typing import Final

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from keeper.chain.bounds import Bound, expected_bound
from keeper.chain.causes import TOO_MANY, cause, unavailable
from keeper.chain.connector import MeteredConnector
from keeper.chain.decoding import Decoder
from keeper.chain.endpoint import Endpoint
from keeper.chain.fields import Json
from keeper.chain.structure import Structure
from keeper.chain.transport import Notifications, Timeouts
from keeper.domain.errors import RpcMalformed, RpcRefused, RpcUnavailable

MAX_CONNECTIONS: Final = 16
KEEPALIVE_SECONDS: Final = 60.0
ENCODINGS: Final = "gzip, deflate"
"""Whatever else this machine could decompress, its decoder may have no bound."""

_OK: Final = 200
_TRANSIENT: Final = frozenset({408, 425, TOO_MANY})
_SERVER_ERROR: Final = 500
_TOO_LARGE: Final = 413


class HttpTransport:
    """A node behind an HTTP or HTTPS URL."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self.endpoint = endpoint
        self.streams = False
        self._timeouts = timeouts
        self._session: aiohttp.ClientSession | None = None
        self._connector: MeteredConnector | None = None
        self._decoder = Decoder()

    async def exchange(self, body: bytes, ids: Collection[int], timeout: float) -> Json:  # noqa: ASYNC109 - aiohttp bounds the steps
        """Send a request or batch, as ``Transport`` describes."""
        bound = expected_bound(ids)
        followed = Structure(bound)
        try:
            async with self._get_session().post(
                self.endpoint.address,
                data=body,
                headers={"Content-Type": "application/json", "Accept-Encoding": ENCODINGS},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=self._timeouts.connect),
            ) as response:
                if response.status in _TRANSIENT:
                    raise unavailable(self.endpoint, response.status, response.headers)
                raw = await _read(response, bound, followed)
        except aiohttp.ClientPayloadError as error:
            self._refuse_fault()
            if isinstance(error.__cause__, ContentEncodingError):
                raise RpcMalformed(f"{self.endpoint} sent what cannot be decompressed") from None
            raise RpcUnavailable(f"{self.endpoint} did not answer: {cause(error)}") from None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            self._refuse_fault()
            raise RpcUnavailable(f"{self.endpoint} did not answer: {cause(error)}") from None
        decoded = self._decoder.decode(raw, bound, followed)
        return await (
            decoded if response.status == _OK else self._decode_error_status(response, decoded)
        )

    @property
    def generation(self) -> int:
        """Constant, since an HTTP connection does not identify the node."""
        return 0

    def notifications(self, subscription: str) -> Notifications:  # noqa: ARG002 - the protocol's
        """Raise RpcRefused, since HTTP has no subscriptions."""
        raise RpcRefused("http has no subscriptions")

    async def close(self) -> None:
        """Close the session, and let the event loop finish aiohttp's tasks."""
        if self._session is not None:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._connector = MeteredConnector(
                limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS
            )
            self._session = aiohttp.ClientSession(
                connector=self._connector,
                trust_env=False,  # mutation: F41 proxy
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return self._session

    def _refuse_fault(self) -> None:
        if self._connector is not None:
            self._connector.refuse_fault()

    async def _decode_error_status(
        self, response: aiohttp.ClientResponse, decoded: Awaitable[Json]
    ) -> Json:
        """Return the JSON-RPC answer with an error status, if it is one."""
        status = response.status
        try:
            answer = await decoded
        except RpcMalformed:
            answer = None
        if isinstance(answer, list) or (isinstance(answer, dict) and "jsonrpc" in answer):
            return answer
        if status >= _SERVER_ERROR:
            raise unavailable(self.endpoint, status, response.headers)
        text = "request too large" if status == _TOO_LARGE else f"status {status}"
        raise RpcRefused(f"{self.endpoint} refused: {text}", number=-status, text=text)


async def _read(response: aiohttp.ClientResponse, bound: Bound, followed: Structure) -> bytes:
    """Read the decompressed body in parts, up to its bound."""
    parts, size = list[bytes](), 0
    try:
        async for part in response.content.iter_any():
            size += len(part)
            if size > bound.size:  # mutation: G28 answer-size
                raise bound.too_large()
            followed.feed(part)
            parts.append(part)
    except RpcMalformed:
        response.close()
        raise
    return b"".join(parts)
