"""C7: clients that open many connections, speak slowly or send nonsense keep nobody out."""

import asyncio
import contextlib
import logging
import socket

import pytest

from keeper.observe.connections import QUIET_SECONDS, BadRequests
from keeper.observe.connections import log as bad_requests
from keeper.observe.http import served
from tests.flow.test_health import a_window, looked_at
from tests.support.clients import is_ended

MANY = 60


@contextlib.asynccontextmanager
async def held(port, said=b"", count=MANY):
    """Hold many connections on which so much was said."""
    opened = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(said)
            await writer.drain()
        opened.append((reader, writer))
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


SLOW = {
    "silent": b"",
    "half a line": b"GET /met",
    "half a header": b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
    "a body that never comes": b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Length: 1000\r\n\r\n",
    "a pipeline that is never read": b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 500,
}


@pytest.mark.io
@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW)
async def test_c7_sixty_slow_clients_do_not_keep_the_next_one_out(said):
    """A supervisor that cannot ask for /readyz would restart a keeper that works."""
    async with looked_at(a_window(metrics=b"x" * 4_000_000)) as seen, held(seen.port, said):
        for _ in range(3):
            answer, _ = await seen.ask("/readyz")
            assert answer.status == 200


@pytest.mark.io
async def test_c7_the_number_of_open_connections_stays_bounded():
    """The oldest are ended, not only left alone."""
    async with looked_at(a_window()) as seen, held(seen.port) as opened:
        await seen.ask("/livez")
        ended = [reader for reader, _ in opened if await is_ended(reader)]

    assert len(ended) >= MANY - 24


NONSENSE = {
    "method": b"G\x00T / HTTP/1.1\r\n\r\n",
    "tls": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "version": b"GET / HTTP/9.9.9\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
    "headers": b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 5_000 + b"\r\n",
    "megabytes": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 5_000_000,
    "length": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
    "smuggled": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "gzip": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\n"
    b"Content-Length: 4\r\n\r\nnope",
    "url": b"GET http://[::1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "escapes": b"GET /%zz%00%ff?\xff=\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "upgrade": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nxx",
    "expect": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: tea\r\n\r\n",
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.io
@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
async def test_c7_nonsense_writes_one_line_at_most(said, caplog):
    """A traceback for each of a scanner's requests fills the disk that the journal needs."""
    with caplog.at_level(logging.INFO):
        async with looked_at(a_window()) as seen:
            caplog.clear()
            for _ in range(5):
                await _sent(seen.port, said)
            answer, _ = await seen.ask("/livez")
        records = list(caplog.records)

    assert answer.status == 200
    assert len(records) <= 1
    assert not any(one.exc_info or one.exc_text or "\n" in one.getMessage() for one in records)


async def _sent(port, said):
    """Send something raw and wait for the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(said)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(5):
            await reader.read()
    writer.close()


@pytest.mark.io
async def test_c7_connections_that_are_reset_write_nothing(caplog):
    """A client that dies in mid-answer is nobody's fault."""
    async with looked_at(a_window(metrics=b"x" * 4_000_000)) as seen:
        for _ in range(5):
            client = socket.create_connection(("127.0.0.1", seen.port))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            await asyncio.sleep(0)
        answer, _ = await seen.ask("/livez")

    assert answer.status == 200
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_c7_what_was_not_said_is_counted_in_the_next_line(caplog):
    """One line a minute says that there were more."""
    now = [100.0]
    rate = BadRequests(clock=lambda: now[0])
    bad_requests.addFilter(rate)
    try:
        for pause in (0, 1, QUIET_SECONDS / 2, QUIET_SECONDS):
            now[0] += pause
            bad_requests.error("Error handling request from %s", "127.0.0.1", exc_info=ValueError())
    finally:
        bad_requests.removeFilter(rate)

    assert [one.getMessage() for one in caplog.records] == [
        "observe_bad_request reason=ValueError more_before=0",
        "observe_bad_request reason=ValueError more_before=2",
    ]


@pytest.mark.io
async def test_another_machine_cannot_reach_the_pages():
    """They are served on loopback: no other address of this machine takes a connection."""
    others = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    async with served(a_window(), "127.0.0.1", 0) as port:
        for address in {*others, "127.0.0.2"} - {"127.0.0.1"}:
            with pytest.raises(OSError, match=r"refused|failed"):
                await asyncio.open_connection(address, port)
