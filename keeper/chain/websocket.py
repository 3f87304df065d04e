"""JSON-RPC over a websocket."""

import contextlib
import socket
from typing import Final, Literal

import aiohttp

from keeper.chain.bounds import ANY, MAX_ANSWER_BYTES
from keeper.chain.causes import cause, unavailable
from keeper.chain.connector import MeteredConnector
from keeper.chain.endpoint import Endpoint
from keeper.chain.stream import StreamTransport
from keeper.chain.transport import Timeouts
from keeper.domain.errors import RpcMalformed, RpcUnavailable

PING_SECONDS: Final = 15.0
"""A node that answers no ping for half of this is gone."""

_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class WebSocketTransport(StreamTransport):
    """A node behind a ws or wss URL.

    Some nodes delay small answers until the previous one is acknowledged, which the kernel delays
    by 40 ms. Therefore quick acknowledgement is enabled again after each message.
    """

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        super().__init__(endpoint, timeouts)
        self._session: aiohttp.ClientSession | None = None
        self._connector: MeteredConnector | None = None
        self._socket: aiohttp.ClientWebSocketResponse[Literal[False]] | None = None

    async def _open(self) -> None:
        self._connector = MeteredConnector(most_bytes=self._compute_most_bytes)
        self._session = aiohttp.ClientSession(
            connector=self._connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        try:
            self._socket = await self._session.ws_connect(
                self.endpoint.address,
                max_msg_size=MAX_ANSWER_BYTES,
                heartbeat=PING_SECONDS,
                compress=0,
                decode_text=False,
            )
        except aiohttp.WSServerHandshakeError as error:
            await self._shut()
            raise unavailable(self.endpoint, error.status, error.headers) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            await self._shut()
            raise RpcUnavailable(f"{self.endpoint} cannot be reached: {cause(error)}") from None
        self._enable_quickack()

    async def _write(self, body: bytes) -> None:
        if self._socket is None:
            raise ConnectionResetError
        self._enable_quickack()
        try:
            await self._socket.send_str(body.decode())
        except aiohttp.ClientError as error:
            raise ConnectionResetError(type(error).__name__) from None

    async def _read_next(self) -> bytes | None:
        if self._socket is None or self._connector is None:
            return None
        message = await self._socket.receive()
        self._connector.unread = 0
        self._enable_quickack()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            payload: bytes = message.data
            return payload
        if message.type is aiohttp.WSMsgType.ERROR and isinstance(
            message.data, aiohttp.WebSocketError
        ):
            if message.data.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
                raise ANY.too_large()
            raise RpcMalformed("the node's message is not a websocket message")
        self._connector.refuse_fault()
        return None

    async def _shut(self) -> None:
        open_socket, self._socket = self._socket, None
        session, self._session = self._session, None
        try:
            if open_socket is not None:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    await open_socket.close()
        finally:  # whoever reads is cancelled by whoever closes
            if session is not None:
                await session.close()

    def _enable_quickack(self) -> None:
        if self._socket is None or _QUICKACK is None:
            return
        raw = self._socket.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
