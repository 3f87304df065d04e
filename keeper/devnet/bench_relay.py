"""Distant node, simulated by a loopback relay that delays each answer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from keeper.domain.errors import ConfigError

_CHUNK = 1 << 16


@contextlib.asynccontextmanager
async def far_away(address: str, seconds: float) -> AsyncIterator[str]:
    """Yield an address at which the node answers ``seconds`` later.

    Announcements are delayed, too. Answers do not wait for each other.
    """
    if not seconds:
        yield address
        return
    place = urlsplit(address)
    if place.hostname is None or place.port is None:
        raise ConfigError("only a node with a port can be made to be far away", hint="ws or http")
    relay = _Relay(place.hostname, place.port, seconds)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield place._replace(netloc=f"127.0.0.1:{port}").geturl()
    finally:
        server.close()
        await relay.stop()


class _Relay:
    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._host, self._port, self._seconds = host, port, seconds
        self._tasks = list[asyncio.Task[None]]()
        self._writers = list[asyncio.StreamWriter]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry what one client and the node say to each other."""
        there, back = await asyncio.open_connection(self._host, self._port)
        heard = back.get_extra_info("socket")
        self._writers += [back, writer]
        self._tasks += [
            asyncio.ensure_future(_forward_stream(reader, back, 0)),
            asyncio.ensure_future(_forward_stream(there, writer, self._seconds, heard)),
        ]

    async def stop(self) -> None:
        """Let go of every connection."""
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.close()
        closing = [writer.wait_closed() for writer in self._writers]
        await asyncio.gather(*self._tasks, *closing, return_exceptions=True)


async def _forward_stream(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    seconds: float,
    heard: socket.socket | None = None,
) -> None:
    """Relay data, each piece delayed by the same time.

    Pieces on the socket ``heard`` are acknowledged at once. Otherwise a node that waits for the
    acknowledgement sends the remainder of a long answer 40 ms later, which is not measured here.
    """
    loop = asyncio.get_running_loop()
    while piece := await source.read(_CHUNK):
        if heard is not None:
            heard.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        loop.call_later(seconds, target.write, piece)
    await asyncio.sleep(seconds)
    target.close()
